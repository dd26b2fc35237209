//! Errors on the wire: problem documents (RFC 9457), from one table of stable codes.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use espalier_runtime::segmentation::SegmentError;
use serde::Serialize;

use crate::service::ServeError;

/// A stable code: it never changes its meaning. Those that the cloud's API has too are spelt alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The body is not a question of this call.
    MalformedBody,
    /// A header has the wrong form.
    MalformedParameter,
    /// The body is larger than allowed.
    TooLarge,
    /// The body did not come in time.
    SlowBody,
    /// The body is of a type that this call does not take.
    UnsupportedMedia,
    /// Nothing is at this address.
    NotFound,
    /// No such model serves here.
    UnknownModel,
    /// The bundle that was insisted on does not serve.
    OtherBundle,
    /// The picture cannot be used.
    InvalidPicture,
    /// The prompt cannot be asked about this picture.
    InvalidPrompt,
    /// All workers are busy.
    Busy,
    /// It took too long.
    TimedOut,
    /// The model failed.
    InferenceFailed,
}

impl Code {
    /// Each code's text, status and title.
    fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::MalformedBody => (
                "malformed_body",
                StatusCode::BAD_REQUEST,
                "The request's body could not be read",
            ),
            Self::MalformedParameter => (
                "malformed_parameter",
                StatusCode::BAD_REQUEST,
                "A parameter could not be read",
            ),
            Self::TooLarge => (
                "too_large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request is too large",
            ),
            Self::SlowBody => (
                "slow_body",
                StatusCode::REQUEST_TIMEOUT,
                "The request's body came too slowly",
            ),
            Self::UnsupportedMedia => (
                "unsupported_media",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body's type is not supported",
            ),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "There is no such thing"),
            Self::UnknownModel => (
                "unknown_model",
                StatusCode::NOT_FOUND,
                "No such model is served here",
            ),
            Self::OtherBundle => (
                "other_bundle",
                StatusCode::PRECONDITION_FAILED,
                "Another bundle serves",
            ),
            Self::InvalidPicture => (
                "invalid_picture",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The picture cannot be used",
            ),
            Self::InvalidPrompt => (
                "invalid_prompt",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The prompt does not fit the picture",
            ),
            Self::Busy => (
                "busy",
                StatusCode::SERVICE_UNAVAILABLE,
                "All workers are busy",
            ),
            Self::TimedOut => (
                "timed_out",
                StatusCode::GATEWAY_TIMEOUT,
                "The request took too long",
            ),
            Self::InferenceFailed => (
                "inference_failed",
                StatusCode::INTERNAL_SERVER_ERROR,
                "The model failed",
            ),
        }
    }
}

/// Why a request is answered with an error. The words are for people; programs read the code.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    code: Code,
    detail: String,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(
            Code::TooLarge,
            format!("the request's body has more than {limit} bytes"),
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.row().1
    }

    fn error_response(&self) -> HttpResponse {
        let (code, status, title) = self.code.row();
        let mut response = HttpResponse::build(status);
        if self.code == Code::Busy {
            response.insert_header((RETRY_AFTER, "1"));
        }
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        response.json(Document {
            r#type: format!("urn:espalier:problem:{code}"),
            title,
            status: status.as_u16(),
            code,
            detail: &self.detail,
        })
    }
}

impl From<ServeError> for Problem {
    fn from(error: ServeError) -> Self {
        let code = match &error {
            ServeError::UnknownModel(_) => Code::UnknownModel,
            ServeError::OtherBundle { .. } => Code::OtherBundle,
            ServeError::Refused(_) => Code::Busy,
            ServeError::TimedOut(_) => Code::TimedOut,
            ServeError::Segment(SegmentError::Picture(_)) => Code::InvalidPicture,
            ServeError::Segment(SegmentError::Prompt(_)) => Code::InvalidPrompt,
            ServeError::Segment(SegmentError::Graph(_) | SegmentError::Output { .. })
            | ServeError::WorkerLost => {
                // The model's own words may name files and shapes: they belong into the log.
                tracing::error!(%error, "a request could not be computed");
                let detail = "the model failed on this request; the server's log has the reason";
                return Self::new(Code::InferenceFailed, detail);
            }
        };
        Self::new(code, error.to_string())
    }
}
