//! The stages of a build, each run in a worker of its own.
//!
//! A stage reads what the stages before it left in the work folder and leaves its own result there; its
//! answer goes to the supervisor. Because every stage starts from files, a job that was killed goes on with
//! the stage that was not finished.

mod folders;
mod prepare;
mod shrink;
mod tuning;

use std::path::PathBuf;

use espalier_protocol::id::ModelVersionId;
use serde::{Deserialize, Serialize};

use crate::bundle::{self, BundleError};
use crate::evaluate::agreement::Agreement;
use crate::evaluate::measure::{Cost, MeasureError};
use crate::inspect::{InspectError, Inspection, inspect};
use crate::onnx::{Limits, OnnxError};
use crate::quantise::QuantiseError;
use crate::recipe::Recipe;
use crate::sandbox::doors::{Attempt, Outcome, try_door};
use crate::sandbox::spawn::{Failure, Progress};

pub use folders::Folders;
pub use shrink::Shrunk;

/// What a worker is asked to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "errand", rename_all = "kebab-case")]
pub enum Errand {
    /// Try a way out of the walls.
    TryDoor(Attempt),
    /// Read and check a model.
    Inspect {
        /// A folder or an ONNX file.
        model: PathBuf,
    },
    /// Check the full model and rewrite it without loss.
    Prepare(Task),
    /// Make the build's graphs.
    Shrink(Task),
    /// Measure latency and memory of the full model or of the build.
    Measure {
        /// The job.
        task: Task,
        /// Which of the two.
        subject: Subject,
    },
    /// Compare the build's answers with the full model's.
    Compare(Task),
    /// Write golden inputs and manifest.
    Bundle {
        /// The job.
        task: Task,
        /// Peak memory of the build, which goes into the manifest.
        memory_bytes: u64,
    },
}

/// What every stage of a build knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// Where the full model lies.
    pub input: PathBuf,
    /// Where the stages may write.
    pub work: PathBuf,
    /// The full model's version, which goes into the manifest.
    pub model_version: ModelVersionId,
    /// The recipe.
    pub recipe: Recipe,
}

impl Task {
    /// The folders inside the work folder.
    #[must_use]
    pub fn folders(&self) -> Folders {
        Folders::inside(&self.work)
    }
}

/// Which of the two models is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The full model.
    Full,
    /// The build.
    Build,
}

/// What a stage answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "answer", content = "content", rename_all = "kebab-case")]
pub enum Answer {
    /// How the door held.
    Door(Outcome),
    /// What the model is.
    Inspection(Box<Inspection>),
    /// What the build's graphs became.
    Shrunk(Shrunk),
    /// What a model costs.
    Cost(Cost),
    /// How well the build agrees.
    Agreement(Agreement),
    /// The bundle lies in its folder.
    Bundled,
}

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The model is refused.
    #[error(transparent)]
    Model(#[from] InspectError),
    /// A build of this task cannot be made.
    #[error(
        "the model's task is `{0}`: builds are made for `promptable-segmentation`; write a model.json if it is one"
    )]
    Task(&'static str),
    /// The recipe does not fit the model.
    #[error("the recipe does not fit the model: {0}")]
    Recipe(String),
    /// A graph could not be rewritten.
    #[error("{graph}: {source}")]
    Quantise {
        /// The graph's file.
        graph: String,
        /// Why.
        source: QuantiseError,
    },
    /// The model could not be loaded or run.
    #[error("the {which} model cannot be run: {reason}")]
    Run {
        /// `full` or `edge`.
        which: &'static str,
        /// Why.
        reason: String,
    },
    /// A graph could not be written or read back.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The bundle could not be written.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A file could not be written or read.
    #[error("the work folder cannot be used: {0}")]
    Io(#[from] std::io::Error),
    /// A result could not be written as JSON.
    #[error("a result cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl StageError {
    fn run<E: std::fmt::Display>(which: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Run {
            which,
            reason: error.to_string(),
        }
    }

    /// A stable word for the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Model(_) | Self::Onnx(_) | Self::Run { which: "full", .. } => "invalid-model",
            Self::Task(_) => "unsupported-task",
            Self::Recipe(_) => "invalid-recipe",
            Self::Quantise { .. } | Self::Run { .. } => "build-failed",
            Self::Bundle(_) | Self::Io(_) | Self::Json(_) => "storage",
        }
    }
}

impl From<StageError> for Failure {
    fn from(error: StageError) -> Self {
        Self {
            code: error.code().to_owned(),
            detail: error.to_string(),
        }
    }
}

/// Does an errand, in the calling process.
///
/// # Errors
/// [`StageError`].
pub fn perform(errand: Errand, say: &mut dyn FnMut(Progress)) -> Result<Answer, StageError> {
    match errand {
        Errand::TryDoor(attempt) => Ok(Answer::Door(try_door(&attempt))),
        Errand::Inspect { model } => {
            let full = inspect(&model, &Limits::default())?;
            Ok(Answer::Inspection(Box::new(full.inspection)))
        }
        Errand::Prepare(task) => {
            prepare::run(&task, say).map(|found| Answer::Inspection(Box::new(found)))
        }
        Errand::Shrink(task) => shrink::run(&task, say).map(Answer::Shrunk),
        Errand::Measure { task, subject } => measure(&task, subject, say).map(Answer::Cost),
        Errand::Compare(task) => tuning::compare(&task, say).map(Answer::Agreement),
        Errand::Bundle { task, memory_bytes } => {
            let mut stage = Stage::new(say, "bundle", u64::from(task.recipe.held_out.golden.get()));
            bundle::write(&task, memory_bytes, &mut || stage.step())?;
            Ok(Answer::Bundled)
        }
    }
}

fn measure(
    task: &Task,
    subject: Subject,
    say: &mut dyn FnMut(Progress),
) -> Result<Cost, StageError> {
    let folders = task.folders();
    let (which, folder) = match subject {
        Subject::Full => ("full", folders.full),
        Subject::Build => ("edge", folders.build),
    };
    let mut stage = Stage::new(say, "measure", crate::evaluate::measure::STEPS);
    let options = task.recipe.device.graph_options();
    let cost: Result<Cost, MeasureError> =
        crate::evaluate::measure::measure(&folder, &options, &mut || stage.step());
    cost.map_err(StageError::run(which))
}

/// Counts the steps of one stage aloud.
pub struct Stage<'a> {
    say: &'a mut dyn FnMut(Progress),
    name: &'static str,
    done: u64,
    total: u64,
}

impl<'a> Stage<'a> {
    /// Announces a stage of `total` steps.
    pub fn new(say: &'a mut dyn FnMut(Progress), name: &'static str, total: u64) -> Self {
        let mut stage = Self {
            say,
            name,
            done: 0,
            total,
        };
        stage.tell();
        stage
    }

    /// One step is done.
    pub fn step(&mut self) {
        self.done += 1;
        self.tell();
    }

    fn tell(&mut self) {
        (self.say)(Progress {
            stage: self.name.to_owned(),
            done: self.done,
            total: self.total,
        });
    }
}
