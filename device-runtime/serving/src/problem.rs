//! Errors on the wire: problem documents (RFC 9457) with stable codes.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use espalier_runtime::segmentation::SegmentError;
use serde::Serialize;

use crate::service::ServeError;

/// Why a request is answered with an error. The words are for people; programs read the code.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
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
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
        }
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed-request", detail)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let detail = format!("the request's body has more than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
    }

    pub(crate) fn not_found(path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown-path",
            format!("there is nothing at {path}"),
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
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((RETRY_AFTER, "1"));
        }
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        response.json(Document {
            r#type: format!("urn:espalier:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
        })
    }
}

impl From<ServeError> for Problem {
    fn from(error: ServeError) -> Self {
        let (status, code) = match &error {
            ServeError::UnknownModel(_) => (StatusCode::NOT_FOUND, "unknown-model"),
            ServeError::OtherBundle { .. } => (StatusCode::PRECONDITION_FAILED, "other-bundle"),
            ServeError::Refused(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            ServeError::TimedOut(_) => (StatusCode::GATEWAY_TIMEOUT, "timed-out"),
            ServeError::Segment(SegmentError::Picture(_)) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-picture")
            }
            ServeError::Segment(SegmentError::Prompt(_)) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-prompt")
            }
            ServeError::Segment(SegmentError::Graph(_) | SegmentError::Output { .. })
            | ServeError::WorkerLost => {
                // The model's own words may name files and shapes: they belong into the log.
                tracing::error!(%error, "a request could not be computed");
                let detail = "the model failed on this request; the server's log has the reason";
                return Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "inference-failed",
                    detail,
                );
            }
        };
        Self::new(status, code, error.to_string())
    }
}
