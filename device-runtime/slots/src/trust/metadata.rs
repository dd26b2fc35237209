//! The TUF metadata that a device trusts, kept as they were signed.

use std::path::Path;
use std::sync::Arc;

use espalier_protocol::desired::TufVersions;
use espalier_protocol::trust::TrustLevel;
use jiff::Timestamp;
use sigstore_tuf::{Error as TufError, Role, TrustedMetadataSet};

use super::delegations::{self, Delegated, Sought, TOP};
use super::refresh::MAX_METADATA_BYTES;
use super::stored::{FORMAT, Stored, StoredRole};
use super::{Refresh, Target, TrustError, crypto};
use crate::files::Files;
use crate::record::Kept;

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
        Ok(Kept::new(files, path).write(&Stored::begin(first_root))?)
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
        self.stored.files()
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
        let fresh = StoredRole {
            role,
            delegator,
            text: text.to_owned(),
        };
        let set = &self.set;
        self.stored
            .keep_role(fresh, |role| delegations::pinned(set, role).is_some());
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
