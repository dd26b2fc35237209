//! What the console follows live: `GET /api/v1/events`, server-sent events named `fleet`.

use espalier_protocol::{
    DeviceName,
    id::{BuildId, ModelVersionId, ReleaseId, RolloutId},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something changed. An event names the thing, not its new value: a reader fetches what it shows,
/// so a lost event costs freshness, never truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum FleetEvent {
    /// A device enrolled, reported, or got other labels.
    Device {
        /// The device.
        #[schema(value_type = String)]
        name: DeviceName,
    },
    /// A rollout or one of its assignments moved.
    Rollout {
        /// The rollout.
        #[schema(value_type = Uuid)]
        id: RolloutId,
    },
    /// A build moved.
    Build {
        /// The build.
        #[schema(value_type = Uuid)]
        id: BuildId,
    },
    /// A model version was imported or inspected.
    ModelVersion {
        /// The version.
        #[schema(value_type = Uuid)]
        id: ModelVersionId,
    },
    /// A release was drafted or signed.
    Release {
        /// The release.
        #[schema(value_type = Uuid)]
        id: ReleaseId,
    },
    /// Events were lost because the reader was too slow: fetch everything again.
    Lagged,
}
