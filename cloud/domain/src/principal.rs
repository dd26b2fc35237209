//! Who acts: every call of the operator's API has a principal.

use std::fmt;
use std::str::FromStr;

use espalier_protocol::Tenant;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A principal's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrincipalId(pub Uuid);

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a principal may do. More roles come with their rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrincipalRole {
    /// Everything within its tenant.
    Admin,
}

impl PrincipalRole {
    /// The role's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
        }
    }
}

/// A role of this name is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role")]
pub struct UnknownRole(String);

impl FromStr for PrincipalRole {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        match text {
            "admin" => Ok(Self::Admin),
            other => Err(UnknownRole(other.chars().take(40).collect())),
        }
    }
}

/// Who acts, and for which tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its id, for the audit log.
    pub id: PrincipalId,
    /// Whose data it sees; nothing of other tenants exists for it.
    pub tenant: Tenant,
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub role: PrincipalRole,
}
