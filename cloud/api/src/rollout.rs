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
    /// Which devices: `all`, or conditions on labels, `site=berlin,!spare`, with `device` and `class`
    /// as further keys.
    #[serde(default = "everyone")]
    #[schema(example = "site=berlin,line in (1,2)")]
    pub selector: String,
    /// The stages in order; each device is in exactly one. A canary and the rest when left out.
    #[serde(default = "canary_then_rest")]
    pub stages: Vec<StageSpec>,
    /// Start it in the same call; one that cannot start is then not created.
    #[serde(default)]
    pub start: bool,
}

/// One stage: who is in it, when it has passed, and when it stops the rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StageSpec {
    /// What people call it.
    #[schema(example = "canary")]
    pub name: String,
    /// How many of the enlisted devices.
    pub size: StageSize,
    /// The stage passes when at least this share of its devices serves the release, in percent.
    #[serde(default = "default_success")]
    #[schema(minimum = 0.0, maximum = 100.0)]
    pub success_percent: f64,
    /// The rollout stops when more than this share of the devices whose end is known failed, in
    /// percent. A silent device counts as failed once the timeout is over.
    #[serde(default = "default_failure")]
    #[schema(minimum = 0.0, maximum = 100.0)]
    pub failure_percent: f64,
    /// Fewest devices whose end is known before failures may stop the rollout.
    #[serde(default = "default_sample")]
    pub min_sample: u32,
    /// Seconds that a device has from being told; afterwards its silence is a failure.
    #[serde(default = "default_timeout")]
    #[schema(minimum = 1)]
    pub timeout_seconds: u32,
    /// What stopping means.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// How many devices a stage takes, after the stages before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageSize {
    /// That many devices.
    Count(u32),
    /// That share of all enlisted devices, in percent, rounded up.
    Percent(f64),
    /// All that are left. The last stage, and only the last.
    Rest,
}

/// What a gate does when too many devices failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Wait for a person.
    #[default]
    Pause,
    /// Tell nobody else.
    Abort,
    /// Send everybody back to the slot that they kept.
    Revert,
}

fn default_success() -> f64 {
    95.0
}

fn default_failure() -> f64 {
    5.0
}

fn default_sample() -> u32 {
    1
}

fn default_timeout() -> u32 {
    3600
}

fn everyone() -> String {
    "all".to_owned()
}

/// The stages of a rollout that names none: one device in ten (at least one), then the rest.
#[must_use]
pub fn canary_then_rest() -> Vec<StageSpec> {
    let stage = |name: &str, size| StageSpec {
        name: name.to_owned(),
        size,
        success_percent: default_success(),
        failure_percent: default_failure(),
        min_sample: default_sample(),
        timeout_seconds: default_timeout(),
        on_failure: OnFailure::default(),
    };
    vec![
        StageSpec {
            success_percent: 100.0,
            ..stage("canary", StageSize::Percent(10.0))
        },
        stage("rest", StageSize::Rest),
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
    pub selector: String,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Where it stands.
    #[serde(flatten)]
    pub state: RolloutState,
    /// The stages with their devices counted.
    pub stages: Vec<StageView>,
    /// Devices in all stages, by phase.
    pub counts: PhaseCounts,
    /// Selected devices that were not enlisted, with the reason; known once it is started.
    pub left_out: Vec<LeftOutView>,
    /// What can be done with it now, and why not. In a list this is told by the state alone; the rollout by itself
    /// knows, too, whether a newer one has overtaken it.
    pub actions: Vec<AllowedAction>,
}

/// A selected device that was not enlisted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftOutView {
    /// The device.
    #[schema(value_type = String)]
    pub device: DeviceName,
    /// Why, for people.
    pub reason: String,
}

/// Where a rollout stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RolloutState {
    /// Created, not started: nobody is enlisted yet.
    Draft,
    /// A stage is open.
    Running {
        /// The open stage's place, from 0.
        stage: u32,
        /// Since when it is open.
        #[schema(value_type = String, format = DateTime)]
        since: Timestamp,
    },
    /// Nobody else is told; devices that were told go on.
    Paused {
        /// The open stage's place, from 0.
        stage: u32,
        /// Since when.
        #[schema(value_type = String, format = DateTime)]
        since: Timestamp,
        /// Who or what paused it, for people.
        reason: String,
    },
    /// Every stage passed.
    Completed {
        /// When.
        #[schema(value_type = String, format = DateTime)]
        at: Timestamp,
    },
    /// Stopped for good; devices keep what they run.
    Aborted {
        /// When.
        #[schema(value_type = String, format = DateTime)]
        at: Timestamp,
        /// Who or what aborted it, for people.
        reason: String,
    },
    /// Devices go back to the slot that they kept.
    Reverting {
        /// Since when.
        #[schema(value_type = String, format = DateTime)]
        since: Timestamp,
        /// Who or what asked for it, for people.
        reason: String,
    },
    /// Every device is back, or has had the time for it.
    Reverted {
        /// When.
        #[schema(value_type = String, format = DateTime)]
        at: Timestamp,
        /// Who or what asked for it, for people.
        reason: String,
    },
}

/// A stage with its devices counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StageView {
    /// What was asked for.
    #[serde(flatten)]
    pub spec: StageSpec,
    /// Where it stands.
    pub progress: StageProgress,
    /// Its devices, by phase.
    pub counts: PhaseCounts,
}

/// Where a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageProgress {
    /// Not open.
    Waiting,
    /// Open, and its gate waits.
    Open,
    /// Its gate let it pass.
    Passed,
    /// Its gate stopped the rollout.
    Failed,
    /// The rollout is reverted: the devices of the stage go back, or have had the time for it.
    Reverted,
}

/// Devices counted by the phase of their assignment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhaseCounts {
    /// In all.
    pub total: u64,
    /// Not told yet.
    pub pending: u64,
    /// Told, and their end is not known.
    pub underway: u64,
    /// Serving the release.
    pub active: u64,
    /// Failed, went back by themselves, or silent past the timeout.
    pub failed: u64,
    /// On their way back.
    pub returning: u64,
    /// Each phase by its word (`downloading`, `trial`, `silent`, …), those above zero.
    pub phases: std::collections::BTreeMap<String, u64>,
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
    /// Where it should get to: the release, or back.
    pub goal: AssignmentGoal,
    /// Which try this is, from 1; 0 before the first.
    pub attempt: u32,
    /// Where it stands, in one word: `pending`, `sent`, `accepted`, `downloading`, `verified`,
    /// `trial`, `active`, `failed`, `rolled-back`, `silent`, `cancelled`, `withdrawn`, `returning`,
    /// `returned`, `return-failed`, `return-silent`.
    pub phase: String,
    /// What is known beyond that word.
    #[serde(flatten)]
    pub detail: AssignmentDetail,
}

/// Where an assignment should get to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssignmentGoal {
    /// The release's bundle.
    Install,
    /// Back to what served before.
    Return,
}

/// What is known of an assignment beyond its phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AssignmentDetail {
    /// The device was not told.
    Untold,
    /// The device is on its way.
    Underway {
        /// When it was told.
        #[schema(value_type = String, format = DateTime)]
        sent_at: Timestamp,
        /// Bytes that it has, and bytes in all, while it downloads.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<BytesView>,
    },
    /// The device serves what it should.
    Active(ActivationView),
    /// The device failed; what served before serves.
    Failed(FailureView),
    /// The device was told and did not end in time.
    Silent {
        /// When it was told.
        #[schema(value_type = String, format = DateTime)]
        sent_at: Timestamp,
    },
    /// Nothing more will happen to it.
    Closed,
}

/// A download's progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BytesView {
    /// Bytes so far.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
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

/// A page of rollouts.
pub type RolloutPage = crate::page::Page<RolloutView>;

/// A page of assignments.
pub type AssignmentPage = crate::page::Page<AssignmentView>;
