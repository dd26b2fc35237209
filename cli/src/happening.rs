//! Events of the server's log as sentences.

use espalier_api::event::FleetEvent;
use jiff::Timestamp;

use crate::format::to_the_second;
use crate::output::Shown;

impl Shown for FleetEvent {
    fn text(&self, _now: Timestamp) -> String {
        format!("{}  {}", to_the_second(self.at), sentence(self))
    }
}

/// What happened, to whom. A kind that this version does not know is shown as it is.
fn sentence(event: &FleetEvent) -> String {
    let said = |field: &str| event.payload[field].as_str().unwrap_or_default();
    match event.kind.split_once('.') {
        Some(("assignment", phase)) => {
            format!("{}: {}{}", said("device"), words(phase), attempt(event))
        }
        Some(("rollout", state)) => format!("the rollout is {}{}", words(state), stage(event)),
        Some(("device", "refused")) => format!("refused {}: {}", said("attack"), said("detail")),
        Some(("device", what)) => format!("{} was {}", event.subject, words(what)),
        _ => format!("{} {}", event.kind, event.subject),
    }
}

fn words(name: &str) -> String {
    name.replace(['-', '_'], " ")
}

/// The first attempt goes without saying.
fn attempt(event: &FleetEvent) -> String {
    match event.payload["attempt"].as_u64() {
        Some(attempt) if attempt > 1 => format!(" (attempt {attempt})"),
        _ => String::new(),
    }
}

/// Stages are counted from 0 on the wire, from 1 by people.
fn stage(event: &FleetEvent) -> String {
    event.payload["stage"]
        .as_u64()
        .map(|stage| format!(", stage {}", stage + 1))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, payload: serde_json::Value) -> FleetEvent {
        let at = "2026-03-01T12:00:00Z".parse().unwrap();
        FleetEvent {
            id: 1,
            at,
            kind: kind.into(),
            subject: "camera-07".into(),
            payload,
        }
    }

    #[test]
    fn events_read_as_sentences() {
        let log = [
            event(
                "rollout.running",
                serde_json::json!({ "state": "running", "stage": 0 }),
            ),
            event(
                "assignment.trial",
                serde_json::json!({ "device": "camera-07", "attempt": 1 }),
            ),
            event(
                "assignment.rolled-back",
                serde_json::json!({ "device": "camera-07", "attempt": 2 }),
            ),
            event(
                "device.refused",
                serde_json::json!({ "attack": "wrong-key", "detail": "signed by key 00" }),
            ),
            event("device.enrolled", serde_json::json!({})),
            event("moon.risen", serde_json::json!(null)),
        ];
        let lines: Vec<_> = log.iter().map(sentence).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        the rollout is running, stage 1
        camera-07: trial
        camera-07: rolled back (attempt 2)
        refused wrong-key: signed by key 00
        camera-07 was enrolled
        moon.risen camera-07
        ");
    }
}
