//! The next targets arrive without a new release: other deployer keys, or the same for a longer time.

use espalier_api::{
    error::ErrorCode,
    tuf::{PublishTargets, TufTargetsView},
};
use espalier_domain::principal::Principal;
use espalier_store::{DeployerKeys, Written};
use espalier_trust::tuf::{TrustedRoot, TrustedTargets, accept_targets};

use super::{
    current_targets,
    publication::{LEAST_LIFE, Standing, TRIES, deployer_keys, keep_deployer_list, named, refused},
    record,
};
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// Checks the targets against the root, and publishes them with the snapshot and the timestamp that name them. With
/// other deployer keys every desired state is signed anew.
///
/// # Errors
/// `invalid_signature`; `conflict` when others were signed meanwhile.
pub async fn publish_targets(
    cloud: &Cloud,
    who: &Principal,
    request: PublishTargets,
) -> Outcome<TufTargetsView> {
    cloud.authority.look_again().await?;
    for _ in 0..TRIES {
        let standing = Standing::read(cloud, &who.tenant).await?;
        let (root, current) = (&standing.root, &standing.targets);
        let targets = signed_anew(cloud, root, current, &request).await?;
        let edition =
            standing.edition(cloud, &who.tenant, root, &targets, vec![named(&targets)])?;
        let (tuf, now) = (cloud.store()?.tuf(), cloud.world.now());
        let written = match deployer_keys(current, &targets) {
            DeployerKeys::Same => tuf.publish(&who.tenant, &edition, now).await?,
            DeployerKeys::Changed => tuf.publish_anew(&who.tenant, &edition, now).await?,
        };
        if written == Written::Updated {
            let version = targets.version().get();
            cloud.authority.deployers.forget(&who.tenant, version);
            return published(cloud, who, version).await;
        }
    }
    Err(overtaken())
}

async fn published(cloud: &Cloud, who: &Principal, version: u64) -> Outcome<TufTargetsView> {
    let detail = serde_json::json!({ "targets_version": version });
    record(cloud, who, "targets.publish", version, detail).await?;
    current_targets(cloud, who).await
}

/// Targets that say again what the current ones say, the deployer's keys aside.
///
/// # Errors
/// `invalid_signature`, `conflict`.
pub(super) async fn signed_anew(
    cloud: &Cloud,
    root: &TrustedRoot,
    current: &TrustedTargets,
    request: &PublishTargets,
) -> Outcome<TrustedTargets> {
    let good_until = cloud.world.now() + LEAST_LIFE;
    let offered = request.targets_json.as_bytes();
    let targets = accept_targets(root, Some(current), offered, &[], good_until).map_err(refused)?;
    if current.file_names() != targets.file_names() {
        return Err(Refusal::new(
            ErrorCode::InvalidSignature,
            "The targets name files that the current ones do not name.",
        )
        .with_hint("a new release is handed in as the signature of that release"));
    }
    keep_deployer_list(cloud, root, &targets, request.deployer_json.as_deref()).await?;
    Ok(targets)
}

pub(super) fn overtaken() -> Refusal {
    Refusal::new(
        ErrorCode::Conflict,
        "Other metadata were signed and published meanwhile.",
    )
    .with_hint("fetch the current targets and sign again")
}
