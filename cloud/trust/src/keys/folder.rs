//! A folder with one key file for each role: `root.key.json`, `targets.key.json`, …, and the root that
//! first named them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use ring::rand::SecureRandom;

use super::{KeyError, KeyFile, SoftwareKey};

/// What a key is for. One key never serves two roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyRole {
    /// Release key, off line: says which keys hold the other roles.
    Root,
    /// Release key, off line: says which releases exist.
    Targets,
    /// On line: says which edition of the targets is current.
    Snapshot,
    /// On line: says that the snapshot is fresh.
    Timestamp,
    /// On line: says which device gets which release now.
    Deployer,
    /// On line: says which key belongs to which device.
    DeviceCa,
}

impl KeyRole {
    /// The keys that say what a good release is; in production they stay off the cloud's machines.
    pub const RELEASE: [Self; 2] = [Self::Root, Self::Targets];
    /// The keys that the running cloud needs.
    pub const ONLINE: [Self; 4] = [
        Self::Snapshot,
        Self::Timestamp,
        Self::Deployer,
        Self::DeviceCa,
    ];

    /// The role's name in file names and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
            Self::Deployer => "deployer",
            Self::DeviceCa => "device-ca",
        }
    }
}

impl fmt::Display for KeyRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A folder of key files.
#[derive(Debug, Clone)]
pub struct KeyFolder {
    path: PathBuf,
}

impl KeyFolder {
    /// A folder of keys that may or may not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of a role's key.
    #[must_use]
    pub fn file(&self, role: KeyRole) -> PathBuf {
        self.path.join(format!("{role}.key.json"))
    }

    /// The root that these keys began with, kept beside them: what whoever signs with them answers to.
    #[must_use]
    pub fn first_root(&self) -> PathBuf {
        self.path.join("1.root.json")
    }

    /// Makes a development key for every role that has none yet; keeps those that are there, so that a start
    /// that was cut short is finished by the next one.
    ///
    /// # Errors
    /// [`KeyError::File`], [`KeyError::NoRandomness`].
    pub fn complete_for_development(&self, rng: &dyn SecureRandom) -> Result<(), KeyError> {
        create_private_folder(&self.path)?;
        for role in KeyRole::RELEASE.into_iter().chain(KeyRole::ONLINE) {
            let path = self.file(role);
            if !path.exists() {
                KeyFile::development(rng)?.create(&path)?;
            }
        }
        Ok(())
    }

    /// Opens a role's key.
    ///
    /// # Errors
    /// As [`KeyFile::read`] and [`KeyFile::open`].
    pub fn open(&self, role: KeyRole, passphrase: Option<&str>) -> Result<SoftwareKey, KeyError> {
        KeyFile::read(&self.file(role))?.open(passphrase)
    }
}

fn create_private_folder(path: &Path) -> Result<(), KeyError> {
    let failed = |source| KeyError::File {
        path: path.to_owned(),
        action: "written",
        source,
    };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path).map_err(failed)
}
