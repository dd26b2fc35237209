//! The four roles that a root speaks of.

use std::fmt;
use std::str::FromStr;

use tough::schema::RoleType;

/// A role of the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TufRole {
    /// Says which keys hold the roles.
    Root,
    /// Says which releases exist.
    Targets,
    /// Says which edition of the targets is current.
    Snapshot,
    /// Says that this was said lately.
    Timestamp,
}

/// A word that names no role.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no role: root, targets, snapshot and timestamp are")]
pub struct NoRole(String);

impl TufRole {
    /// All of them, from the one that says most.
    pub const ALL: [Self; 4] = [Self::Root, Self::Targets, Self::Snapshot, Self::Timestamp];

    /// The role's name in files and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }

    pub(super) const fn kind(self) -> RoleType {
        match self {
            Self::Root => RoleType::Root,
            Self::Targets => RoleType::Targets,
            Self::Snapshot => RoleType::Snapshot,
            Self::Timestamp => RoleType::Timestamp,
        }
    }
}

impl fmt::Display for TufRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TufRole {
    type Err = NoRole;

    fn from_str(text: &str) -> Result<Self, NoRole> {
        let known = Self::ALL.into_iter().find(|role| role.name() == text);
        known.ok_or_else(|| NoRole(text.to_owned()))
    }
}
