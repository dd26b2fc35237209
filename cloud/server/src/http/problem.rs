//! Every error answer is problem+json, whoever makes it: a use case, an extractor or the router.

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    error::{JsonPayloadError, PathError, QueryPayloadError},
    http::StatusCode,
    web,
};
use espalier_api::{
    error::{ErrorClass, ErrorCode},
    problem::{PROBLEM_JSON, Problem},
};

use crate::refusal::{Outcome, Refusal};

/// The largest JSON body: far above any real request, far below what would hurt.
pub const MAX_JSON_BYTES: usize = 1 << 20;

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        match self.code.class() {
            ErrorClass::Internal => {
                tracing::error!(code = %self.code, causes = self.causes(), "a request failed")
            }
            ErrorClass::Unavailable => {
                tracing::warn!(code = %self.code, causes = self.causes(), "a request could not be served")
            }
            _ => {
                tracing::debug!(code = %self.code, detail = self.detail, causes = self.causes(), "a request was refused")
            }
        }
        answer(self.problem())
    }
}

/// The answer with a problem as its body.
#[must_use]
pub fn answer(problem: Problem) -> HttpResponse {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.content_type(PROBLEM_JSON);
    if problem.code == ErrorCode::Unauthenticated {
        response.insert_header(("WWW-Authenticate", "Bearer"));
    }
    if problem.code.class() == ErrorClass::Unavailable {
        response.insert_header(("Retry-After", "2"));
    }
    response.body(serde_json::to_string(&problem).unwrap_or_default())
}

/// The body reader of JSON calls.
#[must_use]
pub fn json_config() -> web::JsonConfig {
    web::JsonConfig::default()
        .limit(MAX_JSON_BYTES)
        .error_handler(|error, _| {
            let code = match &error {
                JsonPayloadError::Overflow { .. }
                | JsonPayloadError::OverflowKnownLength { .. } => ErrorCode::TooLarge,
                JsonPayloadError::ContentType => ErrorCode::UnsupportedMedia,
                _ => ErrorCode::MalformedBody,
            };
            Refusal::new(code, format!("{error}.")).into()
        })
}

/// The reader of query parameters.
#[must_use]
pub fn query_config() -> web::QueryConfig {
    web::QueryConfig::default().error_handler(|error, _| {
        let reason = match &error {
            QueryPayloadError::Deserialize(reason) => reason.to_string(),
            other => other.to_string(),
        };
        Refusal::new(
            ErrorCode::MalformedParameter,
            format!("The query is not understood: {reason}."),
        )
        .into()
    })
}

/// The reader of path parameters.
#[must_use]
pub fn path_config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|error, _| {
        let reason = match &error {
            PathError::Deserialize(reason) => reason.to_string(),
            other => other.to_string(),
        };
        Refusal::new(
            ErrorCode::MalformedParameter,
            format!("The address is not understood: {reason}."),
        )
        .into()
    })
}

/// The answer to an address that nothing serves, or not with this method.
pub async fn nothing_here(request: HttpRequest) -> HttpResponse {
    let detail = format!(
        "Nothing is served at {} {}.",
        request.method(),
        request.path()
    );
    answer(Problem::new(ErrorCode::NotFound, detail))
}

/// Reads a JSON body of a call that takes more than [`MAX_JSON_BYTES`].
///
/// # Errors
/// `too_large` above `cap`, `malformed_body`.
pub async fn read_json<T: serde::de::DeserializeOwned>(
    body: web::Payload,
    cap: usize,
) -> Outcome<T> {
    let bytes = read_bytes(body, cap).await?;
    serde_json::from_slice(&bytes).map_err(malformed)
}

/// Reads a body that is not JSON.
///
/// # Errors
/// `too_large` above `cap`, `malformed_body` when it breaks off.
pub async fn read_bytes(body: web::Payload, cap: usize) -> Outcome<web::Bytes> {
    let too_large = || {
        let detail = format!("The body has more than {cap} bytes.");
        Refusal::new(ErrorCode::TooLarge, detail)
    };
    let read = body.to_bytes_limited(cap).await.map_err(|_| too_large())?;
    read.map_err(malformed)
}

fn malformed(reason: impl std::fmt::Display) -> Refusal {
    Refusal::new(
        ErrorCode::MalformedBody,
        format!("The body was not understood: {reason}."),
    )
}
