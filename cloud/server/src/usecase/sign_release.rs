//! The release keys' word arrives: the next targets, signed elsewhere.

use espalier_api::{
    error::ErrorCode,
    release::{ReleaseSignature, ReleaseView},
};
use espalier_domain::principal::Principal;
use espalier_protocol::{Digest, Tenant, id::ReleaseId, release::ReleaseDocument};
use espalier_store::SignOutcome;
use espalier_trust::tuf::{TargetFile, TrustedRoot, TrustedTargets, accept_targets};

use super::{
    announce,
    publication::{
        LEAST_LIFE, TRIES, deployer_keys, freshness, keep_deployer_list, named, newest_targets,
        refused,
    },
    record, show_release,
};
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// Checks a signature against the root, and publishes it with the snapshot and the timestamp that
/// name it: all of it, or nothing.
///
/// # Errors
/// `not_found`, `invalid_signature`, `conflict` when another release was signed meanwhile,
/// `action_not_allowed` for a release that is signed.
pub async fn sign_release(
    cloud: &Cloud,
    who: &Principal,
    id: ReleaseId,
    signature: ReleaseSignature,
) -> Outcome<ReleaseView> {
    let document = cloud.store()?.releases().document(&who.tenant, id).await?;
    let document = document.ok_or_else(|| Refusal::absent(format!("release {id}")))?;
    require_signed_bundles(cloud, &who.tenant, id).await?;
    let version = publish(cloud, &who.tenant, id, &document, &signature).await?;
    record(
        cloud,
        who,
        "release.sign",
        id,
        serde_json::json!({ "targets_version": version }),
    )
    .await?;
    announce(
        cloud,
        &who.tenant,
        "release.signed",
        id,
        serde_json::json!({ "targets_version": version }),
    )
    .await;
    show_release(cloud, who, id).await
}

/// What leaves the house carries a signature that others can verify, so the bundles' own come first.
async fn require_signed_bundles(cloud: &Cloud, tenant: &Tenant, id: ReleaseId) -> Outcome<()> {
    let release = cloud.store()?.releases().find(tenant, id).await?;
    let release = release.ok_or_else(|| Refusal::absent(format!("release {id}")))?;
    let signed = |class| release.signatures.contains_key(class);
    match release.builds.keys().find(|class| !signed(class)) {
        None => Ok(()),
        Some(class) => Err(Refusal::new(
            ErrorCode::ActionNotAllowed,
            format!("The bundle for class {class} of release {id} has no signature of its own."),
        )
        .with_hint("hand in the bundles' signatures first; `espalier release sign` does both")),
    }
}

/// Publishes the signed targets; gives their version. The cloud renews its own metadata now and then,
/// and may be faster: then the snapshot is signed again, and the targets are still good.
async fn publish(
    cloud: &Cloud,
    tenant: &Tenant,
    id: ReleaseId,
    document: &[u8],
    signature: &ReleaseSignature,
) -> Outcome<u64> {
    let root = cloud.root(tenant).await?;
    let mut outcome = SignOutcome::Overtaken;
    let mut version = 0;
    for _ in 0..TRIES {
        let current = newest_targets(cloud, tenant, &root).await?;
        let targets = accept(cloud, &root, current.as_ref(), document, signature)?;
        keep_deployer_list(cloud, &targets, None).await?;
        cloud.blobs.put(document.to_vec()).await?;
        let [snapshot, timestamp] = freshness(cloud, tenant, &root, &targets).await?;
        let edition = [named(&targets), snapshot, timestamp];
        version = targets.version().get();
        outcome = cloud
            .store()?
            .releases()
            .sign(
                tenant,
                id,
                version,
                &edition,
                deployer_keys(current.as_ref(), &targets),
                cloud.world.now(),
            )
            .await?;
        if outcome != SignOutcome::Overtaken {
            break;
        }
    }
    judge(outcome, id)?;
    cloud.authority.deployers.forget(tenant);
    Ok(version)
}

fn accept(
    cloud: &Cloud,
    root: &TrustedRoot,
    current: Option<&TrustedTargets>,
    document: &[u8],
    signature: &ReleaseSignature,
) -> Outcome<TrustedTargets> {
    let model = ReleaseDocument::parse(document)
        .map_err(Refusal::internal)?
        .model;
    let name = ReleaseDocument::target_name(&model, &Digest::of(document));
    let file = TargetFile::new(&name, document).map_err(Refusal::internal)?;
    let good_until = cloud.world.now() + LEAST_LIFE;
    accept_targets(
        root,
        current,
        signature.targets_json.as_bytes(),
        &[file],
        good_until,
    )
    .map_err(refused)
}

fn judge(outcome: SignOutcome, id: ReleaseId) -> Outcome<()> {
    match outcome {
        SignOutcome::Signed => Ok(()),
        SignOutcome::AlreadySigned => Err(Refusal::new(
            ErrorCode::ActionNotAllowed,
            format!("Release {id} is signed already."),
        )),
        SignOutcome::Overtaken => Err(Refusal::new(
            ErrorCode::Conflict,
            "Another release was signed meanwhile.",
        )
        .with_hint("fetch the current targets and sign again")),
        SignOutcome::Absent => Err(Refusal::absent(format!("release {id}"))),
    }
}
