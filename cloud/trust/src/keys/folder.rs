//! A folder with key files for each role: `root.key.json`, `targets.key.json`, …, while a key is being replaced
//! also `snapshot.2027.key.json` and the like, and the roots that name them.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::rand::SecureRandom;

use super::{BundleKeyFile, BundleSigner, KeyError, KeyFile, KeySource, SoftwareKey};

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

    /// The file of the key that signs bundles for other people's tools.
    #[must_use]
    pub fn bundle_key(&self) -> PathBuf {
        self.path.join("bundle.key.json")
    }

    /// The file of its public half (PEM), for whoever verifies bundles.
    #[must_use]
    pub fn bundle_public_key(&self) -> PathBuf {
        self.path.join("bundle.pub.pem")
    }

    /// A root of the chain that these keys belong to, kept beside them: what whoever signs with them answers to.
    #[must_use]
    pub fn root(&self, version: u64) -> PathBuf {
        self.path.join(format!("{version}.root.json"))
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
        match self.bundle_key().exists() {
            true => BundleKeyFile::read(&self.bundle_key())?.write_public_half(self),
            false => BundleKeyFile::development(rng)?.create(self),
        }
    }

    /// The files of all keys of a role: `ROLE.key.json` first, then `ROLE.NAME.key.json` by name. Keys lie beside
    /// one another while one replaces the other; signed metadata say which of them count.
    ///
    /// # Errors
    /// [`KeyError::File`] when the folder cannot be listed.
    pub fn files(&self, role: KeyRole) -> Result<Vec<PathBuf>, KeyError> {
        let failed = |source| KeyError::File {
            path: self.path.clone(),
            action: "read",
            source,
        };
        let mut names = Vec::new();
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            names.extend(
                name.to_str()
                    .filter(|name| is_of(role, name))
                    .map(str::to_owned),
            );
        }
        let oldest = format!("{role}.key.json");
        names.sort_by_key(|name| (*name != oldest, name.clone()));
        Ok(names.iter().map(|name| self.path.join(name)).collect())
    }

    /// Opens all keys of a role, in the order of [`KeyFolder::files`].
    ///
    /// # Errors
    /// As [`KeyFolder::files`], [`KeyFile::read`] and [`KeyFile::open`].
    pub fn open_all(
        &self,
        role: KeyRole,
        passphrase: Option<&str>,
    ) -> Result<Vec<Arc<dyn KeySource>>, KeyError> {
        let mut keys: Vec<Arc<dyn KeySource>> = Vec::new();
        for path in self.files(role)? {
            let opened = KeyFile::read(&path).and_then(|file| file.open(passphrase));
            keys.push(Arc::new(opened.map_err(|why| why.of(&path))?));
        }
        Ok(keys)
    }

    /// Opens the key that signs bundles.
    ///
    /// # Errors
    /// As [`BundleKeyFile::read`] and [`BundleKeyFile::open`].
    pub fn open_bundle_key(
        &self,
        passphrase: Option<&str>,
        rng: &dyn SecureRandom,
    ) -> Result<BundleSigner, KeyError> {
        BundleKeyFile::read(&self.bundle_key())?.open(passphrase, rng)
    }

    /// Opens a role's key.
    ///
    /// # Errors
    /// As [`KeyFile::read`] and [`KeyFile::open`].
    pub fn open(&self, role: KeyRole, passphrase: Option<&str>) -> Result<SoftwareKey, KeyError> {
        KeyFile::read(&self.file(role))?.open(passphrase)
    }
}

/// `ROLE.key.json` or `ROLE.NAME.key.json`.
fn is_of(role: KeyRole, file: &str) -> bool {
    let rest = file
        .strip_prefix(role.name())
        .and_then(|rest| rest.strip_suffix(".key.json"));
    rest.is_some_and(|name| name.is_empty() || (name.len() > 1 && name.starts_with('.')))
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
