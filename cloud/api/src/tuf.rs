//! The signed metadata that a release signer starts from.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::TrustLevel;

/// The repository as it stands: what `release sign` reads before it signs the next targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TufTargetsView {
    /// The version of the root that signatures must answer to.
    pub root_version: u64,
    /// The version of the current targets; 0 when nothing was signed yet.
    pub targets_version: u64,
    /// The current signed `targets.json`, exactly as stored; none when nothing was signed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets_json: Option<String>,
    /// The current signed root, exactly as stored.
    pub root_json: String,
    /// Whether the root was made for development.
    pub trust: TrustLevel,
}
