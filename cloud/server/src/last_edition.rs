//! The last edition of the signed metadata, kept in the state folder: the floor that no database goes below.
//!
//! A database that is restored from an older copy knows older versions and counters than devices have seen. Signed on
//! those, everything would look to them like a replay. So each edition is kept here before the database takes it, and a
//! database that turns out to be older is told of it at the next start.

use std::path::{Path, PathBuf};

use espalier_protocol::Tenant;
use espalier_store::{Metadata, Role};
use espalier_trust::tuf::{TrustedRoot, TrustedTargets};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    principal::write_private,
    refusal::{Outcome, Refusal},
};

/// The largest record that is read: targets may have 8 MiB, and JSON in JSON grows.
const MAX_BYTES: u64 = 64 << 20;

/// The folder with each tenant's last edition.
#[derive(Debug, Clone)]
pub struct LastEditions {
    folder: PathBuf,
}

/// All that devices were given last, beside the roots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastEdition {
    /// The version of the root that vouches for it.
    pub root: u64,
    targets: KeptFile,
    snapshot: KeptFile,
    timestamp: KeptFile,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptFile {
    version: u64,
    expires_at: Timestamp,
    text: String,
}

impl LastEditions {
    /// In this folder of the state folder, which is made.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn in_folder(folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Keeps an edition, durably. What is kept and never published does no harm: it was signed for devices.
    ///
    /// # Errors
    /// When the disk refuses; then nothing may be published.
    pub fn keep(
        &self,
        tenant: &Tenant,
        root: &TrustedRoot,
        targets: &TrustedTargets,
        snapshot: &Metadata,
        timestamp: &Metadata,
    ) -> Outcome<()> {
        let version = root.version().get();
        self.write(&self.root_file(tenant, version), root.bytes())?;
        let last = LastEdition {
            root: version,
            targets: KeptFile {
                version: targets.version().get(),
                expires_at: targets.expires(),
                text: text(targets.bytes())?,
            },
            snapshot: KeptFile::of(snapshot)?,
            timestamp: KeptFile::of(timestamp)?,
        };
        let bytes = serde_json::to_vec(&last).map_err(Refusal::internal)?;
        self.write(&self.file(tenant), &bytes)
    }

    /// A tenant's last edition, if one was kept.
    ///
    /// # Errors
    /// When it cannot be read: a damaged floor is not the same as none.
    pub fn find(&self, tenant: &Tenant) -> Outcome<Option<LastEdition>> {
        let path = self.file(tenant);
        let Some(bytes) = read(&path)? else {
            return Ok(None);
        };
        let last = serde_json::from_slice(&bytes).map_err(|error| {
            unusable(&path, &error)
                .with_hint("restore it with the state folder's backup; removing it gives up the protection against a database that is older than what devices have seen")
        })?;
        Ok(Some(last))
    }

    /// A root that was kept with an edition.
    ///
    /// # Errors
    /// When it is not there, or cannot be read.
    pub fn root(&self, tenant: &Tenant, version: u64) -> Outcome<Vec<u8>> {
        let path = self.root_file(tenant, version);
        read(&path)?.ok_or_else(|| unusable(&path, &"it is not there"))
    }

    fn file(&self, tenant: &Tenant) -> PathBuf {
        self.folder.join(format!("{tenant}.json"))
    }

    fn root_file(&self, tenant: &Tenant, version: u64) -> PathBuf {
        self.folder.join(format!("{tenant}.{version}.root.json"))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Outcome<()> {
        if read(path)?.is_some_and(|kept| kept == bytes) {
            return Ok(());
        }
        write_private(path, bytes).map_err(|error| unusable(path, &error))
    }
}

impl LastEdition {
    /// The version of its timestamp, which grows with every edition.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.timestamp.version
    }

    /// The targets as they were signed.
    #[must_use]
    pub fn targets(&self) -> &[u8] {
        self.targets.text.as_bytes()
    }

    /// Its files, for the database.
    #[must_use]
    pub fn files(&self) -> [Metadata; 3] {
        [
            self.targets.metadata(Role::Targets),
            self.snapshot.metadata(Role::Snapshot),
            self.timestamp.metadata(Role::Timestamp),
        ]
    }
}

impl KeptFile {
    fn of(file: &Metadata) -> Outcome<Self> {
        Ok(Self {
            version: file.version,
            expires_at: file.expires_at,
            text: text(&file.bytes)?,
        })
    }

    fn metadata(&self, role: Role) -> Metadata {
        Metadata {
            role,
            version: self.version,
            expires_at: self.expires_at,
            bytes: self.text.clone().into_bytes(),
        }
    }
}

fn text(bytes: &[u8]) -> Outcome<String> {
    String::from_utf8(bytes.to_vec()).map_err(Refusal::internal)
}

fn read(path: &Path) -> Outcome<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(path, &error)),
        Ok(about) if about.len() > MAX_BYTES => {
            return Err(unusable(path, &"it is larger than any edition"));
        }
        Ok(_) => {}
    }
    std::fs::read(path)
        .map(Some)
        .map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> Refusal {
    Refusal::internal(format!("{}: {why}", path.display()))
}
