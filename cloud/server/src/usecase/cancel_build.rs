use espalier_api::{build::BuildView, error::ErrorCode};
use espalier_domain::principal::Principal;
use espalier_protocol::id::BuildId;
use espalier_store::Written;

use super::{announce, record, show_build};
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// Stops a build: at once while it is queued, in a moment while a forge works on it.
///
/// # Errors
/// `not_found`, `action_not_allowed`.
pub async fn cancel_build(cloud: &Cloud, who: &Principal, id: BuildId) -> Outcome<BuildView> {
    match cloud
        .store()?
        .builds()
        .cancel(&who.tenant, id, cloud.world.now())
        .await?
    {
        Written::Updated => {}
        Written::NotUpdated => {
            let detail = format!("Build {id} has ended; it cannot be cancelled.");
            return Err(Refusal::new(ErrorCode::ActionNotAllowed, detail));
        }
        Written::Absent => return Err(Refusal::absent(format!("build {id}"))),
    }
    record(cloud, who, "build.cancel", id, serde_json::json!({})).await?;
    announce(
        cloud,
        &who.tenant,
        "build.cancelled",
        id,
        serde_json::json!({}),
    )
    .await;
    show_build(cloud, who, id).await
}
