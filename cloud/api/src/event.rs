//! What the console follows live: `GET /api/v1/events`, server-sent events.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something happened. Its `id` is the SSE event's id, so a reader that was cut off goes on where it
/// was (`Last-Event-ID`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetEvent {
    /// Grows with every event.
    pub id: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What, as a stable word: `device.enrolled`, `assignment.active`, `rollout.paused`, `build.passed`.
    #[schema(example = "assignment.active")]
    pub kind: String,
    /// What it is about: an id or a name.
    pub subject: String,
    /// The rest, by kind.
    #[schema(value_type = Object)]
    pub payload: serde_json::Value,
}

/// A page of events.
pub type FleetEventPage = crate::page::Page<FleetEvent>;
