//! Metadata on their way from one holder to the next: a file that says in words what it would make true, who must
//! sign it, and who has.
//!
//! A draft travels by stick or mail, so whoever opens one trusts nothing in it: its words are made anew from what is
//! signed and compared, and a signature that does not hold means that somebody changed it on the way. What the holders
//! compare by voice is the [fingerprint](RootDraft::fingerprint), which no signature changes.

mod root;
mod targets;

pub use root::{RootChange, RootDraft};
pub use targets::{Document, TargetsDraft};

use espalier_protocol::Digest;
use espalier_protocol::trust::KeyId;
use tough::schema::{Role, Signature, Signed};

use crate::keys::{KeyError, KeySource, PublicHalf};
use crate::tuf::{ChainError, PlanError, RoleHolders, TufError, TufRole, key_id, malformed};

/// The version of the files that this code reads and writes.
const FORMAT: u32 = 1;

/// Fewest digits by which a key is named: eight are enough among a handful, and short enough to be read aloud.
pub const MIN_KEY_DIGITS: usize = 8;

/// How many digits of a key's id are shown to people.
const SHOWN_DIGITS: usize = 16;

/// Why a draft was not made, read or signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// Not a draft, or one of another kind.
    #[error("this is no draft of a {kind}: {reason}")]
    NoDraft {
        /// What was expected.
        kind: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// What the words say is not what would be signed.
    #[error("the draft was changed: its words are not those of what it would sign")]
    OtherWords,
    /// The content changed after somebody signed, or a signature was damaged.
    #[error(
        "the draft was changed after {key} had signed it: that signature does not hold over what the draft says now"
    )]
    ChangedAfter {
        /// Whose signature does not hold.
        key: KeyId,
    },
    /// A signature by somebody who holds nothing here.
    #[error("the draft carries a signature by a key that neither root names")]
    Stranger,
    /// The key at hand has no say in this.
    #[error("the key {} is not one of those that may sign this: {}", short(*key), shorts(may))]
    NotAsked {
        /// The key at hand.
        key: KeyId,
        /// Those that may.
        may: Vec<KeyId>,
    },
    /// A second signature by the same key counts for nothing.
    #[error("the key {} has signed this draft already", short(*key))]
    SignedAlready {
        /// Whose.
        key: KeyId,
    },
    /// A key that is to be revoked does not hold the role.
    #[error("`{key}` is no key of {role}; these are: {}", shorts(held))]
    UnknownKey {
        /// Which role.
        role: TufRole,
        /// What was asked for.
        key: String,
        /// Who holds it.
        held: Vec<KeyId>,
    },
    /// A key that is named by too few digits, or digits that fit several.
    #[error(
        "`{key}` names no single key of {role}: give {MIN_KEY_DIGITS} digits of its id or more"
    )]
    Ambiguous {
        /// Which role.
        role: TufRole,
        /// What was asked for.
        key: String,
    },
    /// A key in the clear among production keys.
    #[error(
        "the key {} is a development key, which a production root never names: make it with a passphrase",
        short(*key)
    )]
    DevelopmentKey {
        /// Which key.
        key: KeyId,
    },
    /// The same edition once more.
    #[error("nothing would change: the draft says what is current already")]
    NothingNew,
    /// The root that is planned makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The root may not follow the current one.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Metadata in the draft do not hold.
    #[error(transparent)]
    Tuf(#[from] TufError),
    /// A key would not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// One threshold that a draft has to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Which holders these are, for instance `root version 1`.
    pub of: String,
    /// How many of them must sign.
    pub needed: u64,
    /// Who has signed.
    pub signed: Vec<KeyId>,
    /// Who has not.
    pub unsigned: Vec<KeyId>,
}

impl Requirement {
    fn new(of: String, holders: &RoleHolders, signers: &[KeyId]) -> Self {
        let ids = holders.keys.iter().map(PublicHalf::id);
        let (signed, unsigned) = ids.partition(|id| signers.contains(id));
        Self {
            of,
            needed: holders.threshold.get(),
            signed,
            unsigned,
        }
    }

    /// How many signatures are still missing.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.needed.saturating_sub(self.signed.len() as u64)
    }
}

/// A key's id as people read it: its first digits.
#[must_use]
pub fn short(id: KeyId) -> String {
    id.to_string().chars().take(SHOWN_DIGITS).collect()
}

/// Several of them.
fn shorts(ids: &[KeyId]) -> String {
    ids.iter()
        .map(|id| short(*id))
        .collect::<Vec<_>>()
        .join(", ")
}

/// What is signed, as bytes.
fn message<T: Role>(role: &T) -> Result<Vec<u8>, TufError> {
    role.canonical_form()
        .map_err(|reason| malformed("draft", reason))
}

fn fingerprint<T: Role>(role: &T) -> Result<Digest, TufError> {
    message(role).map(|bytes| Digest::of(&bytes))
}

/// Who signed. Each signature must be a holder's, and hold: one that does not is no gap but a warning.
fn signers<T: Role>(draft: &Signed<T>, holders: &[PublicHalf]) -> Result<Vec<KeyId>, DraftError> {
    let message = message(&draft.signed)?;
    let mut signers = Vec::new();
    for signature in &draft.signatures {
        let by = holders
            .iter()
            .find(|half| key_id(&half.key()).is_ok_and(|id| id == signature.keyid))
            .ok_or(DraftError::Stranger)?;
        if signers.contains(&by.id()) {
            return Err(DraftError::SignedAlready { key: by.id() });
        }
        if !by.key().verifies(&message, &signature.sig) {
            return Err(DraftError::ChangedAfter { key: by.id() });
        }
        signers.push(by.id());
    }
    Ok(signers)
}

/// Adds a holder's signature.
fn sign<T: Role>(
    draft: &mut Signed<T>,
    holders: &[PublicHalf],
    key: &dyn KeySource,
) -> Result<(), DraftError> {
    let public = key.public_key();
    if signers(draft, holders)?.contains(&public.id()) {
        return Err(DraftError::SignedAlready { key: public.id() });
    }
    if !holders.iter().any(|half| half.key() == public) {
        return Err(DraftError::NotAsked {
            key: public.id(),
            may: holders.iter().map(PublicHalf::id).collect(),
        });
    }
    let sig = key.sign(&message(&draft.signed)?)?;
    draft.signatures.push(Signature {
        keyid: key_id(&public)?,
        sig: sig.into(),
    });
    Ok(())
}

/// Who must sign, in words.
fn must_sign(of: &str, holders: &RoleHolders) -> String {
    let ids: Vec<_> = holders.keys.iter().map(PublicHalf::id).collect();
    format!(
        "must sign: {} of {} ({of})",
        holders.threshold,
        shorts(&ids)
    )
}
