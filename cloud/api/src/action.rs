//! What a thing's state allows, and why not.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that could be done, and whether it can be done now. Clients disable, never hide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AllowedAction {
    /// The verb, as in the address `…/{verb}`.
    #[schema(example = "pause")]
    pub action: String,
    /// Whether the call would be accepted now.
    pub allowed: bool,
    /// Why not; a sentence for people. None when it is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
