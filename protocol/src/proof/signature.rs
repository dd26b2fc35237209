//! `model.sig`: a bundle's signature by the OpenSSF Model Signing specification v1.0, method `key`.
//!
//! A Sigstore bundle v0.3 in JSON holds a DSSE envelope, whose payload is an in-toto statement that lists every
//! file with its SHA-256. It is detached and covers `manifest.json` too, so it can be made from the manifest
//! alone, where the keys are, without a byte of the model.

use std::collections::BTreeMap;

use super::key::BundleKey;
use crate::{
    BundlePath, Digest,
    digest::Hasher,
    envelope::pre_authentication_encoding,
    manifest::{MANIFEST_FILE, Manifest, ManifestError},
    path::InvalidPath,
};

mod wire;

/// The largest signature in bytes: a statement over as many files as a manifest lists fits twice. Stops endless
/// data.
pub const MAX_SIGNATURE_BYTES: usize = 512 * 1024;

/// The signed payload's type: an in-toto statement.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// What a signature says: these files, with these bytes, belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    subject: String,
    files: BTreeMap<BundlePath, Digest>,
}

/// A `model.sig` that was read. What it says is only had by [`BundleSignature::verify`].
#[derive(Debug, Clone)]
pub struct BundleSignature {
    hint: String,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// Why a signature is refused.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// Larger than [`MAX_SIGNATURE_BYTES`].
    #[error("the signature has {0} bytes: at most {MAX_SIGNATURE_BYTES} are allowed")]
    TooLarge(usize),
    /// Not the JSON of a signature by a key.
    #[error("the signature cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Not base64 where it must be.
    #[error("the signature's {0} is not base64")]
    Base64(&'static str),
    /// Another format, or something that Model Signing allows and we do not make.
    #[error("the signature's {what} is `{found}`, not `{expected}`")]
    Form {
        /// Which part.
        what: &'static str,
        /// What must stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// None, or several: which of them would count?
    #[error("the signature holds {0} {1}: exactly one is allowed")]
    NotOne(usize, &'static str),
    /// Made with another key.
    #[error(
        "the signature is by the key `{found}`, not by {expected}; name the key of whoever signed"
    )]
    OtherKey {
        /// The fingerprint of the key that is trusted.
        expected: Digest,
        /// The key that the signature names.
        found: String,
    },
    /// The signature does not fit what it signs.
    #[error("the signature does not fit its statement: it was altered or forged")]
    Forged,
    /// A file name that leaves the bundle.
    #[error("the signature lists a file that no bundle can have: {0}")]
    Escape(#[from] InvalidPath),
    /// Not the SHA-256 of a file.
    #[error("the signature gives `{0}` no SHA-256")]
    NoDigest(BundlePath),
    /// A file that is listed twice, with whichever digest one would like.
    #[error("the signature lists `{0}` twice")]
    Twice(BundlePath),
    /// The digest over all files is not that of the files that are listed.
    #[error("the signature contradicts itself: the files that it lists have another digest")]
    Subject,
    /// What is to be signed is no manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Where files are not what was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// A signed file that is not there.
    #[error("`{0}` was signed and is missing")]
    Missing(BundlePath),
    /// A file with other bytes.
    #[error("`{0}` has other bytes than those that were signed")]
    Altered(BundlePath),
    /// A file that nobody signed.
    #[error("`{0}` was not signed")]
    Unsigned(BundlePath),
}

impl Statement {
    /// What is to be signed of a bundle: its `manifest.json` and every file that it lists.
    ///
    /// # Errors
    /// When the bytes are no manifest, or one that lists the signature itself.
    pub fn of(manifest: &[u8]) -> Result<Self, SignatureError> {
        let read = Manifest::parse(manifest)?;
        let listed = read.files.iter();
        let mut files: BTreeMap<_, _> = listed
            .map(|(path, entry)| (path.clone(), entry.sha256))
            .collect();
        files.insert(MANIFEST_FILE.parse()?, Digest::of(manifest));
        Ok(Self {
            subject: format!("{}-{}", read.model, read.device_class),
            files,
        })
    }

    /// The signed name; for people only.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Every signed file with its digest.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<BundlePath, Digest> {
        &self.files
    }

    /// The digest over all digests, in the order of the names.
    #[must_use]
    pub fn root(&self) -> Digest {
        let mut hasher = Hasher::new();
        self.files
            .values()
            .for_each(|digest| hasher.update(digest.as_bytes()));
        hasher.finish()
    }

    /// Whether exactly the signed files were found, with exactly the signed bytes. The signature itself is not
    /// one of them.
    ///
    /// # Errors
    /// The first difference: missing and altered files before those that nobody signed.
    pub fn compare(&self, found: &BTreeMap<BundlePath, Digest>) -> Result<(), Difference> {
        for (path, digest) in &self.files {
            match found.get(path) {
                Some(same) if same == digest => {}
                Some(_) => return Err(Difference::Altered(path.clone())),
                None => return Err(Difference::Missing(path.clone())),
            }
        }
        match found.keys().find(|path| !self.files.contains_key(*path)) {
            Some(path) => Err(Difference::Unsigned(path.clone())),
            None => Ok(()),
        }
    }

    /// The bytes of a `model.sig` by `key`. `sign` gives the ASN.1 signature of its private half over the bytes
    /// that it is given.
    ///
    /// # Errors
    /// Whatever keeps `sign` from signing.
    pub fn seal<E: From<SignatureError>>(
        &self,
        key: &BundleKey,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        let payload = wire::statement(self)?;
        let signature = sign(&pre_authentication_encoding(PAYLOAD_TYPE, &payload))?;
        Ok(wire::bundle(key, &payload, &signature)?)
    }
}

impl BundleSignature {
    /// Reads the bytes of a `model.sig`; nothing in it is verified yet.
    ///
    /// # Errors
    /// When they are too many, or no signature of this form.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        if bytes.len() > MAX_SIGNATURE_BYTES {
            return Err(SignatureError::TooLarge(bytes.len()));
        }
        wire::read_bundle(bytes)
    }

    /// The fingerprint of the key that is said to have signed.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// The signed statement's JSON, verified or not: for people's eyes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What was signed, once `key` is known to have signed it.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order key, signature, statement.
    pub fn verify(&self, key: &BundleKey) -> Result<Statement, SignatureError> {
        let expected = key.fingerprint();
        if self.hint != expected.to_string() {
            return Err(SignatureError::OtherKey {
                expected,
                found: shortened(&self.hint),
            });
        }
        let signed = pre_authentication_encoding(PAYLOAD_TYPE, &self.payload);
        if !key.verifies(&signed, &self.signature) {
            return Err(SignatureError::Forged);
        }
        wire::read_statement(&self.payload)
    }
}

/// What a stranger wrote, short enough for a message.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}
