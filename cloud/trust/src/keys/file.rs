//! The key file: JSON with a version, and one of two ways to keep the private half.

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;

use espalier_protocol::trust::{PublicKey, SigningKey, TrustLevel};
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::{KeyError, PublicHalf, SoftwareKey};

/// Largest key file that is read; ours are under 1 KiB.
const MAX_FILE_BYTES: u64 = 16 * 1024;

/// A key file's content, version 1.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeyFile {
    version: u32,
    /// The public half: a listing of keys needs no passphrase.
    public_key: PublicKey,
    #[serde(flatten)]
    secret: Secret,
}

impl KeyFile {
    /// Makes a new development key: kept in the clear, marked as such.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn development(rng: &dyn SecureRandom) -> Result<Self, KeyError> {
        let (key, pkcs8) = generate(rng)?;
        Ok(Self::new(&key, Secret::in_the_clear(&pkcs8)))
    }

    /// Makes a new key encrypted with `passphrase`.
    ///
    /// # Errors
    /// [`KeyError::WeakPassphrase`] under [`super::MIN_PASSPHRASE_CHARS`], [`KeyError::NoRandomness`].
    pub fn encrypted(passphrase: &str, rng: &dyn SecureRandom) -> Result<Self, KeyError> {
        let (key, pkcs8) = generate(rng)?;
        let public = key.public();
        let secret = Secret::encrypted(pkcs8, public.as_bytes(), passphrase, rng)?;
        Ok(Self::new(&key, secret))
    }

    fn new(key: &SigningKey, secret: Secret) -> Self {
        Self {
            version: 1,
            public_key: key.public(),
            secret,
        }
    }

    /// How far what the key signs may be trusted: a key that lies in the clear is for development only.
    #[must_use]
    pub fn trust(&self) -> TrustLevel {
        self.secret.trust()
    }

    /// The public half as the file states it; [`KeyFile::open`] proves it.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// What other holders are given of it.
    #[must_use]
    pub fn public_half(&self) -> PublicHalf {
        PublicHalf::new(self.public_key, self.trust())
    }

    /// Opens the private half.
    ///
    /// # Errors
    /// [`KeyError::PassphraseNeeded`], [`KeyError::WrongPassphrase`], [`KeyError::Mismatch`], [`KeyError::Malformed`].
    pub fn open(&self, passphrase: Option<&str>) -> Result<SoftwareKey, KeyError> {
        let pkcs8 = self.secret.open(self.public_key.as_bytes(), passphrase)?;
        let pair = SigningKey::from_pkcs8(&pkcs8).map_err(malformed)?;
        match pair.public() == self.public_key {
            true => Ok(SoftwareKey::new(pair, self.trust())),
            false => Err(KeyError::Mismatch),
        }
    }

    /// Reads a key file; refuses one that others may read.
    ///
    /// # Errors
    /// [`KeyError::File`], [`KeyError::Exposed`], [`KeyError::Malformed`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        Self::from_json(&read_private(path)?)
    }

    /// Parses a key file's bytes.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, KeyError> {
        let file: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        match file.version {
            1 => Ok(file),
            other => Err(KeyError::Malformed(format!(
                "version {other}; this program reads version 1"
            ))),
        }
    }

    /// Writes a new key file, readable by its owner only. Never overwrites: a lost key cannot be had back.
    ///
    /// # Errors
    /// [`KeyError::File`], also when the file is already there.
    pub fn create(&self, path: &Path) -> Result<(), KeyError> {
        let mut json = serde_json::to_vec_pretty(self).map_err(malformed)?;
        json.push(b'\n');
        write_once(path, &json)
    }
}

impl fmt::Debug for KeyFile {
    /// Shows the public half only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile")
            .field("public_key", &self.public_key)
            .field("trust", &self.trust())
            .finish_non_exhaustive()
    }
}

fn generate(rng: &dyn SecureRandom) -> Result<(SigningKey, Vec<u8>), KeyError> {
    SigningKey::generate(rng).map_err(|_| KeyError::NoRandomness)
}

pub(super) fn malformed(reason: impl fmt::Display) -> KeyError {
    KeyError::Malformed(reason.to_string())
}

/// Reads a file that only its owner may read.
pub(super) fn read_private(path: &Path) -> Result<Vec<u8>, KeyError> {
    let failed = |source| KeyError::File {
        path: path.to_owned(),
        action: "read",
        source,
    };
    let facts = fs::metadata(path).map_err(failed)?;
    refuse_exposed(path, &facts)?;
    if facts.len() > MAX_FILE_BYTES {
        return Err(KeyError::Malformed(format!(
            "{} bytes, at most {MAX_FILE_BYTES}",
            facts.len()
        )));
    }
    fs::read(path).map_err(failed)
}

/// Writes a new file, whole or not at all, also through a power cut: beside its place, then linked into it. A
/// temporary file has mode 0600 from its first byte.
pub(super) fn write_once(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(|source| KeyError::File {
        path: path.to_owned(),
        action: "written",
        source,
    })
}

/// A private key, or the passphrase of one, that others may read is none.
///
/// # Errors
/// [`KeyError::Exposed`] when others than its owner may read the file, with the command that mends it.
#[cfg(unix)]
pub fn refuse_exposed(path: &Path, facts: &fs::Metadata) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = facts.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(KeyError::Exposed {
            path: path.to_owned(),
            mode,
        })
    }
}

/// Where files have no modes, nothing can be said against one.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn refuse_exposed(_path: &Path, _facts: &fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}
