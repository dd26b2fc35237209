//! Forge jobs: what the server writes into a job's folder, and the JSON lines that the forge prints.

use serde::{Deserialize, Serialize};

use crate::{
    DeviceClassName, Digest,
    id::{JobId, ModelVersionId},
};

/// `job.json` in the job's folder. Paths are relative to that folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildJob {
    /// The job.
    pub id: JobId,
    /// The full model, in `input/` (`model.json` and its graphs).
    pub model_version: ModelVersionId,
    /// What to build for.
    pub device_class: DeviceClassName,
    /// The recipe's text (TOML).
    pub recipe: String,
}

/// The folder with the full model, within a job's folder.
pub const INPUT_FOLDER: &str = "input";
/// The folder of the finished bundle, within a job's folder.
pub const OUTPUT_FOLDER: &str = "output";
/// The evaluation report's file, within a job's folder.
pub const EVALUATION_FILE: &str = "evaluation.json";

/// One line of the forge's standard output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum JobEvent {
    /// A stage has begun or moved.
    Progress {
        /// The stage's name: `inspect`, `optimise`, `calibrate`, `quantise`, `evaluate`, `bundle`.
        stage: String,
        /// Units done in this stage.
        done: u64,
        /// Units in all; 0 when unknown.
        total: u64,
    },
    /// The bundle is in the output folder.
    Finished {
        /// The digest of its manifest.
        bundle: Digest,
        /// The measurements, also in [`EVALUATION_FILE`].
        evaluation: Box<Evaluation>,
    },
    /// The job cannot succeed as it is.
    Refused {
        /// A stable word for the reason: `invalid-model`, `invalid-recipe`, `no-sandbox`, …
        code: String,
        /// The words for people.
        detail: String,
    },
}

/// What the forge measured about a build, against the full model that it was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Bytes of the build's graphs.
    pub bytes: u64,
    /// Bytes of the full model's graphs.
    pub full_bytes: u64,
    /// Elements of the build's weights.
    pub params: u64,
    /// Median latency of one whole inference here in milliseconds.
    pub latency_ms_p50: f64,
    /// 95th percentile of the same.
    pub latency_ms_p95: f64,
    /// The full model's median latency in the same run.
    pub full_latency_ms_p50: f64,
    /// Threads of these inferences.
    pub threads: u32,
    /// Peak memory of a process that loads the build and runs it, in bytes.
    pub peak_memory_bytes: u64,
    /// Mean agreement with the full model: IoU of top masks (two empty masks count 0).
    pub agreement_iou: f64,
    /// The same over one-click prompts.
    pub agreement_iou_click: f64,
    /// The same over box prompts.
    pub agreement_iou_box: f64,
    /// Pairs of picture and prompt behind these.
    pub pairs: u64,
    /// Where the held-out pictures came from.
    pub held_out: String,
    /// The gate's verdict.
    pub gate: GateVerdict,
    /// Layers or operators that were left as they are, with the reason.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Whether a build may be released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum GateVerdict {
    /// All conditions hold.
    Passed,
    /// At least one does not.
    Failed {
        /// Which, in words.
        reasons: Vec<String>,
    },
}
