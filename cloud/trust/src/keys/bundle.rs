//! The key that signs bundles for other people's tools: ECDSA P-256, in a file like those of the other keys.

use std::fmt;
use std::path::Path;

use espalier_protocol::proof::{BundleKey, SignatureError, Statement};
use espalier_protocol::trust::TrustLevel;
use ring::rand::SecureRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde::{Deserialize, Serialize};

use super::file::{malformed, read_private, write_once};
use super::secret::Secret;
use super::{KeyError, KeyFolder};

/// A key that signs bundles, in memory. Its debug form shows the public half only.
pub struct BundleSigner {
    pair: EcdsaKeyPair,
    public: BundleKey,
    trust: TrustLevel,
}

/// Why a bundle could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum BundleSignError {
    /// What should be signed cannot be.
    #[error(transparent)]
    Statement(#[from] SignatureError),
    /// The key would not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl BundleSigner {
    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> BundleKey {
        self.public
    }

    /// How far what it signs may be trusted.
    #[must_use]
    pub fn trust(&self) -> TrustLevel {
        self.trust
    }

    /// Signs a bundle by its `manifest.json`, which names the digest of every other file. Gives the bytes of
    /// `model.sig`.
    ///
    /// # Errors
    /// When it is no manifest, or there is no randomness.
    pub fn sign(
        &self,
        manifest: &[u8],
        rng: &dyn SecureRandom,
    ) -> Result<Vec<u8>, BundleSignError> {
        Statement::of(manifest)?.seal(&self.public, |message| {
            let signature = self.pair.sign(rng, message);
            let signature = signature.map_err(|_| KeyError::NoRandomness)?;
            Ok(signature.as_ref().to_vec())
        })
    }
}

impl fmt::Debug for BundleSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BundleSigner({})", self.public.fingerprint())
    }
}

/// The file of such a key, version 1.
#[derive(Clone, Serialize, Deserialize)]
pub struct BundleKeyFile {
    version: u32,
    /// The public half as PEM: what verifiers are given.
    public_key: BundleKey,
    #[serde(flatten)]
    secret: Secret,
}

impl BundleKeyFile {
    /// Makes a new development key: kept in the clear, marked as such.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn development(rng: &dyn SecureRandom) -> Result<Self, KeyError> {
        let (public_key, pkcs8) = generate(rng)?;
        Ok(Self {
            version: 1,
            public_key,
            secret: Secret::in_the_clear(&pkcs8),
        })
    }

    /// Makes a new key encrypted with `passphrase`.
    ///
    /// # Errors
    /// [`KeyError::WeakPassphrase`], [`KeyError::NoRandomness`].
    pub fn encrypted(passphrase: &str, rng: &dyn SecureRandom) -> Result<Self, KeyError> {
        let (public_key, pkcs8) = generate(rng)?;
        let label = public_key.to_pem();
        Ok(Self {
            version: 1,
            public_key,
            secret: Secret::encrypted(pkcs8, label.as_bytes(), passphrase, rng)?,
        })
    }

    /// The public half as the file states it; [`BundleKeyFile::open`] proves it.
    #[must_use]
    pub fn public_key(&self) -> BundleKey {
        self.public_key
    }

    /// How far what the key signs may be trusted: a key that lies in the clear is for development only.
    #[must_use]
    pub fn trust(&self) -> TrustLevel {
        self.secret.trust()
    }

    /// Opens the private half.
    ///
    /// # Errors
    /// [`KeyError::PassphraseNeeded`], [`KeyError::WrongPassphrase`], [`KeyError::Mismatch`], [`KeyError::Malformed`].
    pub fn open(
        &self,
        passphrase: Option<&str>,
        rng: &dyn SecureRandom,
    ) -> Result<BundleSigner, KeyError> {
        let label = self.public_key.to_pem();
        let pkcs8 = self.secret.open(label.as_bytes(), passphrase)?;
        let pair = read_pair(&pkcs8, rng)?;
        match public_half(&pair)? == self.public_key {
            true => Ok(BundleSigner {
                pair,
                public: self.public_key,
                trust: self.secret.trust(),
            }),
            false => Err(KeyError::Mismatch),
        }
    }

    /// Reads a key file; refuses one that others may read.
    ///
    /// # Errors
    /// [`KeyError::File`], [`KeyError::Exposed`], [`KeyError::Malformed`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let file: Self = serde_json::from_slice(&read_private(path)?).map_err(malformed)?;
        match file.version {
            1 => Ok(file),
            other => Err(KeyError::Malformed(format!(
                "version {other}; this program reads version 1"
            ))),
        }
    }

    /// Writes the key and its public half into `folder`. Never overwrites: a lost key cannot be had back.
    ///
    /// # Errors
    /// [`KeyError::File`], also when the key is already there.
    pub fn create(&self, folder: &KeyFolder) -> Result<(), KeyError> {
        let mut json = serde_json::to_vec_pretty(self).map_err(malformed)?;
        json.push(b'\n');
        write_once(&folder.bundle_key(), &json)?;
        self.write_public_half(folder)
    }

    /// Writes the public half beside the key, where it is missing.
    pub(super) fn write_public_half(&self, folder: &KeyFolder) -> Result<(), KeyError> {
        let path = folder.bundle_public_key();
        match path.exists() {
            true => Ok(()),
            false => write_once(&path, self.public_key.to_pem().as_bytes()),
        }
    }
}

impl fmt::Debug for BundleKeyFile {
    /// Shows the public half only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BundleKeyFile")
            .field("public_key", &self.public_key)
            .field("trust", &self.trust())
            .finish_non_exhaustive()
    }
}

fn generate(rng: &dyn SecureRandom) -> Result<(BundleKey, Vec<u8>), KeyError> {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, rng)
        .map_err(|_| KeyError::NoRandomness)?;
    let pair = read_pair(document.as_ref(), rng)?;
    Ok((public_half(&pair)?, document.as_ref().to_vec()))
}

fn read_pair(pkcs8: &[u8], rng: &dyn SecureRandom) -> Result<EcdsaKeyPair, KeyError> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, rng).map_err(malformed)
}

fn public_half(pair: &EcdsaKeyPair) -> Result<BundleKey, KeyError> {
    BundleKey::from_point(pair.public_key().as_ref()).map_err(malformed)
}
