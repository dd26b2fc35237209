//! `espalier release list`.

use clap::Args;
use espalier_api::release::ReleaseView;
use jiff::Timestamp;
use serde::Serialize;

use super::show::state;
use crate::commands::Context;
use crate::failure::Failure;
use crate::format::ago;
use crate::output::{Shown, rows};

/// List releases.
#[derive(Debug, Args)]
pub struct List {}

impl List {
    /// Reads and shows.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        context
            .output
            .show(&Releases(context.client()?.all("/releases").await?))
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Releases(Vec<ReleaseView>);

impl Shown for Releases {
    fn text(&self, now: Timestamp) -> String {
        let lines = self.0.iter().map(|release| {
            let classes: Vec<_> = release
                .builds
                .iter()
                .map(|build| build.device_class.to_string())
                .collect();
            [
                release.id.to_string(),
                release.model.to_string(),
                release.counter.to_string(),
                release.digest.short(),
                state(&release.state),
                classes.join(", "),
                ago(release.created_at, now),
            ]
        });
        rows(
            [
                "id", "model", "counter", "digest", "state", "classes", "created",
            ],
            lines,
            "No releases yet. `espalier release create BUILD…` drafts one.",
        )
    }
}
