//! The key file: JSON with a version, and one of two ways to keep the private half.

use std::fmt;
use std::fs;
use std::io::Write;
use std::num::NonZeroU32;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use espalier_protocol::trust::{PublicKey, SigningKey, TrustLevel};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::pbkdf2;
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};

use super::{KeyError, SoftwareKey};

/// Shortest passphrase that a key file is encrypted with.
pub const MIN_PASSPHRASE_CHARS: usize = 12;

/// Rounds of PBKDF2-HMAC-SHA-256 for new files; OWASP's password-storage figure of 2023.
const KDF_ROUNDS: u32 = 600_000;

/// Most rounds that are accepted from a file: a planted file must not be able to stall the process for hours.
const MAX_KDF_ROUNDS: u32 = 10_000_000;

/// Largest key file that is read; ours are under 1 KiB.
const MAX_FILE_BYTES: u64 = 16 * 1024;

const SALT_BYTES: usize = 16;

/// A key file's content, version 1.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeyFile {
    version: u32,
    /// The public half: a listing of keys needs no passphrase.
    public_key: PublicKey,
    #[serde(flatten)]
    secret: Secret,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "protection", rename_all = "kebab-case")]
enum Secret {
    Development { pkcs8: String },
    Passphrase { kdf: Kdf, cipher: Cipher },
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
enum Kdf {
    #[serde(rename = "pbkdf2-hmac-sha256")]
    Pbkdf2 { rounds: NonZeroU32, salt: String },
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
enum Cipher {
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm { nonce: String, ciphertext: String },
}

impl KeyFile {
    /// Makes a new development key: kept in the clear, marked as such.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn development(rng: &dyn SecureRandom) -> Result<Self, KeyError> {
        let (key, pkcs8) = generate(rng)?;
        Ok(Self::new(
            &key,
            Secret::Development {
                pkcs8: BASE64.encode(pkcs8),
            },
        ))
    }

    /// Makes a new key encrypted with `passphrase`.
    ///
    /// # Errors
    /// [`KeyError::WeakPassphrase`] under [`MIN_PASSPHRASE_CHARS`], [`KeyError::NoRandomness`].
    pub fn encrypted(passphrase: &str, rng: &dyn SecureRandom) -> Result<Self, KeyError> {
        if passphrase.chars().count() < MIN_PASSPHRASE_CHARS {
            return Err(KeyError::WeakPassphrase);
        }
        let (key, mut secret) = generate(rng)?;
        let salt: [u8; SALT_BYTES] = random(rng)?;
        let nonce: [u8; NONCE_LEN] = random(rng)?;
        let rounds = NonZeroU32::new(KDF_ROUNDS).unwrap_or(NonZeroU32::MIN);
        sealing_key(passphrase, rounds, &salt)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                associated(&key.public()),
                &mut secret,
            )
            .map_err(|_| KeyError::Malformed("the key could not be encrypted".to_owned()))?;
        let kdf = Kdf::Pbkdf2 {
            rounds,
            salt: BASE64.encode(salt),
        };
        let cipher = Cipher::Aes256Gcm {
            nonce: BASE64.encode(nonce),
            ciphertext: BASE64.encode(secret),
        };
        Ok(Self::new(&key, Secret::Passphrase { kdf, cipher }))
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
        match self.secret {
            Secret::Development { .. } => TrustLevel::Development,
            Secret::Passphrase { .. } => TrustLevel::Production,
        }
    }

    /// The public half as the file states it; [`KeyFile::open`] proves it.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// Opens the private half.
    ///
    /// # Errors
    /// [`KeyError::PassphraseNeeded`], [`KeyError::WrongPassphrase`], [`KeyError::Mismatch`], [`KeyError::Malformed`].
    pub fn open(&self, passphrase: Option<&str>) -> Result<SoftwareKey, KeyError> {
        let pkcs8 = match &self.secret {
            Secret::Development { pkcs8 } => decode(pkcs8)?,
            Secret::Passphrase { kdf, cipher } => {
                self.decrypt(kdf, cipher, passphrase.ok_or(KeyError::PassphraseNeeded)?)?
            }
        };
        let pair = SigningKey::from_pkcs8(&pkcs8).map_err(malformed)?;
        match pair.public() == self.public_key {
            true => Ok(SoftwareKey::new(pair, self.trust())),
            false => Err(KeyError::Mismatch),
        }
    }

    fn decrypt(&self, kdf: &Kdf, cipher: &Cipher, passphrase: &str) -> Result<Vec<u8>, KeyError> {
        let Kdf::Pbkdf2 { rounds, salt } = kdf;
        let Cipher::Aes256Gcm { nonce, ciphertext } = cipher;
        if rounds.get() > MAX_KDF_ROUNDS {
            return Err(KeyError::Malformed(format!(
                "{rounds} rounds of key derivation, at most {MAX_KDF_ROUNDS}"
            )));
        }
        let nonce = Nonce::try_assume_unique_for_key(&decode(nonce)?)
            .map_err(|_| KeyError::Malformed(format!("a nonce has {NONCE_LEN} bytes")))?;
        let mut secret = decode(ciphertext)?;
        let plain = sealing_key(passphrase, *rounds, &decode(salt)?)?
            .open_in_place(nonce, associated(&self.public_key), &mut secret)
            .map_err(|_| KeyError::WrongPassphrase)?;
        Ok(plain.to_vec())
    }

    /// Reads a key file; refuses one that others may read.
    ///
    /// # Errors
    /// [`KeyError::File`], [`KeyError::Exposed`], [`KeyError::Malformed`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
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
        Self::from_json(&fs::read(path).map_err(failed)?)
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
        let failed = |source| KeyError::File {
            path: path.to_owned(),
            action: "written",
            source,
        };
        let mut json = serde_json::to_vec_pretty(self).map_err(malformed)?;
        json.push(b'\n');
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        write_once(folder, path, &json).map_err(failed)
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

/// The encryption covers the public key, so that a file cannot be re-labelled as another key.
fn associated(public_key: &PublicKey) -> Aad<&[u8]> {
    Aad::from(public_key.as_bytes())
}

fn generate(rng: &dyn SecureRandom) -> Result<(SigningKey, Vec<u8>), KeyError> {
    SigningKey::generate(rng).map_err(|_| KeyError::NoRandomness)
}

fn malformed(reason: impl fmt::Display) -> KeyError {
    KeyError::Malformed(reason.to_string())
}

fn sealing_key(passphrase: &str, rounds: NonZeroU32, salt: &[u8]) -> Result<LessSafeKey, KeyError> {
    let mut derived = [0_u8; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        rounds,
        salt,
        passphrase.as_bytes(),
        &mut derived,
    );
    UnboundKey::new(&AES_256_GCM, &derived)
        .map(LessSafeKey::new)
        .map_err(|_| KeyError::Malformed("AES-256 takes a key of 32 bytes".to_owned()))
}

fn random<const N: usize>(rng: &dyn SecureRandom) -> Result<[u8; N], KeyError> {
    let mut bytes = [0_u8; N];
    rng.fill(&mut bytes).map_err(|_| KeyError::NoRandomness)?;
    Ok(bytes)
}

fn decode(text: &str) -> Result<Vec<u8>, KeyError> {
    BASE64
        .decode(text)
        .map_err(|reason| KeyError::Malformed(format!("not base64: {reason}")))
}

/// Whole or not at all, also through a power cut: written beside its place, then linked into it. A temporary
/// file has mode 0600 from its first byte.
fn write_once(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(unix)]
fn refuse_exposed(path: &Path, facts: &fs::Metadata) -> Result<(), KeyError> {
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

#[cfg(not(unix))]
fn refuse_exposed(_path: &Path, _facts: &fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}
