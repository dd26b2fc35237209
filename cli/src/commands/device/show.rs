//! `espalier device show`.

use clap::Args;
use espalier_api::device::{DeviceModelView, DeviceView};
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

impl Shown for DeviceView {
    fn text(&self, now: Timestamp) -> String {
        let certificate = format!(
            "{}, valid until {}{}",
            self.certificate.serial,
            to_the_second(self.certificate.not_after),
            if self.certificate.revoked {
                ", REVOKED"
            } else {
                ""
            }
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
            ("certificate", certificate),
        ]);
        let models = self.models.iter().map(model_row);
        let models = rows(
            ["model", "state", "serves", "keeps", "wanted"],
            models,
            "No model was rolled out to it yet.",
        );
        format!("{about}\n\n{models}")
    }
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
