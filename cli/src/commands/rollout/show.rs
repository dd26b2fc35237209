//! `espalier rollout show`.

use clap::Args;
use espalier_api::rollout::{
    ActivationView, AssignmentDetail, AssignmentView, OnFailure, RolloutView, StageProgress,
    StageSize, StageView,
};
use espalier_protocol::id::RolloutId;
use jiff::Timestamp;
use serde::Serialize;

use super::list::{reason, state};
use crate::commands::Context;
use crate::failure::Failure;
use crate::format::{ago, bytes, milliseconds, moment};
use crate::output::{Shown, facts, rows};

/// Show a rollout with its stages and devices.
#[derive(Debug, Args)]
pub struct Show {
    /// The rollout's id
    id: RolloutId,
}

impl Show {
    /// Reads and shows.
    ///
    /// # Errors
    /// When the server cannot be asked or knows no such rollout.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let client = context.client()?;
        let rollout = client.get(&format!("/rollouts/{}", self.id)).await?;
        let assignments = client
            .all(&format!("/rollouts/{}/assignments", self.id))
            .await?;
        context.output.show(&WithAssignments {
            rollout,
            assignments,
        })
    }
}

#[derive(Debug, Serialize)]
struct WithAssignments {
    #[serde(flatten)]
    rollout: RolloutView,
    assignments: Vec<AssignmentView>,
}

impl Shown for WithAssignments {
    fn text(&self, now: Timestamp) -> String {
        let devices = self.assignments.iter().map(|assignment| {
            let stage = self.rollout.stages.get(assignment.stage as usize);
            [
                assignment.device.to_string(),
                stage.map_or_else(
                    || assignment.stage.to_string(),
                    |stage| stage.spec.name.clone(),
                ),
                assignment.phase.clone(),
                assignment.attempt.to_string(),
                detail(&assignment.detail, now),
            ]
        });
        let devices = rows(
            ["device", "stage", "phase", "attempt", "detail"],
            devices,
            "No device is enlisted.",
        );
        format!("{}\n\n{devices}", self.rollout.text(now))
    }
}

impl Shown for RolloutView {
    fn text(&self, now: Timestamp) -> String {
        let mut about = vec![
            ("rollout", self.id.to_string()),
            (
                "release",
                format!(
                    "{} of {} (digest {})",
                    self.release,
                    self.model,
                    self.release_digest.short()
                ),
            ),
            ("devices", self.selector.clone()),
            ("created", moment(self.created_at, now)),
            ("state", state(self)),
        ];
        about.extend(reason(&self.state).map(|reason| ("reason", reason.to_owned())));
        about.extend(
            self.left_out
                .iter()
                .map(|left| ("left out", format!("{}: {}", left.device, left.reason))),
        );
        let actions: Vec<_> = self
            .actions
            .iter()
            .filter(|a| a.allowed)
            .map(|a| a.action.clone())
            .collect();
        if !actions.is_empty() {
            about.push(("can be done", actions.join(", ")));
        }
        let stages = self.stages.iter().map(stage_row);
        let headings = [
            "stage",
            "size",
            "state",
            "active",
            "on the way",
            "failed",
            "waiting",
            "passes at",
            "stops above",
        ];
        format!(
            "{}\n\n{}",
            facts(about),
            rows(headings, stages, "It has no stages.")
        )
    }
}

fn stage_row(stage: &StageView) -> [String; 9] {
    let counts = &stage.counts;
    [
        stage.spec.name.clone(),
        size(stage.spec.size),
        progress(stage.progress).into(),
        format!("{}/{}", counts.active, counts.total),
        (counts.underway + counts.returning).to_string(),
        counts.failed.to_string(),
        counts.pending.to_string(),
        format!("{} % active", stage.spec.success_percent),
        format!(
            "{} % failed: {}",
            stage.spec.failure_percent,
            on_failure(stage.spec.on_failure)
        ),
    ]
}

fn size(size: StageSize) -> String {
    match size {
        StageSize::Count(count) => count.to_string(),
        StageSize::Percent(share) => format!("{share} %"),
        StageSize::Rest => "rest".into(),
    }
}

fn on_failure(on_failure: OnFailure) -> &'static str {
    match on_failure {
        OnFailure::Pause => "pause",
        OnFailure::Abort => "abort",
        OnFailure::Revert => "revert",
    }
}

/// A stage's standing as a word.
pub fn progress(progress: StageProgress) -> &'static str {
    match progress {
        StageProgress::Waiting => "waiting",
        StageProgress::Open => "open",
        StageProgress::Passed => "passed",
        StageProgress::Failed => "failed",
        StageProgress::Reverted => "reverted",
    }
}

/// What is known of an assignment beyond its phase.
fn detail(detail: &AssignmentDetail, now: Timestamp) -> String {
    match detail {
        AssignmentDetail::Untold => "waits for its stage".into(),
        AssignmentDetail::Underway {
            sent_at,
            bytes: None,
        } => format!("told {}", ago(*sent_at, now)),
        AssignmentDetail::Underway {
            bytes: Some(got), ..
        } => format!("{} of {}", bytes(got.done), bytes(got.total)),
        AssignmentDetail::Active(measured) => activation(measured),
        AssignmentDetail::Failed(failure) => format!("{}: {}", failure.kind, failure.detail),
        AssignmentDetail::Silent { sent_at } => {
            format!("told {} and silent since", ago(*sent_at, now))
        }
        AssignmentDetail::Closed => "nothing more will happen to it".into(),
    }
}

fn activation(measured: &ActivationView) -> String {
    let mut parts = vec![
        format!("{} downloaded", bytes(measured.bytes_downloaded)),
        format!(
            "{} until serving",
            milliseconds(measured.duration_ms as f64)
        ),
    ];
    parts.extend(
        measured
            .golden_agreement
            .map(|iou| format!("agreement {iou:.3}")),
    );
    parts.extend(
        measured
            .golden_latency_ms
            .map(|ms| format!("{} an inference", milliseconds(f64::from(ms)))),
    );
    parts.join(", ")
}
