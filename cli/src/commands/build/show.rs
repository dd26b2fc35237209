//! `espalier build show`.

use clap::Args;
use espalier_api::build::{BuildState, BuildView, EvaluationView};
use espalier_protocol::id::BuildId;
use jiff::Timestamp;

use crate::commands::Context;
use crate::failure::Failure;
use crate::format::{bytes, milliseconds, moment, percent};
use crate::output::{Shown, facts};

/// Show a build with its evaluation report.
#[derive(Debug, Args)]
pub struct Show {
    /// The build's id
    id: BuildId,
}

impl Show {
    /// Reads and shows.
    ///
    /// # Errors
    /// When the server cannot be asked or knows no such build.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        let build: BuildView = context
            .client()?
            .get(&format!("/builds/{}", self.id))
            .await?;
        context.output.show(&build)
    }
}

impl Shown for BuildView {
    fn text(&self, now: Timestamp) -> String {
        let mut about = vec![
            ("build", self.id.to_string()),
            (
                "model",
                format!("{} (version {})", self.model, self.model_version),
            ),
            ("class", self.device_class.to_string()),
            ("created", moment(self.created_at, now)),
            ("state", state(&self.state).into()),
        ];
        about.extend(details(&self.state));
        let about = facts(about);
        match measured(&self.state) {
            Some(evaluation) => format!("{about}{}{}", gate(evaluation), notes(evaluation)),
            None => about,
        }
    }
}

fn details(state: &BuildState) -> Vec<(&'static str, String)> {
    match state {
        BuildState::Queued | BuildState::Cancelled => Vec::new(),
        BuildState::Running { stage, done, total } => {
            vec![(
                "stage",
                if *total == 0 {
                    stage.clone()
                } else {
                    format!("{stage}, {done} of {total}")
                },
            )]
        }
        BuildState::Failed { kind, detail } => {
            vec![("kind", kind.clone()), ("reason", detail.clone())]
        }
        BuildState::Passed { bundle, evaluation }
        | BuildState::GateFailed { bundle, evaluation } => {
            let mut details = vec![("bundle", bundle.to_string())];
            details.extend(report(evaluation));
            details
        }
    }
}

fn report(measured: &EvaluationView) -> Vec<(&'static str, String)> {
    let share = measured.bytes as f64 / measured.full_bytes.max(1) as f64;
    let size = format!(
        "{}, {} of the full model's {}",
        bytes(measured.bytes),
        percent(share),
        bytes(measured.full_bytes)
    );
    let latency = format!(
        "{} median, {} at the 95th percentile, on {} threads (full model: {} median)",
        milliseconds(measured.latency_ms_p50),
        milliseconds(measured.latency_ms_p95),
        measured.threads,
        milliseconds(measured.full_latency_ms_p50),
    );
    let agreement = format!(
        "{:.4} mean IoU with the full model (clicks {:.4}, boxes {:.4})",
        measured.agreement_iou, measured.agreement_iou_click, measured.agreement_iou_box,
    );
    vec![
        ("size", size),
        ("parameters", measured.params.to_string()),
        ("latency", latency),
        ("peak memory", bytes(measured.peak_memory_bytes)),
        ("agreement", agreement),
        (
            "held out",
            format!(
                "{} pairs of picture and prompt: {}",
                measured.pairs, measured.held_out
            ),
        ),
    ]
}

fn gate(evaluation: &EvaluationView) -> String {
    match evaluation.gate_reasons.as_slice() {
        [] => "\n\nThe gate passed.".into(),
        reasons => format!("\n\nThe gate did not pass:{}", list(reasons)),
    }
}

fn notes(evaluation: &EvaluationView) -> String {
    match evaluation.notes.as_slice() {
        [] => String::new(),
        notes => format!("\n\nNotes:{}", list(notes)),
    }
}

fn list(items: &[String]) -> String {
    items.iter().map(|item| format!("\n  - {item}")).collect()
}

/// A build's state as a word.
pub fn state(state: &BuildState) -> &'static str {
    match state {
        BuildState::Queued => "queued",
        BuildState::Running { .. } => "running",
        BuildState::Passed { .. } => "passed",
        BuildState::GateFailed { .. } => "gate failed",
        BuildState::Failed { .. } => "failed",
        BuildState::Cancelled => "cancelled",
    }
}

/// What was measured, if the build came that far.
pub fn measured(state: &BuildState) -> Option<&EvaluationView> {
    match state {
        BuildState::Passed { evaluation, .. } | BuildState::GateFailed { evaluation, .. } => {
            Some(evaluation)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_gate_says_what_was_missed() {
        let build: BuildView = serde_json::from_value(serde_json::json!({
            "id": "01900000-0000-7000-8000-000000000001", "model": "link",
            "model_version": "01900000-0000-7000-8000-000000000002", "device_class": "edge-x86",
            "recipe": "", "created_at": "2026-03-01T11:00:00Z", "actions": [],
            "state": "gate_failed", "bundle": "ab".repeat(32),
            "evaluation": {
                "bytes": 3_500_000, "full_bytes": 14_000_000, "params": 3_400_000, "latency_ms_p50": 41.5,
                "latency_ms_p95": 61.0, "full_latency_ms_p50": 120.0, "threads": 2, "peak_memory_bytes": 90_000_000,
                "agreement_iou": 0.91, "agreement_iou_click": 0.9, "agreement_iou_box": 0.92, "pairs": 200,
                "held_out": "rendered scenes, seed 7", "notes": [],
                "gate_reasons": ["agreement 0.9100 is below 0.93"]
            }
        }))
        .unwrap();
        insta::assert_snapshot!(build.text("2026-03-01T12:00:00Z".parse().unwrap()), @r"
        build:        01900000-0000-7000-8000-000000000001
        model:        link (version 01900000-0000-7000-8000-000000000002)
        class:        edge-x86
        created:      2026-03-01T11:00:00Z (1 h ago)
        state:        gate failed
        bundle:       abababababababababababababababababababababababababababababababab
        size:         3.34 MiB, 25.0 % of the full model's 13.4 MiB
        parameters:   3400000
        latency:      41.5 ms median, 61.0 ms at the 95th percentile, on 2 threads (full model: 120 ms median)
        peak memory:  85.8 MiB
        agreement:    0.9100 mean IoU with the full model (clicks 0.9000, boxes 0.9200)
        held out:     200 pairs of picture and prompt: rendered scenes, seed 7

        The gate did not pass:
          - agreement 0.9100 is below 0.93
        ");
    }
}
