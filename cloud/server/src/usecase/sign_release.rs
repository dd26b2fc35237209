//! The release keys' word arrives: the next targets, signed elsewhere.

use std::num::NonZeroU64;

use espalier_api::{
    error::ErrorCode,
    release::{ReleaseSignature, ReleaseView},
};
use espalier_domain::principal::Principal;
use espalier_protocol::{Tenant, id::ReleaseId, release::ReleaseDocument, trust::DEPLOYER_TARGET};
use espalier_store::{DeployerKeys, Metadata, Role, SignOutcome};
use espalier_trust::deployer_target;
use espalier_trust::tuf::{
    SignedFile, TargetFile, TrustedRoot, TrustedTargets, TufError, accept_targets, read_targets,
    sign_snapshot, sign_timestamp,
};
use jiff::SignedDuration;

use super::{announce, record, sentence, show_release};
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// Somebody else's edition may come in between; more often than that it is a real conflict.
const TRIES: usize = 3;
/// Targets that would expire sooner are not worth publishing.
const LEAST_LIFE: SignedDuration = SignedDuration::from_hours(24);

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
        keep_named_files(cloud, &targets, document).await?;
        let edition = next_edition(cloud, tenant, &root, &targets).await?;
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
    judge(outcome, id).map(|()| version)
}

async fn newest_targets(
    cloud: &Cloud,
    tenant: &Tenant,
    root: &TrustedRoot,
) -> Outcome<Option<TrustedTargets>> {
    let current = cloud.store()?.tuf().newest(tenant, Role::Targets).await?;
    current
        .map(|newest| read_targets(root, &newest.bytes))
        .transpose()
        .map_err(Refusal::internal)
}

/// The files that the targets name for the first time are there before anybody can ask for them.
async fn keep_named_files(cloud: &Cloud, targets: &TrustedTargets, document: &[u8]) -> Outcome<()> {
    let (file, deployer_json) =
        deployer_target(&[cloud.authority.deployer.public_key()]).map_err(Refusal::internal)?;
    if !targets.names(&file) {
        return Err(Refusal::new(
            ErrorCode::InvalidSignature,
            "The signed targets name other deployer keys than this server's; devices would believe nothing that it says.",
        )
        .with_hint("sign again with the `deployer.json` of this release's signing request"));
    }
    cloud.blobs.put(deployer_json).await?;
    cloud.blobs.put(document.to_vec()).await.map(drop)
}

fn deployer_keys(current: Option<&TrustedTargets>, next: &TrustedTargets) -> DeployerKeys {
    let keys = |targets: &TrustedTargets| targets.digest(DEPLOYER_TARGET);
    match current.and_then(keys) == keys(next) {
        true => DeployerKeys::Same,
        false => DeployerKeys::Changed,
    }
}

fn accept(
    cloud: &Cloud,
    root: &TrustedRoot,
    current: Option<&TrustedTargets>,
    document: &[u8],
    signature: &ReleaseSignature,
) -> Outcome<TrustedTargets> {
    let name = ReleaseDocument::target_name(&espalier_protocol::Digest::of(document));
    let file = TargetFile::new(&name, document).map_err(Refusal::internal)?;
    let good_until = cloud.world.now() + LEAST_LIFE;
    accept_targets(
        root,
        current,
        signature.targets_json.as_bytes(),
        &file,
        good_until,
    )
    .map_err(refused)
}

fn refused(error: TufError) -> Refusal {
    let code = match error {
        TufError::WrongVersion { .. } => ErrorCode::Conflict,
        TufError::TooLarge { .. } => ErrorCode::TooLarge,
        _ => ErrorCode::InvalidSignature,
    };
    Refusal::new(code, sentence(&error)).because(error)
}

/// Targets, and the snapshot and timestamp that name them.
async fn next_edition(
    cloud: &Cloud,
    tenant: &Tenant,
    root: &TrustedRoot,
    targets: &TrustedTargets,
) -> Outcome<Vec<Metadata>> {
    let (now, online, lifetimes) = (
        cloud.world.now(),
        &cloud.authority.online,
        &cloud.authority.lifetimes,
    );
    let version = next_version(cloud, tenant, Role::Snapshot).await?;
    let snapshot = sign_snapshot(
        root,
        targets,
        version,
        now + lifetimes.snapshot,
        &*online.snapshot,
    );
    let snapshot = snapshot.map_err(Refusal::internal)?;
    let version = next_version(cloud, tenant, Role::Timestamp).await?;
    let timestamp = sign_timestamp(
        root,
        &snapshot,
        version,
        now + lifetimes.timestamp,
        &*online.timestamp,
    );
    let timestamp = timestamp.map_err(Refusal::internal)?;
    let named = Metadata {
        role: Role::Targets,
        version: targets.version().get(),
        expires_at: targets.expires(),
        bytes: targets.bytes().to_vec(),
    };
    Ok(vec![
        named,
        metadata(Role::Snapshot, snapshot),
        metadata(Role::Timestamp, timestamp),
    ])
}

async fn next_version(cloud: &Cloud, tenant: &Tenant, role: Role) -> Outcome<NonZeroU64> {
    let newest = cloud
        .store()?
        .tuf()
        .newest(tenant, role)
        .await?
        .map_or(0, |newest| newest.version);
    NonZeroU64::new(newest + 1).ok_or_else(|| Refusal::internal("metadata versions ran out"))
}

/// A signed file as it is kept.
pub fn metadata(role: Role, file: SignedFile) -> Metadata {
    Metadata {
        role,
        version: file.version.get(),
        expires_at: file.expires,
        bytes: file.bytes,
    }
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
