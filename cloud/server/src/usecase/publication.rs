//! What every publication of signed metadata has in common: what stands and is built on, the list of deployer keys that
//! the next targets name, and the snapshot and timestamp that name them.

use std::num::NonZeroU64;

use espalier_api::error::ErrorCode;
use espalier_protocol::{Digest, Tenant, trust::DEPLOYER_TARGET};
use espalier_store::{Edition, Metadata, Newest, Role, Versions};
use espalier_trust::{
    NotHeld, deployer_target,
    tuf::{
        SignedFile, TrustedRoot, TrustedTargets, TufError, read_targets, sign_snapshot,
        sign_timestamp,
    },
};
use jiff::SignedDuration;

use crate::{
    cloud::Cloud,
    deployers::{self, ListError, MAX_LIST_BYTES},
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

/// What devices follow now, read at one moment. What is signed on it is published while it stands, or not at all.
pub struct Standing {
    /// The newest root.
    pub root: TrustedRoot,
    /// The newest targets.
    pub targets: TrustedTargets,
    versions: Versions,
}

impl Standing {
    /// Of the newest editions, which must hold under one another.
    ///
    /// # Errors
    /// `internal` when they do not.
    pub fn of(newest: &Newest) -> Outcome<Self> {
        let root = TrustedRoot::read(&newest.root.bytes).map_err(Refusal::internal)?;
        Ok(Self {
            targets: read_targets(&root, &newest.targets.bytes).map_err(Refusal::internal)?,
            root,
            versions: newest.versions(),
        })
    }

    /// Reads it.
    ///
    /// # Errors
    /// `database_unavailable`, also while nothing was published yet.
    pub async fn read(cloud: &Cloud, tenant: &Tenant) -> Outcome<Self> {
        let newest = cloud.store()?.tuf().newest_of_all(tenant).await?;
        Self::of(&newest.ok_or_else(Refusal::no_database_yet)?)
    }

    /// `files`, with the next snapshot and timestamp, which name these targets, signed with the keys that the root names.
    /// It is kept beside the database before the database has it.
    ///
    /// # Errors
    /// `key_missing` when they are not here; `internal` when the edition cannot be kept.
    pub fn edition(
        &self,
        cloud: &Cloud,
        tenant: &Tenant,
        root: &TrustedRoot,
        targets: &TrustedTargets,
        mut files: Vec<Metadata>,
    ) -> Outcome<Edition> {
        let (now, lifetimes) = (cloud.world.now(), &cloud.authority.lifetimes);
        let (keys, on) = (cloud.authority.under(root)?, self.versions);
        let (version, ends) = (after(on.snapshot)?, now + lifetimes.snapshot);
        let snapshot = sign_snapshot(root, targets, version, ends, &*keys.snapshot)
            .map_err(Refusal::internal)?;
        let (version, ends) = (after(on.timestamp)?, now + lifetimes.timestamp);
        let timestamp = sign_timestamp(root, &snapshot, version, ends, &*keys.timestamp)
            .map_err(Refusal::internal)?;
        let (snapshot, timestamp) = (
            metadata(Role::Snapshot, snapshot),
            metadata(Role::Timestamp, timestamp),
        );
        let kept = &cloud.last_editions;
        kept.keep(tenant, root, targets, &snapshot, &timestamp)?;
        files.extend([snapshot, timestamp]);
        Ok(Edition { on, files })
    }
}

fn after(version: u64) -> Outcome<NonZeroU64> {
    let next = NonZeroU64::MIN.checked_add(version);
    next.ok_or_else(|| Refusal::internal("metadata versions ran out"))
}

/// The list of deployer keys that the next targets should name: the current one, with those of our keys that sort after
/// the last of ours that it names. What sorts before was let go, or never named: it is not proposed again. Where it
/// names none of ours, all of ours take over.
pub(super) async fn proposed_deployer_list(cloud: &Cloud, tenant: &Tenant) -> Outcome<Vec<u8>> {
    let mut own = cloud.authority.keys().deployer_keys();
    let current = Standing::read(cloud, tenant).await?.targets;
    if let Some(digest) = current.digest(DEPLOYER_TARGET) {
        let list = cloud.blobs.load(digest, MAX_LIST_BYTES).await?;
        let named = deployers::parse_list(&list).map_err(Refusal::internal)?;
        if let Some(last) = own.iter().rposition(|key| named.keys.contains(key)) {
            let later = own.split_off(last + 1);
            if later.is_empty() {
                return Ok(list.to_vec());
            }
            own = named.keys.into_iter().chain(later).collect();
        }
    }
    let (_, list) = deployer_target(&own).map_err(Refusal::internal)?;
    Ok(list)
}

/// The list of deployer keys that targets name is there before anybody can ask for it, devices can read it, and this
/// server can speak by it under that root.
pub(super) async fn keep_deployer_list(
    cloud: &Cloud,
    root: &TrustedRoot,
    targets: &TrustedTargets,
    offered: Option<&str>,
) -> Outcome<()> {
    let digest = targets.digest(DEPLOYER_TARGET).ok_or_else(|| {
        Refusal::new(
            ErrorCode::InvalidSignature,
            "The targets name no deployer keys.",
        )
    })?;
    let keys = cloud.authority.keys();
    let (_, own) = deployer_target(&keys.deployer_keys()).map_err(Refusal::internal)?;
    let mut known = offered
        .map(|text| text.as_bytes().to_vec())
        .into_iter()
        .chain([own]);
    let new = known.find(|list| Digest::of(list) == digest);
    let list = match &new {
        Some(list) => list.clone(),
        None => cloud
            .blobs
            .load(digest, MAX_LIST_BYTES)
            .await
            .map_err(|_| others_deploy())?
            .to_vec(),
    };
    let named = deployers::parse_list(&list).map_err(unreadable)?;
    keys.deployer(&named, root.trust())
        .map_err(|error| match &error {
            NotHeld::InTheClear { .. } => in_the_clear(&error),
            _ => others_deploy(),
        })?;
    if let Some(list) = new {
        cloud.blobs.put(list).await?;
    }
    Ok(())
}

fn unreadable(why: ListError) -> Refusal {
    Refusal::new(
        ErrorCode::InvalidSignature,
        format!("Devices could not read the list of deployer keys that the targets name: {why}."),
    )
    .with_hint("have it written by `espalier keys targets next` or `espalier release sign`")
}

fn in_the_clear(error: &NotHeld) -> Refusal {
    Refusal::new(ErrorCode::InvalidSignature, sentence(error)).with_hint(
        "make another one on the server with `espalier keys generate`, which asks for a passphrase, and name that one",
    )
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
    current: &TrustedTargets,
    next: &TrustedTargets,
) -> espalier_store::DeployerKeys {
    match current.digest(DEPLOYER_TARGET) == next.digest(DEPLOYER_TARGET) {
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
