//! The public half of a key as a file: what holders give one another before a ceremony.

use std::fs;
use std::path::Path;

use espalier_protocol::trust::{KeyId, PublicKey, TrustLevel};
use serde::{Deserialize, Serialize};

use super::file::write_once;
use super::{KeyError, KeySource};

/// The version of the file that this code reads and writes.
const VERSION: u32 = 1;

/// Largest file that is read; ours are under 300 bytes.
const MAX_FILE_BYTES: usize = 4 * 1024;

/// A public key, and how far what its private half signs may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicHalf {
    key: PublicKey,
    trust: TrustLevel,
}

/// The file's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublicFile {
    version: u32,
    /// For people, who compare it by voice; it follows from the key.
    key_id: KeyId,
    public_key: PublicKey,
    trust: TrustLevel,
}

impl PublicHalf {
    /// A public key with the trust that its holder claims for it.
    #[must_use]
    pub fn new(key: PublicKey, trust: TrustLevel) -> Self {
        Self { key, trust }
    }

    /// The public half of a key that is at hand.
    #[must_use]
    pub fn of(key: &dyn KeySource) -> Self {
        Self::new(key.public_key(), key.trust())
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.key.id()
    }

    /// How far what it signs may be trusted.
    #[must_use]
    pub fn trust(&self) -> TrustLevel {
        self.trust
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] when they cannot be written.
    pub fn to_json(&self) -> Result<Vec<u8>, KeyError> {
        let file = PublicFile {
            version: VERSION,
            key_id: self.id(),
            public_key: self.key,
            trust: self.trust,
        };
        let mut json = serde_json::to_vec_pretty(&file).map_err(malformed)?;
        json.push(b'\n');
        Ok(json)
    }

    /// Parses a file's bytes.
    ///
    /// # Errors
    /// [`KeyError::NoPublicFile`], also when the id is not the key's.
    pub fn from_json(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() > MAX_FILE_BYTES {
            let reason = format!("{} bytes, at most {MAX_FILE_BYTES}", bytes.len());
            return Err(KeyError::NoPublicFile(reason));
        }
        let file: PublicFile = serde_json::from_slice(bytes)
            .map_err(|reason| KeyError::NoPublicFile(reason.to_string()))?;
        if file.version != VERSION {
            let reason = format!(
                "version {}; this program reads version {VERSION}",
                file.version
            );
            return Err(KeyError::NoPublicFile(reason));
        }
        let half = Self::new(file.public_key, file.trust);
        if half.id() == file.key_id {
            Ok(half)
        } else {
            Err(KeyError::NoPublicFile(
                "its key id is not its key's".to_owned(),
            ))
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`KeyError::File`]; as [`PublicHalf::from_json`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let bytes = fs::read(path).map_err(|source| KeyError::File {
            path: path.to_owned(),
            action: "read",
            source,
        })?;
        Self::from_json(&bytes)
    }

    /// Writes a new file. Never overwrites: another key may have been given out under this name.
    ///
    /// # Errors
    /// [`KeyError::File`], also when the file is already there.
    pub fn create(&self, path: &Path) -> Result<(), KeyError> {
        write_once(path, &self.to_json()?)
    }
}

fn malformed(reason: impl std::fmt::Display) -> KeyError {
    KeyError::NoPublicFile(reason.to_string())
}
