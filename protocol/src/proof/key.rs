//! The key that signs bundles: ECDSA P-256, because Model Signing knows no Ed25519.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::Digest;

/// Bytes of an uncompressed point of P-256.
const POINT_BYTES: usize = 65;
/// What stands before the point in a `SubjectPublicKeyInfo` (DER, RFC 5480): `id-ecPublicKey` on `prime256v1`.
const PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
/// Characters of a line in PEM (RFC 7468).
const LINE: usize = 64;
/// The longest text that is read as a key in bytes; ours have 178.
const MAX_PEM_BYTES: usize = 4096;

/// The public half of a key that signs bundles; PEM as text.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BundleKey([u8; POINT_BYTES]);

/// Why bytes or a text are not such a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ECDSA P-256 public key in PEM (`{BEGIN}`, uncompressed)")]
pub struct InvalidBundleKey;

impl BundleKey {
    /// Wraps an uncompressed point, 65 bytes.
    ///
    /// # Errors
    /// When it is no such point.
    pub fn from_point(point: &[u8]) -> Result<Self, InvalidBundleKey> {
        match <[u8; POINT_BYTES]>::try_from(point) {
            Ok(bytes) if bytes[0] == 0x04 => Ok(Self(bytes)),
            _ => Err(InvalidBundleKey),
        }
    }

    /// The key as PEM, which every tool reads.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let text = BASE64.encode([&PREFIX[..], &self.0].concat());
        let (first, rest) = text.split_at(LINE);
        format!("{BEGIN}\n{first}\n{rest}\n{END}\n")
    }

    /// The SHA-256 of the key's PEM: how Model Signing names a key in a signature.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::of(self.to_pem().as_bytes())
    }

    /// Whether `signature` (ASN.1) is this key's over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0)
            .verify(message, signature)
            .is_ok()
    }
}

impl FromStr for BundleKey {
    type Err = InvalidBundleKey;
    fn from_str(text: &str) -> Result<Self, InvalidBundleKey> {
        if text.len() > MAX_PEM_BYTES {
            return Err(InvalidBundleKey);
        }
        let inner = text
            .trim()
            .strip_prefix(BEGIN)
            .and_then(|rest| rest.strip_suffix(END))
            .ok_or(InvalidBundleKey)?;
        let inner: String = inner.split_ascii_whitespace().collect();
        let der = BASE64.decode(inner).map_err(|_| InvalidBundleKey)?;
        Self::from_point(der.strip_prefix(&PREFIX).ok_or(InvalidBundleKey)?)
    }
}

impl TryFrom<String> for BundleKey {
    type Error = InvalidBundleKey;
    fn try_from(text: String) -> Result<Self, InvalidBundleKey> {
        text.parse()
    }
}

impl From<BundleKey> for String {
    fn from(key: BundleKey) -> String {
        key.to_pem()
    }
}

impl fmt::Debug for BundleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BundleKey({})", self.fingerprint())
    }
}
