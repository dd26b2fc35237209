//! Builds: what the forge makes of a model version for a device class.

use espalier_protocol::{
    DeviceClassName, Digest, ModelName,
    id::{BuildId, ModelVersionId},
    job::{Evaluation, GateVerdict},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{action::AllowedAction, page::PageQuery};

/// Asks the forge for a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBuild {
    /// The full model to build from.
    #[schema(value_type = Uuid)]
    pub model_version: ModelVersionId,
    /// What the build is for.
    #[schema(value_type = String)]
    pub device_class: DeviceClassName,
    /// The recipe, TOML.
    pub recipe: String,
}

/// Which builds to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BuildQuery {
    /// Only builds of this full model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<Uuid>)]
    pub model_version: Option<ModelVersionId>,
    /// The `next` of the page before; none for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The most rows wanted, 1 to 1000; 100 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

impl BuildQuery {
    /// The part that says which page.
    #[must_use]
    pub fn page(&self) -> PageQuery {
        PageQuery {
            after: self.after.clone(),
            limit: self.limit,
        }
    }
}

/// A build, on its way or made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BuildView {
    /// The build's id.
    #[schema(value_type = Uuid)]
    pub id: BuildId,
    /// The model it belongs to.
    #[schema(value_type = String)]
    pub model: ModelName,
    /// The full model it is made from.
    #[schema(value_type = Uuid)]
    pub model_version: ModelVersionId,
    /// What it is for.
    #[schema(value_type = String)]
    pub device_class: DeviceClassName,
    /// The recipe, TOML.
    pub recipe: String,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Where it stands.
    #[serde(flatten)]
    pub state: BuildState,
    /// What can be done with it now.
    pub actions: Vec<AllowedAction>,
}

/// Where a build stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum BuildState {
    /// Waits for the forge.
    Queued,
    /// The forge works on it.
    Running {
        /// What it is doing.
        #[schema(example = "calibrate")]
        stage: String,
        /// Units done in this stage.
        done: u64,
        /// Units in all; 0 when that is not known.
        total: u64,
    },
    /// Made, measured, and good enough for a release.
    Passed {
        /// Digest of the bundle's manifest.
        #[schema(value_type = String)]
        bundle: Digest,
        /// What was measured.
        evaluation: EvaluationView,
    },
    /// Made and measured, but its gate says no. It cannot be released.
    GateFailed {
        /// Digest of the bundle's manifest.
        #[schema(value_type = String)]
        bundle: Digest,
        /// What was measured.
        evaluation: EvaluationView,
    },
    /// The forge could not make it.
    Failed {
        /// The kind of failure.
        kind: String,
        /// A sentence for people.
        detail: String,
    },
    /// Stopped by an operator.
    Cancelled,
}

/// The evaluation report of a build, measured on the forge's machine on inputs that calibration did not see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvaluationView {
    /// Bytes of the build's graphs.
    pub bytes: u64,
    /// Bytes of the full model's graphs.
    pub full_bytes: u64,
    /// Parameters of the build.
    pub params: u64,
    /// Milliseconds for one whole inference, median.
    pub latency_ms_p50: f64,
    /// Milliseconds for one whole inference, 95th percentile.
    pub latency_ms_p95: f64,
    /// The full model's median in the same run, in milliseconds.
    pub full_latency_ms_p50: f64,
    /// Threads of these inferences.
    pub threads: u32,
    /// Bytes of memory at the peak.
    pub peak_memory_bytes: u64,
    /// Mean agreement with the full model, 0 to 1: IoU of top masks.
    pub agreement_iou: f64,
    /// The same over one-click prompts.
    pub agreement_iou_click: f64,
    /// The same over box prompts.
    pub agreement_iou_box: f64,
    /// Held-out pairs of picture and prompt behind these.
    pub pairs: u64,
    /// Where the held-out pictures came from.
    pub held_out: String,
    /// Why the gate said no; empty when it said yes.
    pub gate_reasons: Vec<String>,
    /// Layers or operators that were left as they are, with the reason.
    pub notes: Vec<String>,
}

impl From<Evaluation> for EvaluationView {
    fn from(measured: Evaluation) -> Self {
        let gate_reasons = match measured.gate {
            GateVerdict::Passed => Vec::new(),
            GateVerdict::Failed { reasons } => reasons,
        };
        Self {
            bytes: measured.bytes,
            full_bytes: measured.full_bytes,
            params: measured.params,
            latency_ms_p50: measured.latency_ms_p50,
            latency_ms_p95: measured.latency_ms_p95,
            full_latency_ms_p50: measured.full_latency_ms_p50,
            threads: measured.threads,
            peak_memory_bytes: measured.peak_memory_bytes,
            agreement_iou: measured.agreement_iou,
            agreement_iou_click: measured.agreement_iou_click,
            agreement_iou_box: measured.agreement_iou_box,
            pairs: measured.pairs,
            held_out: measured.held_out,
            gate_reasons,
            notes: measured.notes,
        }
    }
}

/// A page of builds.
pub type BuildPage = crate::page::Page<BuildView>;
