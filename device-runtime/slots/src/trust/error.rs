//! Why metadata are not believed, and what that looks like.

use espalier_protocol::report::Attack;
use sigstore_tuf::Error as TufError;

use super::stored::FORMAT;
use crate::record::RecordError;

/// Why metadata, or something that they should vouch for, are not believed.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file does not hold.
    #[error("{file} is refused: {source}")]
    Refused {
        /// Its name.
        file: String,
        /// What it looks like.
        attack: Attack,
        /// Why.
        source: TufError,
    },
    /// A file is larger than it may be.
    #[error("{file} is longer than {limit} bytes")]
    TooLarge {
        /// Its name.
        file: String,
        /// The most that it may have.
        limit: u64,
    },
    /// A file is not text.
    #[error("{file} is not text")]
    NotText {
        /// Its name.
        file: String,
    },
    /// A file that must be there is not.
    #[error("{file} is not there")]
    Absent {
        /// Its name.
        file: String,
    },
    /// More new roots than one refresh may walk.
    #[error("there are more than {0} new roots: the rest is left to the next refresh")]
    TooManyRoots(u64),
    /// More delegated roles than one search may look at.
    #[error(
        "more than {0} delegated roles stand between the root and a target: the release keys must delegate less"
    )]
    TooManyDelegations(usize),
    /// No metadata were fetched yet, or only a part of them.
    #[error("the release metadata are not complete: they must be fetched first")]
    Incomplete,
    /// The release keys do not vouch for this target.
    #[error("the release keys do not vouch for `{0}`")]
    UnknownTarget(String),
    /// The record is of a newer version.
    #[error(
        "the stored release metadata have format {0}, and this version knows {FORMAT}: update the agent"
    )]
    Format(u32),
    /// The record is damaged.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl TrustError {
    pub(super) fn refused(file: &str) -> impl FnOnce(TufError) -> Self {
        move |source| Self::Refused {
            file: file.to_owned(),
            attack: attack_of(&source),
            source,
        }
    }

    /// What it looks like, when it may be an attack and is not only a gap or a broken disk.
    #[must_use]
    pub fn attack(&self) -> Option<Attack> {
        match self {
            Self::Refused { attack, .. } => Some(*attack),
            Self::TooLarge { .. } => Some(Attack::EndlessData),
            Self::NotText { .. } => Some(Attack::Malformed),
            Self::UnknownTarget(_) => Some(Attack::MixAndMatch),
            Self::Absent { .. }
            | Self::TooManyRoots(_)
            | Self::TooManyDelegations(_)
            | Self::Incomplete
            | Self::Format(_)
            | Self::Record(_) => None,
        }
    }
}

fn attack_of(error: &TufError) -> Attack {
    match error {
        TufError::Rollback { .. } | TufError::BadRootVersion { .. } => Attack::Rollback,
        TufError::Expired { .. } => Attack::Frozen,
        TufError::IntegrityMismatch(_) => Attack::MixAndMatch,
        TufError::ThresholdNotMet { .. }
        | TufError::DuplicateSignature { .. }
        | TufError::Crypto(_) => Attack::BadSignature,
        _ => Attack::Malformed,
    }
}
