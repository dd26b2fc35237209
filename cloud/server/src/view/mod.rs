//! From what the cloud knows to what clients see: one conversion for each view.

mod build;
mod device;
mod model;
mod release;
mod rollout;

pub use build::build;
pub use device::{Surroundings, device};
pub use model::{model, model_version};
pub use release::release;
pub use rollout::{assignment, overtaken_words, rollout};

use espalier_api::{action::AllowedAction, event::FleetEvent};
use espalier_store::Event;
use serde::Serialize;

/// An event as clients see it.
#[must_use]
pub fn event(Event { id, event }: Event) -> FleetEvent {
    FleetEvent {
        id,
        at: event.at,
        kind: event.kind,
        subject: event.subject,
        payload: event.payload,
    }
}

/// The stable word of a protocol enum, as it stands on the wire.
fn word<T: Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "unknown".to_owned(),
    }
}

/// An action with the reason why it cannot be done now, if there is one.
fn action(verb: &str, refusal: Option<String>) -> AllowedAction {
    AllowedAction {
        action: verb.to_owned(),
        allowed: refusal.is_none(),
        reason: refusal,
    }
}
