//! `espalier device list`.

use clap::Args;
use espalier_api::device::{DeviceModelView, DeviceRole, DeviceView, StandingView};
use jiff::Timestamp;
use serde::Serialize;

use crate::commands::Context;
use crate::failure::Failure;
use crate::format::{ago, labels, or_dash};
use crate::output::{Shown, rows};

/// List gateways and devices.
#[derive(Debug, Args)]
pub struct List {
    /// Only those with this label; may be given several times
    #[arg(short = 'l', long = "label", value_name = "NAME=VALUE", value_parser = super::label::pair)]
    labels: Vec<(String, String)>,
}

impl List {
    /// Reads and shows.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let mut devices: Vec<DeviceView> = context.client()?.all("/devices").await?;
        devices.retain(|device| {
            self.labels
                .iter()
                .all(|(name, value)| device.labels.get(name) == Some(value))
        });
        context.output.show(&Devices(devices))
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Devices(Vec<DeviceView>);

impl Shown for Devices {
    fn text(&self, now: Timestamp) -> String {
        let lines = self.0.iter().map(|device| {
            [
                device.name.to_string(),
                role(device.role).into(),
                device.class.to_string(),
                via(device),
                state(device),
                per_model(device, serving),
                device
                    .last_seen
                    .map_or_else(|| "never".into(), |seen| ago(seen, now)),
                labels(&device.labels),
            ]
        });
        rows(
            [
                "name",
                "role",
                "class",
                "via",
                "state",
                "release",
                "last report",
                "labels",
            ],
            lines,
            "No devices yet. `espalier claim create` makes the file that lets one in.",
        )
    }
}

/// Gateway or device, as a word.
pub fn role(role: DeviceRole) -> &'static str {
    match role {
        DeviceRole::Gateway => "gateway",
        DeviceRole::Device => "device",
    }
}

/// The way its messages take: the cloud itself, or a gateway by name.
pub fn via(device: &DeviceView) -> String {
    device
        .gateway
        .as_ref()
        .map_or_else(|| "cloud".into(), ToString::to_string)
}

/// A device that may not speak has nothing else to say.
fn state(device: &DeviceView) -> String {
    match device.standing {
        StandingView::Enrolled => per_model(device, standing),
        StandingView::Quarantined { .. } => "QUARANTINED".into(),
        StandingView::Revoked { .. } => "REVOKED".into(),
    }
}

/// Where a model stands on a device: the failure is worth more than the phase it failed in.
pub fn standing(model: &DeviceModelView) -> String {
    or_dash(model.failure.as_deref().or(model.phase.as_deref()))
}

fn serving(model: &DeviceModelView) -> String {
    or_dash(
        model
            .active
            .as_ref()
            .map(|slot| slot.release_digest.short()),
    )
}

/// A device with one model needs no model names in its row.
fn per_model(device: &DeviceView, value: impl Fn(&DeviceModelView) -> String) -> String {
    match device.models.as_slice() {
        [] => "-".into(),
        [one] => value(one),
        many => many
            .iter()
            .map(|model| format!("{}: {}", model.model, value(model)))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-03-01T12:00:00Z";

    fn devices() -> Devices {
        serde_json::from_value::<Vec<DeviceView>>(serde_json::json!([
            {
                "tenant": "main", "name": "gate-1", "role": "gateway", "class": "gateway-x86",
                "labels": { "site": "north" }, "enrolled_at": "2026-03-01T10:00:00Z",
                "last_seen": "2026-03-01T11:59:48Z",
                "certificate": { "serial": "01", "key_id": "aa", "not_after": "2027-03-01T10:00:00Z" },
                "standing": { "state": "enrolled" },
                "models": [{
                    "model": "link", "phase": "active",
                    "active": { "release": "01900000-0000-7000-8000-000000000001", "release_digest": "ab".repeat(32), "bundle": "cd".repeat(32) }
                }],
                "refused": []
            },
            {
                "tenant": "main", "name": "camera-07", "role": "device", "gateway": "gate-1", "class": "edge-x86",
                "labels": {}, "enrolled_at": "2026-03-01T10:00:00Z",
                "certificate": { "serial": "02", "key_id": "bb", "not_after": "2027-03-01T10:00:00Z" },
                "standing": { "state": "enrolled" },
                "models": [{ "model": "link", "phase": "failed", "failure": "golden-mismatch" }],
                "refused": []
            }
        ]))
        .map(Devices)
        .unwrap()
    }

    #[test]
    fn a_row_says_what_a_device_runs_and_how_it_stands() {
        insta::assert_snapshot!(devices().text(NOW.parse().unwrap()), @r"
        NAME       ROLE     CLASS        VIA     STATE            RELEASE       LAST REPORT  LABELS
        gate-1     gateway  gateway-x86  cloud   active           abababababab  12 s ago     site=north
        camera-07  device   edge-x86     gate-1  golden-mismatch  -             never        -
        ");
    }

    #[test]
    fn an_empty_fleet_says_how_to_let_a_device_in() {
        insta::assert_snapshot!(Devices(Vec::new()).text(NOW.parse().unwrap()), @"No devices yet. `espalier claim create` makes the file that lets one in.");
    }
}
