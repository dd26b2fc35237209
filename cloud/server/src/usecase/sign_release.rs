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
    publication::{LEAST_LIFE, Standing, TRIES, deployer_keys, keep_deployer_list, named, refused},
    publish_targets::overtaken,
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
    for _ in 0..TRIES {
        let standing = Standing::read(cloud, tenant).await?;
        let (root, current) = (&standing.root, &standing.targets);
        let targets = accept(cloud, root, current, document, signature)?;
        keep_deployer_list(cloud, root, &targets, None).await?;
        cloud.blobs.put(document.to_vec()).await?;
        let edition = standing.edition(cloud, tenant, root, &targets, vec![named(&targets)])?;
        let (version, deployer) = (targets.version().get(), deployer_keys(current, &targets));
        let (releases, now) = (cloud.store()?.releases(), cloud.world.now());
        let outcome = releases
            .sign(tenant, id, version, &edition, deployer, now)
            .await?;
        match outcome {
            SignOutcome::Overtaken => {}
            SignOutcome::Signed => {
                cloud.authority.deployers.forget(tenant, version);
                return Ok(version);
            }
            SignOutcome::AlreadySigned => return Err(signed_already(id)),
            SignOutcome::Absent => return Err(Refusal::absent(format!("release {id}"))),
        }
    }
    Err(overtaken())
}

fn accept(
    cloud: &Cloud,
    root: &TrustedRoot,
    current: &TrustedTargets,
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
        Some(current),
        signature.targets_json.as_bytes(),
        &[file],
        good_until,
    )
    .map_err(refused)
}

fn signed_already(id: ReleaseId) -> Refusal {
    Refusal::new(
        ErrorCode::ActionNotAllowed,
        format!("Release {id} is signed already."),
    )
}
