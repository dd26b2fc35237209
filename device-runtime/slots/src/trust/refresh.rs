//! Renewing TUF metadata, without a network of its own: it says which file it wants, and is given its bytes.

use jiff::Timestamp;
use sigstore_tuf::{Error as TufError, Role};

use super::{Metadata, TrustError};
use crate::trust::delegations::TOP;
use crate::trust::metadata::checked_text;

/// New roots that one refresh walks; stops an endless chain.
const MAX_ROOTS: u64 = 64;
/// The largest root in bytes; stops endless data, as do the next three.
const ROOT_LIMIT: u64 = 512 * 1024;
const TIMESTAMP_LIMIT: u64 = 16 * 1024;
const SNAPSHOT_LIMIT: u64 = 512 * 1024;
const TARGETS_LIMIT: u64 = MAX_METADATA_BYTES;
/// The largest metadata file in bytes, whatever its role; a relay passes on no larger one.
pub const MAX_METADATA_BYTES: u64 = 4 * 1024 * 1024;

/// A metadata file that is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name below `tuf/`.
    pub file: String,
    /// The most bytes that it may have.
    pub limit: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Root { next: u64, last: u64 },
    Timestamp,
    Snapshot { version: u64 },
    Targets { version: u64 },
    Done,
}

/// One walk root → timestamp → snapshot → targets (TUF 1.0.34 §5.3 to §5.6). What it accepted is
/// durable when it ends, well, badly, or by [`break_off`](Self::break_off); a root at once.
#[derive(Debug)]
pub struct Refresh<'a> {
    metadata: &'a mut Metadata,
    now: Timestamp,
    stage: Stage,
}

impl<'a> Refresh<'a> {
    pub(super) fn new(metadata: &'a mut Metadata, now: Timestamp) -> Self {
        let have = metadata.set.root().version;
        let stage = Stage::Root {
            next: have.saturating_add(1),
            last: have.saturating_add(MAX_ROOTS),
        };
        Self {
            metadata,
            now,
            stage,
        }
    }

    /// The file to fetch next, or `None` when the walk is over.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted> {
        let (file, limit) = match self.stage {
            Stage::Root { next, .. } => (format!("{next}.root.json"), ROOT_LIMIT),
            Stage::Timestamp => ("timestamp.json".to_owned(), TIMESTAMP_LIMIT),
            Stage::Snapshot { version } => {
                (self.versioned(version, "snapshot.json"), SNAPSHOT_LIMIT)
            }
            Stage::Targets { version } => (self.versioned(version, "targets.json"), TARGETS_LIMIT),
            Stage::Done => return None,
        };
        Some(Wanted { file, limit })
    }

    /// Gives the bytes of the wanted file, or `None` when the source says that there is no such file.
    ///
    /// # Errors
    /// Why the file is refused; what was trusted before still is.
    pub fn supply(&mut self, bytes: Option<&[u8]>) -> Result<(), TrustError> {
        let outcome = self.take(bytes);
        let ends = outcome.is_err() || self.stage == Stage::Done;
        // In one write: the record holds all files, and most of the time of a walk would go into writing it.
        let kept = if ends { self.metadata.keep() } else { Ok(()) };
        outcome.and(kept)
    }

    /// Ends a walk that cannot go on because the source is gone, and makes durable what it accepted: whoever cuts the line
    /// after a timestamp must not offer an older one after a restart.
    ///
    /// # Errors
    /// The disk's.
    pub fn break_off(self) -> Result<(), TrustError> {
        self.metadata.keep()
    }

    fn take(&mut self, bytes: Option<&[u8]>) -> Result<(), TrustError> {
        let Some(Wanted { file, limit }) = self.wanted() else {
            return Ok(());
        };
        let Some(bytes) = bytes else {
            return self.absent(file);
        };
        let text = checked_text(&file, bytes, limit)?;
        match self.stage {
            Stage::Root { next, last } => self.root(&file, text, next, last),
            Stage::Timestamp => self.timestamp(&file, text),
            Stage::Snapshot { .. } => self.snapshot(&file, text),
            Stage::Targets { .. } => self.targets(&file, text),
            Stage::Done => Ok(()),
        }
    }

    fn versioned(&self, version: u64, name: &str) -> String {
        if self.metadata.set.root().consistent_snapshot {
            format!("{version}.{name}")
        } else {
            name.to_owned()
        }
    }

    fn absent(&mut self, file: String) -> Result<(), TrustError> {
        match self.stage {
            // The end of the chain of roots.
            Stage::Root { .. } => self.roots_end(),
            _ => Err(TrustError::Absent { file }),
        }
    }

    fn root(&mut self, file: &str, text: &str, next: u64, last: u64) -> Result<(), TrustError> {
        self.metadata
            .set
            .update_root(text.as_bytes())
            .map_err(TrustError::refused(file))?;
        self.metadata
            .change(|stored| stored.roots.push(text.to_owned()));
        // A root is rare, and may take a stolen key's rights: a power cut must not give them back.
        self.metadata.keep()?;
        if next == last {
            return Err(TrustError::TooManyRoots(MAX_ROOTS));
        }
        self.stage = Stage::Root {
            next: next + 1,
            last,
        };
        Ok(())
    }

    fn roots_end(&mut self) -> Result<(), TrustError> {
        let set = &self.metadata.set;
        set.check_root_expired(self.now)
            .map_err(TrustError::refused("root.json"))?;
        // A new root dropped the lower roles; the stored ones are floors if it still vouches for them.
        self.metadata.seed();
        self.stage = Stage::Timestamp;
        Ok(())
    }

    fn timestamp(&mut self, file: &str, text: &str) -> Result<(), TrustError> {
        match self
            .metadata
            .set
            .update_timestamp(text.as_bytes(), self.now)
        {
            Ok(()) => self
                .metadata
                .change(|stored| stored.timestamp = Some(text.to_owned())),
            // The one that is trusted stays: nothing changed.
            Err(TufError::EqualVersion { .. }) => {}
            Err(error) => return Err(TrustError::refused(file)(error)),
        }
        self.after_timestamp()
    }

    fn after_timestamp(&mut self) -> Result<(), TrustError> {
        let set = &self.metadata.set;
        set.check_timestamp_expired(self.now)
            .map_err(TrustError::refused("timestamp.json"))?;
        let pin = set
            .timestamp()
            .and_then(|timestamp| timestamp.snapshot_meta());
        let version = pin.ok_or(TrustError::Incomplete)?.version;
        let trusted = set
            .snapshot()
            .filter(|snapshot| snapshot.version == version);
        if trusted.is_some_and(|snapshot| !snapshot.is_expired(self.now)) {
            return self.after_snapshot();
        }
        self.stage = Stage::Snapshot { version };
        Ok(())
    }

    fn snapshot(&mut self, file: &str, text: &str) -> Result<(), TrustError> {
        self.metadata
            .set
            .update_snapshot(text.as_bytes(), self.now)
            .map_err(TrustError::refused(file))?;
        self.metadata
            .change(|stored| stored.snapshot = Some(text.to_owned()));
        self.after_snapshot()
    }

    fn after_snapshot(&mut self) -> Result<(), TrustError> {
        let set = &self.metadata.set;
        let pin = set
            .snapshot()
            .and_then(|snapshot| snapshot.meta.get("targets.json"));
        let version = pin.ok_or(TrustError::Incomplete)?.version;
        let trusted = set
            .targets_role(TOP)
            .filter(|targets| targets.version == version);
        self.stage = match trusted {
            Some(targets) if !targets.is_expired(self.now) => Stage::Done,
            _ => Stage::Targets { version },
        };
        Ok(())
    }

    fn targets(&mut self, file: &str, text: &str) -> Result<(), TrustError> {
        self.metadata
            .set
            .update_targets(text.as_bytes(), self.now)
            .map_err(TrustError::refused(file))?;
        self.metadata
            .change(|stored| stored.targets = Some(text.to_owned()));
        // The new snapshot dropped the delegated roles, and may name the same editions of them.
        self.metadata.seed_delegated();
        self.stage = Stage::Done;
        Ok(())
    }
}
