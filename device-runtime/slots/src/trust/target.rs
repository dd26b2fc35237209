//! What the release keys say about one target.

use espalier_protocol::Digest;
use ring::digest;
use sigstore_tuf::TargetFile;

/// A target: how long its bytes are, and what they digest to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    length: u64,
    sha256: Option<Digest>,
    sha512: Option<[u8; digest::SHA512_OUTPUT_LEN]>,
}

impl Target {
    /// Reads what metadata say; `None` when they name no digest that can be checked here.
    pub(super) fn read(file: &TargetFile) -> Option<Self> {
        let sha256 = match file.hashes.get("sha256") {
            Some(hex) => Some(hex.to_ascii_lowercase().parse().ok()?),
            None => None,
        };
        let sha512 = match file.hashes.get("sha512") {
            Some(hex) => Some(read_sha512(hex)?),
            None => None,
        };
        let known = sha256.is_some() || sha512.is_some();
        known.then_some(Self {
            length: file.length,
            sha256,
            sha512,
        })
    }

    /// Its size in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The SHA-256 of its bytes, by which our own targets are kept; others may have none.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.sha256
    }

    /// The digest in front of its file's name where snapshots are consistent, in hexadecimal.
    #[must_use]
    pub fn prefix(&self) -> String {
        match (self.sha256, self.sha512) {
            (Some(sha256), _) => sha256.to_string(),
            (None, sha512) => sha512.map(hex::encode).unwrap_or_default(),
        }
    }

    /// Whether these are its bytes: length and every digest agree.
    #[must_use]
    pub fn is(&self, bytes: &[u8]) -> bool {
        let sha512 = |known: [u8; digest::SHA512_OUTPUT_LEN]| {
            digest::digest(&digest::SHA512, bytes).as_ref() == known
        };
        self.length == bytes.len() as u64
            && self.sha256.is_none_or(|known| Digest::of(bytes) == known)
            && self.sha512.is_none_or(sha512)
    }
}

fn read_sha512(text: &str) -> Option<[u8; digest::SHA512_OUTPUT_LEN]> {
    let mut bytes = [0; digest::SHA512_OUTPUT_LEN];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}
