//! The private half of a key, as a file keeps it: in the clear for development, else under a passphrase.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use espalier_protocol::trust::TrustLevel;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::pbkdf2;
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};

use super::KeyError;

/// Shortest passphrase that a key file is encrypted with.
pub const MIN_PASSPHRASE_CHARS: usize = 12;

/// Rounds of PBKDF2-HMAC-SHA-256 for new files; OWASP's password-storage figure of 2023.
const KDF_ROUNDS: u32 = 600_000;

/// Most rounds that are accepted from a file: a planted file must not be able to stall the process for hours.
const MAX_KDF_ROUNDS: u32 = 10_000_000;

const SALT_BYTES: usize = 16;

/// A PKCS#8 document, kept in one of two ways.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "protection", rename_all = "kebab-case")]
pub(super) enum Secret {
    Development { pkcs8: String },
    Passphrase { kdf: Kdf, cipher: Cipher },
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub(super) enum Kdf {
    #[serde(rename = "pbkdf2-hmac-sha256")]
    Pbkdf2 { rounds: NonZeroU32, salt: String },
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub(super) enum Cipher {
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm { nonce: String, ciphertext: String },
}

impl Secret {
    /// Kept in the clear, and marked as such.
    pub(super) fn in_the_clear(pkcs8: &[u8]) -> Self {
        Self::Development {
            pkcs8: BASE64.encode(pkcs8),
        }
    }

    /// Encrypted. The encryption covers the public half, so that a file cannot be re-labelled as another key.
    pub(super) fn encrypted(
        mut pkcs8: Vec<u8>,
        public_half: &[u8],
        passphrase: &str,
        rng: &dyn SecureRandom,
    ) -> Result<Self, KeyError> {
        if passphrase.chars().count() < MIN_PASSPHRASE_CHARS {
            return Err(KeyError::WeakPassphrase);
        }
        let salt: [u8; SALT_BYTES] = random(rng)?;
        let nonce: [u8; NONCE_LEN] = random(rng)?;
        let rounds = NonZeroU32::new(KDF_ROUNDS).unwrap_or(NonZeroU32::MIN);
        sealing_key(passphrase, rounds, &salt)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(public_half),
                &mut pkcs8,
            )
            .map_err(|_| KeyError::Malformed("the key could not be encrypted".to_owned()))?;
        Ok(Self::Passphrase {
            kdf: Kdf::Pbkdf2 {
                rounds,
                salt: BASE64.encode(salt),
            },
            cipher: Cipher::Aes256Gcm {
                nonce: BASE64.encode(nonce),
                ciphertext: BASE64.encode(pkcs8),
            },
        })
    }

    /// How far what the key signs may be trusted: a key that lies in the clear is for development only.
    pub(super) fn trust(&self) -> TrustLevel {
        match self {
            Self::Development { .. } => TrustLevel::Development,
            Self::Passphrase { .. } => TrustLevel::Production,
        }
    }

    /// The PKCS#8 document.
    pub(super) fn open(
        &self,
        public_half: &[u8],
        passphrase: Option<&str>,
    ) -> Result<Vec<u8>, KeyError> {
        match self {
            Self::Development { pkcs8 } => decode(pkcs8),
            Self::Passphrase { kdf, cipher } => {
                let passphrase = passphrase.ok_or(KeyError::PassphraseNeeded)?;
                decrypt(kdf, cipher, public_half, passphrase)
            }
        }
    }
}

fn decrypt(
    kdf: &Kdf,
    cipher: &Cipher,
    public_half: &[u8],
    passphrase: &str,
) -> Result<Vec<u8>, KeyError> {
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
        .open_in_place(nonce, Aad::from(public_half), &mut secret)
        .map_err(|_| KeyError::WrongPassphrase)?;
    Ok(plain.to_vec())
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
