//! Who may call: decided before any extractor sees the request, so that an unknown caller cannot make
//! the server read a body, and learns nothing but 401.

use std::future::{Ready, ready};

use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
    web,
};
use espalier_api::error::ErrorCode;
use espalier_protocol::Digest;

use crate::{
    cloud::Cloud,
    principal::Operator,
    refusal::{Outcome, Refusal},
};

/// Middleware: puts the caller on the request as an [`Operator`], or answers 401.
///
/// # Errors
/// `unauthenticated` when no known token is presented.
pub async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let operator = identify(&request).await?;
    request.extensions_mut().insert(operator);
    next.call(request).await
}

async fn identify(request: &ServiceRequest) -> Outcome<Operator> {
    let cloud = request
        .app_data::<web::Data<Cloud>>()
        .ok_or_else(|| Refusal::internal("no cloud is wired"))?;
    if cloud.stopping.is_cancelled() {
        let detail = "The server is shutting down; begun work ends, and nothing new begins.";
        return Err(Refusal::new(ErrorCode::ShuttingDown, detail));
    }
    // Tokens are compared by digest, so time says nothing about the token itself.
    let digest = bearer(request)
        .map(|token| Digest::of(token.as_bytes()))
        .ok_or_else(unknown)?;
    let principal = cloud
        .store()?
        .principals()
        .by_token(&digest, cloud.world.now())
        .await?;
    principal.map(Operator).ok_or_else(unknown)
}

fn bearer(request: &ServiceRequest) -> Option<&str> {
    request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
        .map(str::trim)
}

fn unknown() -> Refusal {
    Refusal::new(ErrorCode::Unauthenticated, "This call needs a valid token.").with_hint(
        "send `Authorization: Bearer …` with the token in the state folder's `admin-token`",
    )
}

/// A handler that takes an `Operator` is a handler behind [`authenticate`]: without it, it never runs.
impl FromRequest for Operator {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let known = request.extensions().get::<Self>().cloned();
        ready(known.ok_or_else(unknown))
    }
}
