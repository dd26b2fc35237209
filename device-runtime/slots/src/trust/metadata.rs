//! The TUF metadata that a device trusts, kept as they were signed.

use std::path::Path;
use std::sync::Arc;

use espalier_protocol::Digest;
use espalier_protocol::desired::TufVersions;
use espalier_protocol::report::Attack;
use espalier_protocol::trust::TrustLevel;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sigstore_tuf::{Error as TufError, Role, TrustedMetadataSet};

use super::{Refresh, crypto};
use crate::files::Files;
use crate::record::{Kept, RecordError};

/// The version of the record that this code writes.
const FORMAT: u32 = 1;

/// Why metadata, or something that they should vouch for, are not believed.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file does not hold.
    #[error("{file} is refused: {source}")]
    Refused {
        /// Its name.
        file: String,
        /// What it looks like.
        attack: Attack,
        /// Why.
        source: TufError,
    },
    /// A file is larger than it may be.
    #[error("{file} is longer than {limit} bytes")]
    TooLarge {
        /// Its name.
        file: String,
        /// The most that it may have.
        limit: u64,
    },
    /// A file is not text.
    #[error("{file} is not text")]
    NotText {
        /// Its name.
        file: String,
    },
    /// A file that must be there is not.
    #[error("{file} is not there")]
    Absent {
        /// Its name.
        file: String,
    },
    /// More new roots than one refresh may walk.
    #[error("there are more than {0} new roots: the rest is left to the next refresh")]
    TooManyRoots(u64),
    /// No metadata were fetched yet, or only a part of them.
    #[error("the release metadata are not complete: they must be fetched first")]
    Incomplete,
    /// The release keys do not vouch for this target.
    #[error("the release keys do not vouch for `{0}`")]
    UnknownTarget(String),
    /// The record is of a newer version.
    #[error(
        "the stored release metadata have format {0}, and this version knows {FORMAT}: update the agent"
    )]
    Format(u32),
    /// The record is damaged.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl TrustError {
    pub(super) fn refused(file: &str) -> impl FnOnce(TufError) -> Self {
        move |source| Self::Refused {
            file: file.to_owned(),
            attack: attack_of(&source),
            source,
        }
    }

    /// What it looks like, when it may be an attack and is not only a gap or a broken disk.
    #[must_use]
    pub fn attack(&self) -> Option<Attack> {
        match self {
            Self::Refused { attack, .. } => Some(*attack),
            Self::TooLarge { .. } => Some(Attack::EndlessData),
            Self::NotText { .. } => Some(Attack::Malformed),
            Self::UnknownTarget(_) => Some(Attack::MixAndMatch),
            Self::Absent { .. }
            | Self::TooManyRoots(_)
            | Self::Incomplete
            | Self::Format(_)
            | Self::Record(_) => None,
        }
    }
}

fn attack_of(error: &TufError) -> Attack {
    match error {
        TufError::Rollback { .. } | TufError::BadRootVersion { .. } => Attack::Rollback,
        TufError::Expired { .. } => Attack::Expired,
        TufError::IntegrityMismatch(_) => Attack::MixAndMatch,
        TufError::ThresholdNotMet { .. }
        | TufError::DuplicateSignature { .. }
        | TufError::Crypto(_) => Attack::BadSignature,
        _ => Attack::Malformed,
    }
}

/// The root's own field that says that a key made for development holds one of its roles.
const TRUST_FIELD: &str = "x-espalier-trust";

/// How far a root lets itself be trusted: whoever made it with a development key marked it so for good.
///
/// # Errors
/// When it does not sign itself.
pub fn root_trust(root: &str) -> Result<TrustLevel, TrustError> {
    crypto::install();
    let set =
        TrustedMetadataSet::from_root(root.as_bytes()).map_err(TrustError::refused("root"))?;
    Ok(if set.root().extra.contains_key(TRUST_FIELD) {
        TrustLevel::Development
    } else {
        TrustLevel::Production
    })
}

/// What the release keys say about one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub length: u64,
}

/// All files of a device's trust in one record, each exactly as it was signed.
///
/// One record, because then a power cut cannot leave a new timestamp beside a forgotten root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) format: u32,
    /// The claim's root, then every later one: they are walked again whenever the store is opened.
    pub(super) roots: Vec<String>,
    pub(super) timestamp: Option<String>,
    pub(super) snapshot: Option<String>,
    pub(super) targets: Option<String>,
}

/// The trusted metadata of a device.
#[derive(Debug)]
pub struct Metadata {
    pub(super) kept: Kept<Stored>,
    pub(super) stored: Stored,
    pub(super) set: TrustedMetadataSet,
}

impl Metadata {
    /// Begins trust with the claim's root.
    pub(crate) fn create(
        files: Arc<dyn Files>,
        path: &Path,
        first_root: &str,
    ) -> Result<(), TrustError> {
        crypto::install();
        TrustedMetadataSet::from_root(first_root.as_bytes())
            .map_err(TrustError::refused("root.json of the claim"))?;
        Ok(Kept::new(files, path).write(&Stored {
            format: FORMAT,
            roots: vec![first_root.to_owned()],
            timestamp: None,
            snapshot: None,
            targets: None,
        })?)
    }

    /// Reads the record and verifies everything in it again, expiry aside.
    pub(crate) fn open(files: Arc<dyn Files>, path: &Path) -> Result<Self, TrustError> {
        crypto::install();
        let kept: Kept<Stored> = Kept::new(files, path);
        let stored = kept.require()?;
        if stored.format != FORMAT {
            return Err(TrustError::Format(stored.format));
        }
        let mut roots = stored.roots.iter();
        let first = roots.next().ok_or(TrustError::Incomplete)?;
        let mut set = TrustedMetadataSet::from_root(first.as_bytes())
            .map_err(TrustError::refused("stored root"))?;
        for root in roots {
            set.update_root(root.as_bytes())
                .map_err(TrustError::refused("stored root"))?;
        }
        let mut metadata = Self { kept, stored, set };
        metadata.seed();
        Ok(metadata)
    }

    /// The versions that are trusted now; 0 for what is not there yet.
    #[must_use]
    pub fn versions(&self) -> TufVersions {
        TufVersions {
            root: self.set.root().version,
            timestamp: self
                .set
                .timestamp()
                .map_or(0, |timestamp| timestamp.version),
            snapshot: self.set.snapshot().map_or(0, |snapshot| snapshot.version),
            targets: self
                .set
                .targets_role("targets")
                .map_or(0, |targets| targets.version),
        }
    }

    /// Begins to renew the metadata; the caller fetches what the refresh asks for.
    pub fn refresh(&mut self, now: Timestamp) -> Refresh<'_> {
        Refresh::new(self, now)
    }

    /// What the release keys say about a target.
    ///
    /// # Errors
    /// When the chain is incomplete or expired at `now`, or does not list the target with a SHA-256.
    pub fn target(&self, name: &str, now: Timestamp) -> Result<Target, TrustError> {
        self.check_fresh(now)?;
        let unknown = || TrustError::UnknownTarget(name.to_owned());
        let targets = self
            .set
            .targets_role("targets")
            .ok_or(TrustError::Incomplete)?;
        let file = targets.target(name).ok_or_else(unknown)?;
        let digest = file.hashes.get("sha256").and_then(|hex| hex.parse().ok());
        Ok(Target {
            digest: digest.ok_or_else(unknown)?,
            length: file.length,
        })
    }

    /// Whether the whole chain is there, belongs together and has not expired: nothing is vouched for otherwise.
    fn check_fresh(&self, now: Timestamp) -> Result<(), TrustError> {
        let set = &self.set;
        set.check_root_expired(now)
            .map_err(TrustError::refused("root.json"))?;
        set.check_timestamp_expired(now)
            .map_err(TrustError::refused("timestamp.json"))?;
        set.check_snapshot_expired(now)
            .map_err(TrustError::refused("snapshot.json"))?;
        let (Some(timestamp), Some(snapshot), Some(targets)) =
            (set.timestamp(), set.snapshot(), set.targets_role("targets"))
        else {
            return Err(TrustError::Incomplete);
        };
        if targets.is_expired(now) {
            let expired = TufError::Expired {
                role: "targets".into(),
                expires: targets.expires,
            };
            return Err(TrustError::refused("targets.json")(expired));
        }
        let snapshot_pin = timestamp.snapshot_meta().map(|pin| pin.version);
        let targets_pin = snapshot.meta.get("targets.json").map(|pin| pin.version);
        if snapshot_pin == Some(snapshot.version) && targets_pin == Some(targets.version) {
            Ok(())
        } else {
            Err(TrustError::Incomplete)
        }
    }

    /// Takes the stored lower roles as floors against rollback. Expired ones count: they authorise nothing, but nothing
    /// older is accepted. One that the present root no longer vouches for is passed over, as TUF asks after a rotation.
    pub(super) fn seed(&mut self) {
        // Nothing has expired at the beginning of time.
        let always = Timestamp::MIN;
        if let Some(timestamp) = &self.stored.timestamp {
            pass_over(
                "timestamp",
                self.set.update_timestamp(timestamp.as_bytes(), always),
            );
        }
        if let Some(snapshot) = &self.stored.snapshot {
            pass_over(
                "snapshot",
                self.set.update_snapshot(snapshot.as_bytes(), always),
            );
        }
        if let Some(targets) = &self.stored.targets {
            pass_over(
                "targets",
                self.set
                    .update_targets(targets.as_bytes(), always)
                    .map(|_| ()),
            );
        }
    }
}

fn pass_over(role: &str, seeded: Result<(), TufError>) {
    if let Err(error) = seeded {
        tracing::debug!(role, %error, "stored metadata are not vouched for any more");
    }
}
