use espalier_api::{error::ErrorCode, segment::SegmentRequest};
use espalier_domain::principal::Principal;

use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// The largest answer that is passed on.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Passes a picture on to the model host. Status and body of its answer are the host's own.
///
/// # Errors
/// `host_unavailable`; `invalid_value` for a model name that is none.
pub async fn segment(
    cloud: &Cloud,
    _: &Principal,
    request: SegmentRequest,
) -> Outcome<(u16, bytes::Bytes)> {
    let host = cloud.settings.model_host.as_ref().ok_or_else(|| {
        Refusal::new(ErrorCode::HostUnavailable, "No model host is configured.")
            .with_hint("start espalier-host, and give its address with --model-host")
    })?;
    let address = host
        .join(&format!("v1/models/{}/segment", request.model))
        .map_err(Refusal::internal)?;
    let body = serde_json::json!({ "image": request.image, "points": request.points, "box": request.bounds });
    let away = |error| {
        Refusal::new(
            ErrorCode::HostUnavailable,
            "The model host does not answer.",
        )
        .with_hint("see whether espalier-host runs, and at which address")
        .because(error)
    };
    let answer = cloud
        .settings
        .http
        .post(address)
        .json(&body)
        .send()
        .await
        .map_err(away)?;
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await.map_err(away)?;
    if bytes.len() > MAX_ANSWER_BYTES {
        return Err(Refusal::new(
            ErrorCode::HostUnavailable,
            "The model host's answer is too large.",
        ));
    }
    Ok((status, bytes))
}
