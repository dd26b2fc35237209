//! The TUF metadata that a device trusts, kept as they were signed.

use std::path::Path;
use std::sync::Arc;

use espalier_protocol::desired::TufVersions;
use espalier_protocol::report::Attack;
use espalier_protocol::trust::TrustLevel;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sigstore_tuf::{Error as TufError, Role, TrustedMetadataSet};

use super::delegations::{self, Delegated, Sought, TOP};
use super::refresh::MAX_METADATA_BYTES;
use super::{Refresh, Target, crypto};
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
    /// More delegated roles than one search may look at.
    #[error(
        "more than {0} delegated roles stand between the root and a target: the release keys must delegate less"
    )]
    TooManyDelegations(usize),
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
            | Self::TooManyDelegations(_)
            | Self::Incomplete
            | Self::Format(_)
            | Self::Record(_) => None,
        }
    }
}

fn attack_of(error: &TufError) -> Attack {
    match error {
        TufError::Rollback { .. } | TufError::BadRootVersion { .. } => Attack::Rollback,
        TufError::Expired { .. } => Attack::Frozen,
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
    /// Delegated roles, each after its delegator.
    #[serde(default)]
    pub(super) delegated: Vec<StoredRole>,
}

/// A delegated role as it was signed, with the way by which it was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredRole {
    role: String,
    delegator: String,
    text: String,
}

/// The trusted metadata of a device.
#[derive(Debug)]
pub struct Metadata {
    kept: Kept<Stored>,
    stored: Stored,
    pub(super) set: TrustedMetadataSet,
    /// Whether the record lacks something that is trusted.
    unkept: bool,
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
            delegated: Vec::new(),
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
        let mut metadata = Self {
            kept,
            stored,
            set,
            unkept: false,
        };
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
                .targets_role(TOP)
                .map_or(0, |targets| targets.version),
        }
    }

    /// The trusted files as they were signed, by their names without versions.
    pub fn files(&self) -> impl Iterator<Item = (String, &str)> {
        let stored = &self.stored;
        let top = [
            ("root", stored.roots.last()),
            ("timestamp", stored.timestamp.as_ref()),
            ("snapshot", stored.snapshot.as_ref()),
            (TOP, stored.targets.as_ref()),
        ];
        let top = top
            .into_iter()
            .filter_map(|(role, text)| Some((role, text?.as_str())));
        let delegated = stored
            .delegated
            .iter()
            .map(|stored| (stored.role.as_str(), stored.text.as_str()));
        top.chain(delegated)
            .map(|(role, text)| (format!("{}.json", delegations::escape(role)), text))
    }

    /// Whether files are named by version and targets by digest.
    #[must_use]
    pub fn consistent_snapshot(&self) -> bool {
        self.set.root().consistent_snapshot
    }

    /// When the trusted timestamp ends: until then the metadata are known to be the newest.
    #[must_use]
    pub fn fresh_until(&self) -> Option<Timestamp> {
        self.set.timestamp().map(|timestamp| timestamp.expires)
    }

    /// Begins to renew the metadata; the caller fetches what the refresh asks for.
    pub fn refresh(&mut self, now: Timestamp) -> Refresh<'_> {
        Refresh::new(self, now)
    }

    /// What the release keys say about a target, as far as that is known here.
    ///
    /// # Errors
    /// When the chain is incomplete or expired at `now`, or no role on the way to the target vouches for it;
    /// [`TrustError::Absent`] when a role that may know was not fetched: [`seek`](Self::seek) names it.
    pub fn target(&self, name: &str, now: Timestamp) -> Result<Target, TrustError> {
        match self.seek(name, now)? {
            Sought::Found(target) => Ok(target),
            Sought::Needs(Delegated { file, .. }) => Err(TrustError::Absent { file }),
        }
    }

    /// What the top role itself says about a target, whatever it may delegate: who deploys is not a team's to say.
    ///
    /// # Errors
    /// As [`target`](Self::target).
    pub fn undelegated(&self, name: &str, now: Timestamp) -> Result<Target, TrustError> {
        self.check_fresh(now)?;
        delegations::top(&self.set, name)?.ok_or_else(|| TrustError::UnknownTarget(name.to_owned()))
    }

    /// Looks for a target, by delegations where the top role does not name it. The caller fetches what the search needs,
    /// gives it to [`supply`](Self::supply), and asks again.
    ///
    /// # Errors
    /// As [`target`](Self::target).
    pub fn seek(&self, name: &str, now: Timestamp) -> Result<Sought, TrustError> {
        self.check_fresh(now)?;
        delegations::seek(&self.set, name, now)
    }

    /// Takes the metadata of a delegated role that a search needs; `None` when the source says that there is no such file.
    /// A file has at most [`MAX_METADATA_BYTES`].
    ///
    /// # Errors
    /// Why the file is refused; what was trusted before still is.
    pub fn supply(
        &mut self,
        needed: Delegated,
        bytes: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<(), TrustError> {
        let Delegated {
            role,
            delegator,
            file,
        } = needed;
        let Some(bytes) = bytes else {
            return Err(TrustError::Absent { file });
        };
        let text = checked_text(&file, bytes, MAX_METADATA_BYTES)?;
        self.set
            .update_delegated_targets(bytes, &role, &delegator, now)
            .map_err(TrustError::refused(&file))?;
        self.keep_delegated(StoredRole {
            role,
            delegator,
            text: text.to_owned(),
        })
    }

    /// Keeps a delegated role, so that it need not be fetched again. The snapshot says which edition counts, so one that is
    /// not kept costs a fetch and no safety: roles that it names no more are let go, and those beyond the cap are not kept.
    fn keep_delegated(&mut self, fresh: StoredRole) -> Result<(), TrustError> {
        let kept = &mut self.stored.delegated;
        kept.retain(|old| delegations::pinned(&self.set, &old.role).is_some());
        // In its old place, because those that it delegates to stand behind it.
        match kept.iter_mut().find(|old| old.role == fresh.role) {
            Some(old) => *old = fresh,
            None => kept.push(fresh),
        }
        let mut bytes: usize = kept.iter().map(|role| role.text.len()).sum();
        while bytes as u64 > MAX_METADATA_BYTES {
            bytes -= kept.pop().map_or(bytes, |last| last.text.len());
        }
        self.unkept = true;
        self.keep()
    }

    pub(super) fn change(&mut self, change: impl FnOnce(&mut Stored)) {
        change(&mut self.stored);
        self.unkept = true;
    }

    /// Makes durable what is trusted.
    pub(super) fn keep(&mut self) -> Result<(), TrustError> {
        if self.unkept {
            self.kept.write(&self.stored)?;
            self.unkept = false;
        }
        Ok(())
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
            (set.timestamp(), set.snapshot(), set.targets_role(TOP))
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
        self.seed_delegated();
    }

    /// Takes the stored delegated roles that the present snapshot and delegators vouch for. A search judges their expiry.
    pub(super) fn seed_delegated(&mut self) {
        for StoredRole {
            role,
            delegator,
            text,
        } in &self.stored.delegated
        {
            let seeded =
                self.set
                    .update_delegated_targets(text.as_bytes(), role, delegator, Timestamp::MIN);
            pass_over(role, seeded.map(|_| ()));
        }
    }
}

/// The text of a file, when it is one and not too long.
pub(super) fn checked_text<'a>(
    file: &str,
    bytes: &'a [u8],
    limit: u64,
) -> Result<&'a str, TrustError> {
    let file = || file.to_owned();
    if bytes.len() as u64 > limit {
        return Err(TrustError::TooLarge {
            file: file(),
            limit,
        });
    }
    std::str::from_utf8(bytes).map_err(|_| TrustError::NotText { file: file() })
}

fn pass_over(role: &str, seeded: Result<(), TufError>) {
    if let Err(error) = seeded {
        tracing::debug!(role, %error, "stored metadata are not vouched for any more");
    }
}
