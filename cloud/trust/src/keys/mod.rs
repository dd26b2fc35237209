//! Signing keys behind one seam: whoever can sign Ed25519 for a known public key is a [`KeySource`].

mod bundle;
mod file;
mod folder;
mod public;
mod secret;
mod software;

pub use bundle::{BundleKeyFile, BundleSignError, BundleSigner};
pub use file::{KeyFile, refuse_exposed};
pub use folder::{KeyFolder, KeyRole};
pub use public::PublicHalf;
pub use secret::MIN_PASSPHRASE_CHARS;
pub use software::SoftwareKey;

use std::fmt;
use std::path::{Path, PathBuf};

use espalier_protocol::trust::{PublicKey, TrustLevel};

/// A signing key that may live anywhere: a file today, a token or a key service behind the same three questions.
///
/// Signing is synchronous on purpose: a local file, a PKCS#11 token and a key service's client can all offer it
/// from a blocking thread, and nothing that signs has to become async for the sake of one of them.
pub trait KeySource: Send + Sync + fmt::Debug {
    /// The public half.
    fn public_key(&self) -> PublicKey;

    /// Signs `message` with Ed25519; the signature is 64 bytes.
    ///
    /// # Errors
    /// [`KeyError::Refused`] when the holder of the key will not sign (locked token, service out of reach).
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;

    /// How far what it signs may be trusted. Development keys mark every root that names them.
    fn trust(&self) -> TrustLevel;
}

/// What can go wrong between a person's key and a signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The key file could not be read or written.
    #[error("the key file {} could not be {action}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// `read` or `written`.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others than the owner may read a private key, or the passphrase of one.
    #[error("{} may be read by others than its owner (mode {mode:o}); run `chmod 600` on it", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is no key file of ours, or one of a later version.
    #[error("this is no espalier key file: {0}")]
    Malformed(String),
    /// Not the public half of a key.
    #[error("this is no public half of a key, as `espalier keys public` writes it: {0}")]
    NoPublicFile(String),
    /// An encrypted key was opened without its passphrase.
    #[error("the key is encrypted and needs its passphrase")]
    PassphraseNeeded,
    /// The passphrase is wrong, or the file was changed: the two cannot be told apart.
    #[error("the passphrase does not open the key, or the key file was changed")]
    WrongPassphrase,
    /// A passphrase too short to be worth the encryption.
    #[error("a passphrase needs at least {MIN_PASSPHRASE_CHARS} characters")]
    WeakPassphrase,
    /// The private key does not belong to the public key that stands beside it.
    #[error("the private key does not belong to the public key in the same file")]
    Mismatch,
    /// A folder has no key of a role.
    #[error("there is no {role} key: {} does not exist; make one with `espalier keys generate`", path.display())]
    None {
        /// Which role.
        role: KeyRole,
        /// Where it would lie.
        path: PathBuf,
    },
    /// What is wrong with one of several files.
    #[error("{}: {why}", path.display())]
    In {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: Box<KeyError>,
    },
    /// The source of randomness failed.
    #[error("the system gave no randomness for a key")]
    NoRandomness,
    /// The key's holder would not sign.
    #[error("the key {key} would not sign: {reason}")]
    Refused {
        /// The key's public half, hex.
        key: String,
        /// Why, in the holder's words.
        reason: String,
    },
}

impl KeyError {
    /// The same error with the file's name, unless it says the name by itself.
    #[must_use]
    pub fn of(self, path: &Path) -> Self {
        match self {
            Self::File { .. } | Self::Exposed { .. } | Self::None { .. } | Self::In { .. } => self,
            why => Self::In {
                path: path.to_owned(),
                why: Box::new(why),
            },
        }
    }
}
