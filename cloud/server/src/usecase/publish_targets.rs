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
    publication::{
        LEAST_LIFE, TRIES, deployer_keys, freshness, keep_deployer_list, named, newest_targets,
        refused,
    },
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
    let root = cloud.root(&who.tenant).await?;
    let mut written = Written::NotUpdated;
    for _ in 0..TRIES {
        let current = newest_targets(cloud, &who.tenant, &root).await?;
        let targets = signed_anew(cloud, &root, current.as_ref(), &request).await?;
        let [snapshot, timestamp] = freshness(cloud, &who.tenant, &root, &targets).await?;
        let files = [named(&targets), snapshot, timestamp];
        let (tuf, now) = (cloud.store()?.tuf(), cloud.world.now());
        written = match deployer_keys(current.as_ref(), &targets) {
            DeployerKeys::Same => tuf.publish(&who.tenant, &files, now).await?,
            DeployerKeys::Changed => tuf.publish_anew(&who.tenant, &files, now).await?,
        };
        if written == Written::Updated {
            break;
        }
    }
    if written != Written::Updated {
        return Err(overtaken());
    }
    cloud.authority.deployers.forget(&who.tenant);
    let view = current_targets(cloud, who).await?;
    let version = view.targets_version;
    let detail = serde_json::json!({ "targets_version": version });
    record(cloud, who, "targets.publish", version, detail).await?;
    Ok(view)
}

/// Targets that say again what the current ones say, the deployer's keys aside.
///
/// # Errors
/// `invalid_signature`, `conflict`.
pub(super) async fn signed_anew(
    cloud: &Cloud,
    root: &TrustedRoot,
    current: Option<&TrustedTargets>,
    request: &PublishTargets,
) -> Outcome<TrustedTargets> {
    let good_until = cloud.world.now() + LEAST_LIFE;
    let offered = request.targets_json.as_bytes();
    let targets = accept_targets(root, current, offered, &[], good_until).map_err(refused)?;
    if current.is_some_and(|current| current.file_names() != targets.file_names()) {
        return Err(Refusal::new(
            ErrorCode::InvalidSignature,
            "The targets name files that the current ones do not name.",
        )
        .with_hint("a new release is handed in as the signature of that release"));
    }
    keep_deployer_list(cloud, &targets, request.deployer_json.as_deref()).await?;
    Ok(targets)
}

pub(super) fn overtaken() -> Refusal {
    Refusal::new(
        ErrorCode::Conflict,
        "Other metadata were signed and published meanwhile.",
    )
    .with_hint("fetch the current targets and sign again")
}
