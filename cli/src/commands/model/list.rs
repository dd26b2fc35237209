//! `espalier model list`.

use clap::Args;
use espalier_api::model::ModelView;
use jiff::Timestamp;
use serde::Serialize;

use crate::commands::Context;
use crate::failure::Failure;
use crate::format::ago;
use crate::output::{Shown, rows};

/// List models.
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
            .show(&Models(context.client()?.all("/models").await?))
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Models(Vec<ModelView>);

impl Shown for Models {
    fn text(&self, now: Timestamp) -> String {
        let lines = self.0.iter().map(|model| {
            [
                model.name.to_string(),
                model.task.clone(),
                model.latest_version.to_string(),
                ago(model.latest_at, now),
            ]
        });
        rows(
            ["name", "task", "newest version", "imported"],
            lines,
            "No models yet. `espalier model import FOLDER` brings one in.",
        )
    }
}
