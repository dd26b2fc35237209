//! `espalier rollout list`.

use clap::Args;
use espalier_api::rollout::{RolloutState, RolloutView};
use jiff::Timestamp;
use serde::Serialize;

use crate::commands::Context;
use crate::failure::Failure;
use crate::format::ago;
use crate::output::{Shown, rows};

/// List rollouts.
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
            .show(&Rollouts(context.client()?.all("/rollouts").await?))
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Rollouts(Vec<RolloutView>);

impl Shown for Rollouts {
    fn text(&self, now: Timestamp) -> String {
        let lines = self.0.iter().map(|rollout| {
            [
                rollout.id.to_string(),
                rollout.model.to_string(),
                rollout.release_digest.short(),
                state(rollout),
                format!("{}/{}", rollout.counts.active, rollout.counts.total),
                rollout.counts.failed.to_string(),
                rollout.selector.clone(),
                ago(rollout.created_at, now),
            ]
        });
        rows(
            [
                "id", "model", "release", "state", "active", "failed", "devices", "created",
            ],
            lines,
            "No rollouts yet. `espalier rollout start RELEASE` starts one.",
        )
    }
}

/// A rollout's state, with the stage it is in.
pub fn state(rollout: &RolloutView) -> String {
    let stage = |place: u32| match rollout.stages.get(place as usize) {
        Some(stage) => stage.spec.name.clone(),
        None => format!("stage {place}"),
    };
    match &rollout.state {
        RolloutState::Draft => "draft".into(),
        RolloutState::Running { stage: place, .. } => format!("running ({})", stage(*place)),
        RolloutState::Paused { stage: place, .. } => format!("paused ({})", stage(*place)),
        RolloutState::Completed { .. } => "completed".into(),
        RolloutState::Aborted { .. } => "aborted".into(),
        RolloutState::Reverting { .. } => "reverting".into(),
        RolloutState::Reverted { .. } => "reverted".into(),
    }
}

/// Who or what brought it there, when that is on record.
pub fn reason(state: &RolloutState) -> Option<&str> {
    match state {
        RolloutState::Draft | RolloutState::Running { .. } | RolloutState::Completed { .. } => None,
        RolloutState::Paused { reason, .. }
        | RolloutState::Aborted { reason, .. }
        | RolloutState::Reverting { reason, .. }
        | RolloutState::Reverted { reason, .. } => Some(reason),
    }
}
