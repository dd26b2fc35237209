//! The audit log's entries: who did what to what, and when.

use espalier_protocol::Tenant;
use jiff::Timestamp;

use crate::principal::PrincipalId;

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A person or a program with a token.
    Principal(PrincipalId),
    /// The cloud by itself: a gate, a timer.
    Cloud,
}

/// One entry. Entries are never changed.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// In which tenant.
    pub tenant: Tenant,
    /// Who.
    pub actor: Actor,
    /// The verb: `rollout.start`, `release.sign`, `device.enrol`.
    pub action: String,
    /// What it was done to: an id or a name.
    pub subject: String,
    /// What else is worth knowing, never a secret.
    pub detail: serde_json::Value,
}
