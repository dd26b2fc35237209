//! What every publication of signed metadata has in common: the current targets, the list of deployer keys that the
//! next ones name, and the snapshot and timestamp that name them.

use std::num::NonZeroU64;

use espalier_api::error::ErrorCode;
use espalier_protocol::{
    Digest, Tenant,
    trust::{DEPLOYER_TARGET, DeployerKeys},
};
use espalier_store::{Metadata, Role};
use espalier_trust::{
    deployer_target,
    tuf::{
        SignedFile, TrustedRoot, TrustedTargets, TufError, read_targets, sign_snapshot,
        sign_timestamp,
    },
};
use jiff::SignedDuration;

use crate::{
    cloud::Cloud,
    deployers::MAX_LIST_BYTES,
    refusal::{Outcome, Refusal, sentence},
};

/// Somebody else's edition may come in between; more often than that it is a real conflict.
pub(super) const TRIES: usize = 3;
/// Metadata that would expire sooner are not worth publishing.
pub(super) const LEAST_LIFE: SignedDuration = SignedDuration::from_hours(24);

/// A signed file as it is kept.
pub fn metadata(role: Role, file: SignedFile) -> Metadata {
    Metadata {
        role,
        version: file.version.get(),
        expires_at: file.expires,
        bytes: file.bytes,
    }
}

/// Accepted targets as they are kept.
pub(super) fn named(targets: &TrustedTargets) -> Metadata {
    Metadata {
        role: Role::Targets,
        version: targets.version().get(),
        expires_at: targets.expires(),
        bytes: targets.bytes().to_vec(),
    }
}

/// The next snapshot and timestamp, which name these targets, signed with the keys that the root names.
///
/// # Errors
/// `key_missing` when they are not here; `database_unavailable`.
pub async fn freshness(
    cloud: &Cloud,
    tenant: &Tenant,
    root: &TrustedRoot,
    targets: &TrustedTargets,
) -> Outcome<[Metadata; 2]> {
    let (now, lifetimes) = (cloud.world.now(), &cloud.authority.lifetimes);
    let keys = cloud.authority.under(root)?;
    let version = next_version(cloud, tenant, Role::Snapshot).await?;
    let ends = now + lifetimes.snapshot;
    let snapshot =
        sign_snapshot(root, targets, version, ends, &*keys.snapshot).map_err(Refusal::internal)?;
    let version = next_version(cloud, tenant, Role::Timestamp).await?;
    let ends = now + lifetimes.timestamp;
    let timestamp = sign_timestamp(root, &snapshot, version, ends, &*keys.timestamp)
        .map_err(Refusal::internal)?;
    Ok([
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

/// The current targets, under the root that they were signed under.
pub(super) async fn newest_targets(
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

/// The list of deployer keys that the next targets should name: the current one, as long as it names the newest key
/// that is here; else all that are here, so that one can replace the other. A key that was let go is not proposed again.
pub(super) async fn proposed_deployer_list(cloud: &Cloud, tenant: &Tenant) -> Outcome<Vec<u8>> {
    let own = cloud.authority.keys().deployer_keys();
    let root = cloud.root(tenant).await?;
    let current = newest_targets(cloud, tenant, &root).await?;
    if let Some(digest) = current.and_then(|current| current.digest(DEPLOYER_TARGET)) {
        let list = cloud.blobs.load(digest, MAX_LIST_BYTES).await?;
        let named: DeployerKeys = serde_json::from_slice(&list).map_err(Refusal::internal)?;
        if own.last().is_some_and(|newest| named.keys.contains(newest)) {
            return Ok(list.to_vec());
        }
    }
    let (_, list) = deployer_target(&own).map_err(Refusal::internal)?;
    Ok(list)
}

/// The list of deployer keys that targets name is there before anybody can ask for it, and this server can speak
/// by it.
pub(super) async fn keep_deployer_list(
    cloud: &Cloud,
    targets: &TrustedTargets,
    offered: Option<&str>,
) -> Outcome<()> {
    let digest = targets.digest(DEPLOYER_TARGET).ok_or_else(|| {
        Refusal::new(
            ErrorCode::InvalidSignature,
            "The targets name no deployer keys.",
        )
    })?;
    let (_, own) =
        deployer_target(&cloud.authority.keys().deployer_keys()).map_err(Refusal::internal)?;
    let mut known = offered
        .map(|text| text.as_bytes().to_vec())
        .into_iter()
        .chain([own]);
    let list = match known.find(|list| Digest::of(list) == digest) {
        Some(list) => {
            cloud.blobs.put(list.clone()).await?;
            list
        }
        None => cloud
            .blobs
            .load(digest, MAX_LIST_BYTES)
            .await
            .map_err(|_| others_deploy())?
            .to_vec(),
    };
    let keys: DeployerKeys = serde_json::from_slice(&list).map_err(|_| others_deploy())?;
    match cloud.authority.keys().deployer(&keys) {
        Some(_) => Ok(()),
        None => Err(others_deploy()),
    }
}

fn others_deploy() -> Refusal {
    Refusal::new(
        ErrorCode::InvalidSignature,
        "The signed targets name other deployer keys than this server's; devices would believe nothing that it says.",
    )
    .with_hint("name this server's deployer key: `deployer.json` of a release's signing request, or its public half")
}

/// Whether other deployer keys speak from now on.
pub(super) fn deployer_keys(
    current: Option<&TrustedTargets>,
    next: &TrustedTargets,
) -> espalier_store::DeployerKeys {
    let keys = |targets: &TrustedTargets| targets.digest(DEPLOYER_TARGET);
    match current.and_then(keys) == keys(next) {
        true => espalier_store::DeployerKeys::Same,
        false => espalier_store::DeployerKeys::Changed,
    }
}

/// Targets that were refused.
pub(super) fn refused(error: TufError) -> Refusal {
    let code = match error {
        TufError::WrongVersion { .. } => ErrorCode::Conflict,
        TufError::TooLarge { .. } => ErrorCode::TooLarge,
        _ => ErrorCode::InvalidSignature,
    };
    Refusal::new(code, sentence(&error)).because(error)
}
