//! Rollouts: a release on its way to a selection of devices, in stages.

use espalier_protocol::{
    DeviceName, Digest, ModelName,
    id::{AssignmentId, ReleaseId, RolloutId},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::action::AllowedAction;

/// Creates a rollout. It does nothing until it is started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRollout {
    /// A signed release.
    #[schema(value_type = Uuid)]
    pub release: ReleaseId,
    /// Which devices.
    #[serde(default)]
    pub selector: Selector,
    /// The stages in order; each device is in exactly one. A canary and the rest when left out.
    #[serde(default = "canary_then_rest")]
    pub stages: Vec<StageSpec>,
    /// Start it in the same call.
    #[serde(default)]
    pub start: bool,
}

/// Which devices of the tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "select", rename_all = "snake_case", deny_unknown_fields)]
pub enum Selector {
    /// Every device that has a build in the release.
    #[default]
    All,
    /// Devices that carry all of these labels.
    Labels {
        /// Label → value.
        labels: std::collections::BTreeMap<String, String>,
    },
}

/// One stage: who is in it, and when it has passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StageSpec {
    /// What people call it.
    #[schema(example = "canary")]
    pub name: String,
    /// How many of the selected devices.
    pub size: StageSize,
    /// The stage passes when at least this share of its devices is active, 0 to 1.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub success_threshold: f64,
    /// The rollout stops when more than this share of its devices failed, 0 to 1. A silent device
    /// counts as failed once the timeout is over.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub failure_threshold: f64,
    /// Seconds that a device has from its desired state to its report.
    #[schema(minimum = 1)]
    pub timeout_seconds: u64,
}

/// How many devices a stage takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageSize {
    /// That many devices.
    Count(u32),
    /// That share of the selection, in percent, rounded up.
    Percent(f64),
    /// All that no earlier stage took. Only for the last stage.
    Rest,
}

/// The stages of a rollout that names none: one device in ten (at least one), then the rest.
#[must_use]
pub fn canary_then_rest() -> Vec<StageSpec> {
    let stage = |name: &str, size| StageSpec {
        name: name.to_owned(),
        size,
        success_threshold: 1.0,
        failure_threshold: 0.0,
        timeout_seconds: 600,
    };
    vec![
        stage("canary", StageSize::Percent(10.0)),
        StageSpec {
            success_threshold: 0.95,
            failure_threshold: 0.05,
            ..stage("rest", StageSize::Rest)
        },
    ]
}

/// A rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutView {
    /// The rollout's id.
    #[schema(value_type = Uuid)]
    pub id: RolloutId,
    /// The release.
    #[schema(value_type = Uuid)]
    pub release: ReleaseId,
    /// SHA-256 of `release.json`.
    #[schema(value_type = String)]
    pub release_digest: Digest,
    /// The model.
    #[schema(value_type = String)]
    pub model: ModelName,
    /// Which devices it was made for.
    pub selector: Selector,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Where it stands.
    #[serde(flatten)]
    pub state: RolloutState,
    /// The stages with their devices counted.
    pub stages: Vec<StageView>,
    /// Devices in all stages, by state.
    pub counts: AssignmentCounts,
    /// What can be done with it now, and why not.
    pub actions: Vec<AllowedAction>,
}

/// Where a rollout stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RolloutState {
    /// Created, not started.
    Draft,
    /// A stage is under way.
    Running {
        /// The stage's place, from 0.
        stage: u32,
    },
    /// No further device gets the release until somebody resumes.
    Paused {
        /// The stage's place, from 0.
        stage: u32,
        /// Who or what paused it.
        reason: String,
    },
    /// Every stage passed.
    Completed,
    /// Stopped for good; devices keep what they run.
    Aborted {
        /// Who or what aborted it.
        reason: String,
    },
    /// Devices go back to the slot they kept.
    Reverting {
        /// Who or what asked for it.
        reason: String,
    },
    /// Every device that took the release is back on the slot it kept.
    Reverted {
        /// Who or what asked for it.
        reason: String,
    },
}

/// A stage with its devices counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StageView {
    /// What was asked for.
    #[serde(flatten)]
    pub spec: StageSpec,
    /// `waiting`, `running`, `passed` or `failed`.
    pub progress: StageProgress,
    /// Devices in this stage, by state.
    pub counts: AssignmentCounts,
}

/// Where a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageProgress {
    /// Not begun.
    Waiting,
    /// Under way.
    Running,
    /// Its success threshold was reached.
    Passed,
    /// Its failure threshold was crossed.
    Failed,
}

/// Devices counted by the state of their assignment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssignmentCounts {
    /// In all.
    pub total: u64,
    /// Not told yet.
    pub pending: u64,
    /// Told, and on the way: accepted, downloading, verified or in trial.
    pub in_progress: u64,
    /// Serving the release.
    pub active: u64,
    /// Failed, or silent past the timeout.
    pub failed: u64,
    /// Back on the slot they kept.
    pub reverted: u64,
}

/// One release for one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AssignmentView {
    /// The assignment's id.
    #[schema(value_type = Uuid)]
    pub id: AssignmentId,
    /// The device.
    #[schema(value_type = String)]
    pub device: DeviceName,
    /// Its stage's place, from 0.
    pub stage: u32,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// Where it stands.
    #[serde(flatten)]
    pub state: AssignmentState,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub changed_at: Timestamp,
}

/// Where an assignment stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AssignmentState {
    /// Its stage has not begun.
    Pending,
    /// Desired state was published; no word yet.
    Published,
    /// The device verified and accepted it.
    Accepted,
    /// Bytes are coming.
    Downloading {
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// All bytes are there and verified.
    Verified,
    /// The new bundle is being tried beside the old one.
    Trial,
    /// The device serves it.
    Active(ActivationView),
    /// Not begun or given up; what served before still serves.
    Failed(FailureView),
    /// The device was on the new bundle and went back to the one it kept by itself.
    RolledBack(FailureView),
    /// The operator's revert: the device is told to go back to the slot it kept.
    Reverting,
    /// The device serves the slot it kept.
    Reverted,
}

/// The measurements of a successful update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActivationView {
    /// Bytes that the device downloaded for it.
    pub bytes_downloaded: u64,
    /// Milliseconds from the desired state's arrival to serving.
    pub duration_ms: u64,
    /// Mean agreement with the full model on golden inputs, 0 to 1, where measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub golden_agreement: Option<f32>,
    /// Median milliseconds of a golden inference, where measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub golden_latency_ms: Option<f32>,
}

/// Why an update ended without success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailureView {
    /// The named kind.
    #[schema(example = "golden-mismatch")]
    pub kind: String,
    /// A sentence for people.
    pub detail: String,
}

/// Something that happened in a rollout; the log is complete and in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutEventView {
    /// Its place in the log.
    pub seq: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What, as a stable word.
    #[schema(example = "stage_passed")]
    pub kind: String,
    /// What, as a sentence for people.
    pub detail: String,
    /// The device it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub device: Option<DeviceName>,
}
