//! The server about itself: version, health, readiness.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::TrustLevel;

/// What is running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// The product's version.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// The wire protocol's version spoken with devices.
    pub protocol: u32,
    /// Whether the release keys are development keys.
    pub trust: TrustLevel,
}

/// Whether the server can do its work now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadinessView {
    /// All parts are up. The answer's status is 200 then, else 503.
    pub ready: bool,
    /// Each part by name.
    pub parts: Vec<PartView>,
}

/// One part that the server needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartView {
    /// `database`, `broker`, `blobs`, `trust`.
    #[schema(example = "database")]
    pub name: String,
    /// The part answers.
    pub ready: bool,
    /// What is missing; a sentence for people. None when ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The addresses that the server listens on, as written to `STATE/endpoints.json` once they are bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Endpoints {
    /// The operator API and the console, e.g. `http://127.0.0.1:7070`.
    pub api: String,
    /// The device door, e.g. `https://127.0.0.1:7443`.
    pub device_door: String,
    /// The broker that devices connect to, e.g. `mqtts://127.0.0.1:8883`.
    pub broker: String,
    /// The file that holds the admin token.
    pub admin_token_file: String,
    /// The server's process.
    pub pid: u32,
}
