//! `espalier device show`.

use clap::Args;
use espalier_api::device::{DeviceModelView, DeviceView, RefusedView, StandingView};
use espalier_api::event::FleetEvent;
use espalier_protocol::DeviceName;
use jiff::Timestamp;
use serde::Serialize;

use super::list::{role, standing, via};
use crate::commands::Context;
use crate::failure::Failure;
use crate::format::{labels, moment, or_dash, to_the_second};
use crate::output::{Shown, facts, rows};

/// Show one gateway or device.
#[derive(Debug, Args)]
pub struct Show {
    /// Its name
    name: DeviceName,
    /// How many of the newest events to show
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    events: usize,
}

impl Show {
    /// Reads and shows.
    ///
    /// # Errors
    /// When the server cannot be asked or knows no such device.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let client = context.client()?;
        let device = client.get(&format!("/devices/{}", self.name)).await?;
        let mut events: Vec<FleetEvent> = client
            .all(&format!("/devices/{}/events", self.name))
            .await?;
        let old = events.len().saturating_sub(self.events);
        context.output.show(&WithEvents {
            device,
            events: events.split_off(old),
        })
    }
}

#[derive(Debug, Serialize)]
struct WithEvents {
    #[serde(flatten)]
    device: DeviceView,
    events: Vec<FleetEvent>,
}

impl Shown for WithEvents {
    fn text(&self, now: Timestamp) -> String {
        let events: Vec<_> = self.events.iter().map(|event| event.text(now)).collect();
        let events = if events.is_empty() {
            "Nothing has happened yet.".into()
        } else {
            events.join("\n")
        };
        format!("{}\n\n{events}", self.device.text(now))
    }
}

fn words(standing: &StandingView, now: Timestamp) -> String {
    match standing {
        StandingView::Enrolled => "enrolled".into(),
        StandingView::Quarantined { since, reason } => {
            format!("IN QUARANTINE since {}: {reason}", moment(*since, now))
        }
        StandingView::Revoked { since, reason } => {
            format!("REVOKED {}: {reason}", moment(*since, now))
        }
    }
}

impl Shown for DeviceView {
    fn text(&self, now: Timestamp) -> String {
        let certificate = format!(
            "{}, valid until {}",
            self.certificate.serial,
            to_the_second(self.certificate.not_after),
        );
        let about = facts([
            ("name", format!("{}/{}", self.tenant, self.name)),
            ("role", role(self.role).into()),
            ("class", self.class.to_string()),
            ("via", via(self)),
            ("labels", labels(&self.labels)),
            ("enrolled", moment(self.enrolled_at, now)),
            (
                "last report",
                self.last_seen
                    .map_or_else(|| "never".into(), |seen| moment(seen, now)),
            ),
            ("standing", words(&self.standing, now)),
            ("certificate", certificate),
        ]);
        let models = self.models.iter().map(model_row);
        let models = rows(
            ["model", "state", "serves", "keeps", "wanted"],
            models,
            "No model was rolled out to it yet.",
        );
        let refused = self.refused.iter().map(|refused| refused_row(refused, now));
        let refused = rows(["refused", "when", "why"], refused, "It refused nothing.");
        format!("{about}\n\n{models}\n\n{refused}")
    }
}

fn refused_row(refused: &RefusedView, now: Timestamp) -> [String; 3] {
    [
        refused.attack.clone(),
        moment(refused.at, now),
        refused.detail.clone(),
    ]
}

fn model_row(model: &DeviceModelView) -> [String; 5] {
    [
        model.model.to_string(),
        standing(model),
        or_dash(
            model
                .active
                .as_ref()
                .map(|slot| slot.release_digest.short()),
        ),
        or_dash(
            model
                .previous
                .as_ref()
                .map(|slot| slot.release_digest.short()),
        ),
        or_dash(model.desired.as_ref().map(|wanted| {
            format!(
                "{} (state {})",
                wanted.release_digest.short(),
                wanted.sequence
            )
        })),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_shows_what_it_runs_and_what_it_refused() {
        let device: DeviceView = serde_json::from_value(serde_json::json!({
            "tenant": "main", "name": "gate-1", "role": "gateway", "class": "gateway-x86",
            "labels": { "site": "north" }, "enrolled_at": "2026-03-01T10:00:00Z",
            "last_seen": "2026-03-01T11:59:48Z",
            "certificate": { "serial": "01", "key_id": "aa", "not_after": "2027-03-01T10:00:00Z" },
            "standing": { "state": "enrolled" },
            "models": [{ "model": "link", "phase": "failed", "failure": "corrupt" }],
            "refused": [
                { "attack": "wrong-key", "detail": "signed by key 00", "at": "2026-03-01T11:58:00Z" },
                { "attack": "replay", "detail": "sequence 3 after 4", "at": "2026-03-01T11:00:00Z" }
            ]
        }))
        .unwrap();
        insta::assert_snapshot!(device.text("2026-03-01T12:00:00Z".parse().unwrap()), @r"
        name:         main/gate-1
        role:         gateway
        class:        gateway-x86
        via:          cloud
        labels:       site=north
        enrolled:     2026-03-01T10:00:00Z (2 h ago)
        last report:  2026-03-01T11:59:48Z (12 s ago)
        standing:     enrolled
        certificate:  01, valid until 2027-03-01T10:00:00Z

        MODEL  STATE    SERVES  KEEPS  WANTED
        link   corrupt  -       -      -

        REFUSED    WHEN                              WHY
        wrong-key  2026-03-01T11:58:00Z (2 min ago)  signed by key 00
        replay     2026-03-01T11:00:00Z (1 h ago)    sequence 3 after 4
        ");
    }
}
