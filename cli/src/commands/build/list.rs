//! `espalier build list`.

use clap::Args;
use espalier_api::build::{BuildState, BuildView};
use jiff::Timestamp;
use serde::Serialize;

use super::show::{measured, state};
use crate::commands::Context;
use crate::failure::Failure;
use crate::format::{ago, bytes, or_dash, percent};
use crate::output::{Shown, rows};

/// List builds.
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
            .show(&Builds(context.client()?.all("/builds").await?))
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Builds(Vec<BuildView>);

impl Shown for Builds {
    fn text(&self, now: Timestamp) -> String {
        rows(
            [
                "id",
                "model",
                "class",
                "state",
                "size",
                "agreement",
                "created",
            ],
            self.0.iter().map(|build| row(build, now)),
            "No builds yet. `espalier build create --model NAME --class CLASS --recipe FILE` asks for one.",
        )
    }
}

fn row(build: &BuildView, now: Timestamp) -> [String; 7] {
    let evaluation = measured(&build.state);
    let doing = match &build.state {
        BuildState::Running { stage, .. } => stage.clone(),
        other => state(other).into(),
    };
    [
        build.id.to_string(),
        build.model.to_string(),
        build.device_class.to_string(),
        doing,
        or_dash(evaluation.map(|e| bytes(e.bytes))),
        or_dash(evaluation.map(|e| percent(e.agreement_iou))),
        ago(build.created_at, now),
    ]
}
