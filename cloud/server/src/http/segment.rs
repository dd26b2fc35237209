//! Segmentation by a full model, for the console.

use actix_web::{HttpResponse, post, web};
use espalier_api::{problem::Problem, segment::SegmentRequest};

use super::Shared;
use crate::{principal::Operator, refusal::Outcome, usecase};

/// The largest picture that is passed on, as base64 in JSON.
const MAX_SEGMENT_BYTES: usize = 48 << 20;

/// Segments a picture with a full model, on the model host
///
/// The answer is the host's own, and says where it was computed.
#[utoipa::path(tag = "segment", request_body = SegmentRequest,
    responses((status = 200, body = Object), (status = 502, body = Problem)))]
#[post("/segment")]
pub async fn segment(cloud: Shared, who: Operator, body: web::Payload) -> Outcome<HttpResponse> {
    let request = super::problem::read_json(body, MAX_SEGMENT_BYTES).await?;
    let (status, answer) = usecase::segment(&cloud, &who, request).await?;
    let status = actix_web::http::StatusCode::from_u16(status)
        .unwrap_or(actix_web::http::StatusCode::BAD_GATEWAY);
    Ok(HttpResponse::build(status)
        .content_type("application/json")
        .body(answer))
}
