//! Snapshot and timestamp, signed on line: which edition of the targets is current, and that this was said lately.

use std::collections::HashMap;
use std::num::NonZeroU64;

use espalier_protocol::Digest;
use tough::schema::{Hashes, Metafile, Signed, Snapshot, Timestamp as TimestampRole};

use super::{
    MAX_METADATA_BYTES, SPEC_VERSION, SignedFile, TrustedRoot, TrustedTargets, TufError, TufRole,
    read_signed, sign, to_the_second,
};
use crate::keys::KeySource;

const SNAPSHOT: &str = "snapshot";
const TIMESTAMP: &str = "timestamp";

/// Signs a snapshot that names `targets` by version, length and digest.
///
/// # Errors
/// [`TufError::WrongKeys`] when `key` does not hold the role; [`TufError::Key`].
pub fn sign_snapshot(
    root: &TrustedRoot,
    targets: &TrustedTargets,
    version: NonZeroU64,
    expires: jiff::Timestamp,
    key: &dyn KeySource,
) -> Result<SignedFile, TufError> {
    let mut snapshot = Snapshot::new(SPEC_VERSION.to_owned(), version, to_the_second(expires));
    snapshot.meta.insert(
        "targets.json".to_owned(),
        metafile(targets.version(), targets.bytes()),
    );
    sign(
        snapshot,
        SNAPSHOT,
        &root.allowed(TufRole::Snapshot)?,
        &[key],
    )
}

/// Signs a timestamp that names `snapshot` by version, length and digest.
///
/// # Errors
/// [`TufError::WrongKeys`] when `key` does not hold the role; [`TufError::Key`].
pub fn sign_timestamp(
    root: &TrustedRoot,
    snapshot: &SignedFile,
    version: NonZeroU64,
    expires: jiff::Timestamp,
    key: &dyn KeySource,
) -> Result<SignedFile, TufError> {
    let mut timestamp =
        TimestampRole::new(SPEC_VERSION.to_owned(), version, to_the_second(expires));
    timestamp.meta.insert(
        "snapshot.json".to_owned(),
        metafile(snapshot.version, &snapshot.bytes),
    );
    sign(
        timestamp,
        TIMESTAMP,
        &root.allowed(TufRole::Timestamp)?,
        &[key],
    )
}

fn metafile(version: NonZeroU64, bytes: &[u8]) -> Metafile {
    let hashes = Hashes {
        sha256: Digest::of(bytes).as_bytes().to_vec().into(),
        _extra: HashMap::new(),
    };
    Metafile {
        length: Some(bytes.len() as u64),
        hashes: Some(hashes),
        version,
        _extra: HashMap::new(),
    }
}

/// A timestamp that the root's keys signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    /// Its version.
    pub version: NonZeroU64,
    /// When devices stop trusting it.
    pub expires: jiff::Timestamp,
}

impl Timestamp {
    /// Reads a timestamp and checks its signature.
    ///
    /// # Errors
    /// [`TufError::TooLarge`], [`TufError::Malformed`], [`TufError::BadSignature`].
    pub fn read(root: &TrustedRoot, bytes: &[u8]) -> Result<Self, TufError> {
        let signed: Signed<TimestampRole> = read_signed(MAX_METADATA_BYTES, bytes, TIMESTAMP)?;
        root.verify(&signed, TIMESTAMP)?;
        Ok(Self {
            version: signed.signed.version,
            expires: signed.signed.expires,
        })
    }
}
