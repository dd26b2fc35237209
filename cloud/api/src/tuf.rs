//! The signed metadata: what a release signer starts from, and what a key ceremony hands in.

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

/// A finished root, signed by the holders of the one before and by its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishRoot {
    /// The signed root, exactly as signed.
    pub root_json: String,
    /// The targets that its holders signed anew; needed when the current ones do not hold under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<PublishTargets>,
}

/// The next targets without a new release: under a new root, with other deployer keys, or for a longer time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishTargets {
    /// The next signed `targets.json`, exactly as signed.
    pub targets_json: String,
    /// The list of deployer keys that they name, exactly the bytes that are named; none when it is the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployer_json: Option<String>,
}
