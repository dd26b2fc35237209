//! Writing the TUF repository: a root, and editions of targets, snapshot and timestamp under it.
//!
//! Every function takes bytes and gives bytes; where they are kept is the caller's business. The schema, the
//! canonical form and the verification are `tough`'s; the signatures are made by our own [`KeySource`], which
//! keeps all of it synchronous. Target names are flat: implementations disagree on where the digest goes in
//! the name of a target in a folder.

pub(crate) mod chain;
mod freshness;
mod plan;
mod role;
pub(crate) mod root;
pub(crate) mod targets;

pub use chain::{ChainError, accept_root};
pub use freshness::{Timestamp, sign_snapshot, sign_timestamp};
pub use plan::{PlanError, RoleHolders, RootPlan};
pub use role::{NoRole, TufRole};
pub use root::{TRUST_FIELD, TrustedRoot, sign_root};
pub use targets::{TargetFile, TrustedTargets, accept_targets, read_targets, sign_targets};

use std::collections::HashMap;
use std::num::NonZeroU64;

use espalier_protocol::trust::PublicKey;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::key::{Ed25519Key, Ed25519Scheme, Key};
use tough::schema::{Role, Signature, Signed};

use crate::keys::{KeyError, KeySource};

/// Largest metadata file that is parsed. Stops endless data, and stays below what devices take of targets (4 MiB).
pub const MAX_METADATA_BYTES: usize = 2 * 1024 * 1024;

/// Largest root that is parsed: devices take no larger one. Neither blanks nor foreign signatures are signed, so whoever
/// hands in a good root could pad it, and devices would never come past it.
pub const MAX_ROOT_BYTES: usize = 512 * 1024;

/// The specification's version that our files state.
const SPEC_VERSION: &str = "1.0.0";

/// One signed metadata file, ready to be kept and served as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedFile {
    /// Its version within its role.
    pub version: NonZeroU64,
    /// When devices stop trusting it.
    pub expires: jiff::Timestamp,
    /// The bytes. Never re-serialised: other files state their digest.
    pub bytes: Vec<u8>,
}

/// Why metadata was not written, or not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TufError {
    /// Larger than [`MAX_METADATA_BYTES`], or than [`MAX_ROOT_BYTES`].
    #[error("the {role} metadata has {bytes} bytes, at most {limit} are read")]
    TooLarge {
        /// Which role.
        role: &'static str,
        /// How large.
        bytes: usize,
        /// The most that is read.
        limit: usize,
    },
    /// Not metadata of that role.
    #[error("this is no {role} metadata: {reason}")]
    Malformed {
        /// Which role.
        role: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// Too few good signatures by the role's keys.
    #[error("the {role} metadata is not signed as the root demands: {reason}")]
    BadSignature {
        /// Which role.
        role: &'static str,
        /// What the verifier said.
        reason: String,
    },
    /// The keys at hand cannot sign for the role.
    #[error("{given} of the keys at hand may sign {role}, {needed} must; the root names {named}")]
    WrongKeys {
        /// Which role.
        role: &'static str,
        /// How many of the given keys the root names for it.
        given: usize,
        /// The role's threshold.
        needed: u64,
        /// The key ids that the root names, shortened.
        named: String,
    },
    /// Somebody else signed an edition in the meantime, or an old one is offered again.
    #[error(
        "version {offered} of the targets was offered, version {expected} is next; fetch the current targets and sign again"
    )]
    WrongVersion {
        /// What was offered.
        offered: u64,
        /// What would be accepted.
        expected: u64,
    },
    /// Already expired, or about to.
    #[error("the {role} metadata expires at {expires}, which is too soon")]
    Expired {
        /// Which role.
        role: &'static str,
        /// When.
        expires: jiff::Timestamp,
    },
    /// The edition does not hold the file that it was signed for.
    #[error("the signed targets do not name {0} with its length and digest")]
    TargetMissing(String),
    /// An edition dropped or changed a target of the one before.
    #[error("the signed targets drop or change {0}, which the current ones name")]
    TargetChanged(String),
    /// A target name with a folder or with characters that need escaping.
    #[error("`{0}` is no target name here: a-z, 0-9, '.', '-' and '_', at most 200 characters")]
    BadName(String),
    /// Versions ran out of range.
    #[error("version 0 is no version of metadata")]
    ZeroVersion,
    /// A key would not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Signs `role` with those of `signers` that `allowed` names, and lays the file out.
fn sign<T>(
    role: T,
    name: &'static str,
    allowed: &Allowed,
    signers: &[&dyn KeySource],
) -> Result<SignedFile, TufError>
where
    T: Role,
{
    let message = role
        .canonical_form()
        .map_err(|reason| malformed(name, reason))?;
    let mut signatures = Vec::new();
    for signer in signers {
        let keyid = key_id(&signer.public_key())?;
        if allowed.keyids.contains(&keyid)
            && !signatures
                .iter()
                .any(|known: &Signature| known.keyid == keyid)
        {
            signatures.push(Signature {
                keyid,
                sig: signer.sign(&message)?.into(),
            });
        }
    }
    allowed.enough(name, signatures.len())?;
    let (version, expires) = (role.version(), role.expires());
    let bytes = lay_out(
        &Signed {
            signed: role,
            signatures,
        },
        name,
    )?;
    Ok(SignedFile {
        version,
        expires,
        bytes,
    })
}

/// Who may sign a role, and how many must.
struct Allowed {
    keyids: Vec<Decoded<Hex>>,
    threshold: NonZeroU64,
}

impl Allowed {
    fn enough(&self, role: &'static str, given: usize) -> Result<(), TufError> {
        if given as u64 >= self.threshold.get() {
            return Ok(());
        }
        let named: Vec<_> = self.keyids.iter().map(|id| hex::encode(&id[..6])).collect();
        Err(TufError::WrongKeys {
            role,
            given,
            needed: self.threshold.get(),
            named: named.join(", "),
        })
    }
}

/// Pretty JSON with sorted keys and a last newline: the same metadata is the same bytes.
pub(crate) fn lay_out<T: serde::Serialize>(
    signed: &T,
    role: &'static str,
) -> Result<Vec<u8>, TufError> {
    let value = serde_json::to_value(signed).map_err(|reason| malformed(role, reason))?;
    let mut bytes = serde_json::to_vec_pretty(&value).map_err(|reason| malformed(role, reason))?;
    bytes.push(b'\n');
    Ok(bytes)
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    role: &'static str,
) -> Result<T, TufError> {
    parse_within(MAX_METADATA_BYTES, bytes, role)
}

fn parse_within<T: serde::de::DeserializeOwned>(
    limit: usize,
    bytes: &[u8],
    role: &'static str,
) -> Result<T, TufError> {
    if bytes.len() > limit {
        return Err(TufError::TooLarge {
            role,
            bytes: bytes.len(),
            limit,
        });
    }
    serde_json::from_slice(bytes).map_err(|reason| malformed(role, reason))
}

/// A signed file as we write it. Devices compare the ids of keys by their text.
fn in_one_spelling<T: Role>(file: &Signed<T>) -> serde_json::Result<serde_json::Value> {
    let signatures: Vec<_> = file
        .signatures
        .iter()
        .map(|signature| Signature {
            keyid: signature.keyid.to_vec().into(),
            sig: signature.sig.clone(),
        })
        .collect();
    let signed = serde_json::to_value(&file.signed)?;
    Ok(serde_json::json!({ "signed": signed, "signatures": signatures }))
}

/// Reads a signed file. Signatures are verified over what is understood of it, and devices verify them over what stands in
/// it: a file in which the two differ was changed on its way, and devices would never come past it.
fn read_signed<T: Role + serde::de::DeserializeOwned>(
    limit: usize,
    bytes: &[u8],
    role: &'static str,
) -> Result<Signed<T>, TufError> {
    let signed: Signed<T> = parse_within(limit, bytes, role)?;
    let stands: serde_json::Value = parse_within(limit, bytes, role)?;
    let understood = in_one_spelling(&signed).map_err(|reason| malformed(role, reason))?;
    match stands == understood {
        true => Ok(signed),
        false => Err(malformed(role, "it is not written as it was signed")),
    }
}

pub(crate) fn malformed(role: &'static str, reason: impl std::fmt::Display) -> TufError {
    TufError::Malformed {
        role,
        reason: reason.to_string(),
    }
}

fn tuf_key(key: &PublicKey) -> Key {
    let keyval = Ed25519Key {
        public: key.as_bytes().to_vec().into(),
        _extra: HashMap::new(),
    };
    Key::Ed25519 {
        keyval,
        scheme: Ed25519Scheme::Ed25519,
        _extra: HashMap::new(),
    }
}

/// The id by which TUF files name a key: the digest of its canonical form, which is not the [`PublicKey::id`] that
/// people and our own messages use.
pub(crate) fn key_id(key: &PublicKey) -> Result<Decoded<Hex>, TufError> {
    tuf_key(key)
        .key_id()
        .map_err(|reason| malformed("key", reason))
}

fn public_key(key: &Key) -> Result<PublicKey, TufError> {
    let bytes = match key {
        Key::Ed25519 { keyval, .. } => <[u8; 32]>::try_from(&keyval.public[..]).ok(),
        _ => None,
    };
    bytes
        .map(PublicKey::from_bytes)
        .ok_or_else(|| malformed("root", "one of its keys is not an Ed25519 key"))
}

/// The specification writes times without fractions, and other people's verifiers read no others.
fn to_the_second(moment: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}

fn version(number: u64) -> Result<NonZeroU64, TufError> {
    NonZeroU64::new(number).ok_or(TufError::ZeroVersion)
}
