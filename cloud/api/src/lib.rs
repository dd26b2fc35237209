//! Forbids the arrow from wire types to HTTP machinery and to rules: what clients of `/api/v1` say and hear, and nothing else.
//!
//! Each resource has one file with its requests and its views. A view carries all that the command
//! line and the console show, so that neither has to guess what a state allows: allowed actions come
//! with their reasons from the server.
//!
//! Two tables stand on their own: [`error::ErrorCode`] (what can go wrong, its HTTP status, its
//! anchor in the documentation) and [`page::Page`] (how lists are cut).

pub mod action;
pub mod broker;
pub mod build;
pub mod claim;
pub mod device;
pub mod error;
pub mod event;
pub mod model;
pub mod page;
pub mod problem;
pub mod release;
pub mod rollout;
pub mod segment;
pub mod system;
pub mod tuf;

/// Where the operator API begins on its host.
pub const API_ROOT: &str = "/api/v1";

/// How far a signature can be trusted: development keys live beside the server that uses them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum TrustLevel {
    /// Keys made by `espalier up`; devices refuse them unless started with `--development-trust`.
    Development,
    /// Release keys held away from the server.
    Production,
}

impl From<espalier_protocol::trust::TrustLevel> for TrustLevel {
    fn from(level: espalier_protocol::trust::TrustLevel) -> Self {
        match level {
            espalier_protocol::trust::TrustLevel::Development => Self::Development,
            espalier_protocol::trust::TrustLevel::Production => Self::Production,
        }
    }
}
