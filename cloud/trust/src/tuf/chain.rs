//! From one root to the next: the check that every device makes, made before a device has to.

use std::num::NonZeroU64;

use espalier_protocol::trust::TrustLevel;
use jiff::Timestamp;
use tough::schema::Root;

use super::{PlanError, TrustedRoot, TufError, root};

/// Why a root may not follow another one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// It is no root, or names keys that cannot be used.
    #[error(transparent)]
    Tuf(#[from] TufError),
    /// What it says makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Devices walk one root after the other, and leave none out.
    #[error("the root has version {offered}, and version {expected} is next")]
    WrongVersion {
        /// What was offered.
        offered: NonZeroU64,
        /// What would be accepted.
        expected: u64,
    },
    /// Whoever holds the new keys alone could take a fleet over.
    #[error(
        "the new root is not signed by enough holders of root version {current}, which devices follow now: {reason}"
    )]
    NotByTheOld {
        /// The version that devices follow now.
        current: NonZeroU64,
        /// What the verifier said.
        reason: String,
    },
    /// A root that its own keys did not sign would be the last one.
    #[error("the new root is not signed by enough of the holders that it names itself: {reason}")]
    NotByTheNew {
        /// What the verifier said.
        reason: String,
    },
    /// It is past its end, or ends within the time that a fleet needs to see it.
    #[error("the new root ends at {expires}, which is too soon")]
    Expired {
        /// When.
        expires: Timestamp,
    },
    /// Devices that enrolled under production keys never agreed to development keys; and keys that lay in the clear
    /// stay a beginning of the chain.
    #[error(
        "the root is a {new} root, and the one before is a {old} root: a chain keeps the trust that it began with"
    )]
    OtherTrust {
        /// Of the current root.
        old: TrustLevel,
        /// Of the offered one.
        new: TrustLevel,
    },
    /// Devices ask for files by their version.
    #[error(
        "the root asks for files without versions in their names, which this repository does not serve"
    )]
    Inconsistent,
}

/// Accepts the root that follows `current`: its very next version, signed by the thresholds of both, good until
/// `good_until` at least, and as far to be trusted as the one before.
///
/// # Errors
/// [`ChainError`].
pub fn accept_root(
    current: &TrustedRoot,
    offered: &[u8],
    good_until: Timestamp,
) -> Result<TrustedRoot, ChainError> {
    let signed = root::read_unverified(offered)?;
    may_follow(current, &signed.signed)?;
    let reason = |error: TufError| match error {
        TufError::BadSignature { reason, .. } => reason,
        other => other.to_string(),
    };
    current
        .verify(&signed, "root")
        .map_err(|error| ChainError::NotByTheOld {
            current: current.version(),
            reason: reason(error),
        })?;
    let next = TrustedRoot::read(offered).map_err(|error| ChainError::NotByTheNew {
        reason: reason(error),
    })?;
    match next.expires() < good_until {
        true => Err(ChainError::Expired {
            expires: next.expires(),
        }),
        false => Ok(next),
    }
}

/// What can be judged before anybody signed.
pub(crate) fn may_follow(current: &TrustedRoot, next: &Root) -> Result<(), ChainError> {
    let expected = current.version().checked_add(1);
    if Some(next.version) != expected {
        return Err(ChainError::WrongVersion {
            offered: next.version,
            expected: expected.map_or(u64::MAX, NonZeroU64::get),
        });
    }
    let (old, new) = (current.trust(), root::trust(next));
    if old != new {
        return Err(ChainError::OtherTrust { old, new });
    }
    is_served(next)
}

/// Whether devices could use what such a root names.
pub(crate) fn is_served(next: &Root) -> Result<(), ChainError> {
    if !next.consistent_snapshot {
        return Err(ChainError::Inconsistent);
    }
    Ok(root::plan(next)?.check()?)
}
