//! A build job from its folder to its bundle: the supervisor's side.
//!
//! The supervisor never touches the model. It reads `job.json`, runs each stage in a confined worker, keeps the
//! workers' answers, checks the finished bundle byte by byte, and moves it into place with one rename. Killed at
//! any moment, it goes on where it stopped when it is started again; cancelled, it leaves nothing behind.

mod bom;
mod records;
mod seal;
mod verify;

use std::future::Future;
use std::path::{Path, PathBuf};

use espalier_protocol::Digest;
use espalier_protocol::job::{
    BuildJob, EVALUATION_FILE, Evaluation, GateVerdict, INPUT_FOLDER, JobEvent, OUTPUT_FOLDER,
};
use espalier_protocol::manifest::MANIFEST_FILE;
use espalier_protocol::proof::bom::BomError;
use jiff::Timestamp;

use crate::evaluate::agreement::Agreement;
use crate::evaluate::judge;
use crate::evaluate::measure::Cost;
use crate::inspect::Inspection;
use crate::recipe::{Recipe, RecipeError};
use crate::sandbox::spawn::{Failure, Progress, Worker, WorkerError, library_rooms};
use crate::sandbox::{Rooms, Walls};
use crate::stages::{Answer, Errand, Shrunk, Subject, Task};

use records::Records;
use verify::VerifyError;

/// The stages' folder within a job's folder.
const WORK_FOLDER: &str = "work";
/// The folder of finished stages' answers within a job's folder; workers cannot reach it.
const RECORDS_FOLDER: &str = "done";

/// Why a job ended without a bundle.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// `job.json` cannot be used.
    #[error("{}: {reason}", path.display())]
    Job {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The recipe is refused.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The recipe is for another class of devices.
    #[error("the job is for the device class `{job}`, the recipe for `{recipe}`")]
    Class {
        /// The job's.
        job: String,
        /// The recipe's.
        recipe: String,
    },
    /// A stage failed.
    #[error("{0}")]
    Worker(#[from] WorkerError),
    /// A stage answered another question.
    #[error("the worker answered another question than `{0}`")]
    WrongAnswer(&'static str),
    /// The bundle that a worker left is not what its manifest says.
    #[error("the worker's bundle is refused: {0}")]
    Bundle(#[from] VerifyError),
    /// The bundle's bill of materials cannot be written.
    #[error("the bill of materials cannot be written: {0}")]
    Bom(#[from] BomError),
    /// The job's folder cannot be used.
    #[error("the job's folder cannot be used: {0}")]
    Io(#[from] std::io::Error),
}

impl JobError {
    /// A stable word for the reason.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Job { .. } => "invalid-job",
            Self::Recipe(_) | Self::Class { .. } => "invalid-recipe",
            Self::Worker(WorkerError::Failed(Failure { code, .. })) => code,
            Self::Worker(WorkerError::Cancelled) => "cancelled",
            Self::Worker(WorkerError::TooLong(_) | WorkerError::Died { .. }) => "worker-died",
            Self::Worker(WorkerError::Io(_)) | Self::Bom(_) | Self::Io(_) => "storage",
            Self::Worker(WorkerError::Nonsense(_)) | Self::WrongAnswer(_) | Self::Bundle(_) => {
                "worker-lied"
            }
        }
    }

    /// The event that tells it.
    #[must_use]
    pub fn event(&self) -> JobEvent {
        JobEvent::Refused {
            code: self.code().to_owned(),
            detail: self.to_string(),
        }
    }
}

/// How workers are started.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// This program's own file.
    pub program: PathBuf,
    /// ONNX Runtime's library.
    pub library: PathBuf,
    /// Whether workers are confined; `false` only when a person accepted the risk.
    pub confined: bool,
}

impl Workshop {
    /// A worker with these rooms, beside ONNX Runtime's own folder.
    #[must_use]
    pub fn worker(
        &self,
        work: &Path,
        inputs: &[PathBuf],
        limits: crate::sandbox::Limits,
    ) -> Worker {
        let mut inputs = inputs.to_vec();
        inputs.extend(library_rooms(&self.library));
        Worker {
            program: self.program.clone(),
            walls: Walls {
                rooms: Rooms {
                    work: work.to_owned(),
                    inputs,
                },
                limits,
            },
            confined: self.confined,
            library: Some(self.library.clone()),
        }
    }
}

/// Runs the job of a `job.json`. `tell` hears of its progress; the last event is for the caller to tell. `clock`
/// dates the bundle's bill of materials. When `cancelled` resolves, the job ends and its folder is as it was before.
///
/// # Errors
/// [`JobError`].
pub async fn run(
    job_file: &Path,
    workshop: &Workshop,
    tell: &mut dyn FnMut(JobEvent),
    clock: fn() -> Timestamp,
    cancelled: impl Future<Output = ()>,
) -> Result<JobEvent, JobError> {
    let job = Job::open(job_file)?;
    if let Some(finished) = job.finished_before()? {
        return Ok(finished);
    }
    let mut cancelled = std::pin::pin!(cancelled);
    let made = job.make(workshop, tell, clock, &mut cancelled).await;
    if let Err(JobError::Worker(WorkerError::Cancelled)) = &made {
        job.clear()?;
    }
    made
}

struct Job {
    folder: PathBuf,
    task: Task,
    recipe_text: String,
    records: Records,
}

impl Job {
    fn open(job_file: &Path) -> Result<Self, JobError> {
        let unusable = |reason: String| JobError::Job {
            path: job_file.to_owned(),
            reason,
        };
        let bytes = std::fs::read(job_file).map_err(|error| unusable(error.to_string()))?;
        let job: BuildJob =
            serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
        let recipe = Recipe::parse(&job.recipe)?;
        if recipe.device.class != job.device_class {
            return Err(JobError::Class {
                job: job.device_class.to_string(),
                recipe: recipe.device.class.to_string(),
            });
        }
        // Workers run in another folder, so every path must be whole.
        let folder = job_file
            .canonicalize()?
            .parent()
            .map(Path::to_owned)
            .unwrap_or_default();
        let task = Task {
            input: folder.join(INPUT_FOLDER),
            work: folder.join(WORK_FOLDER),
            model_version: job.model_version,
            recipe,
        };
        let records = Records::new(folder.join(RECORDS_FOLDER), Digest::of(&bytes));
        Ok(Self {
            folder,
            task,
            recipe_text: job.recipe,
            records,
        })
    }

    /// The last event of a job whose bundle is already in place.
    fn finished_before(&self) -> Result<Option<JobEvent>, JobError> {
        let output = self.folder.join(OUTPUT_FOLDER);
        let report = self.folder.join(EVALUATION_FILE);
        if !output.join(MANIFEST_FILE).is_file() || !report.is_file() {
            return Ok(None);
        }
        let evaluation: Evaluation =
            serde_json::from_slice(&std::fs::read(report)?).map_err(std::io::Error::other)?;
        let bundle = verify::bundle(&output)?;
        Ok(Some(JobEvent::Finished {
            bundle,
            evaluation: Box::new(evaluation),
        }))
    }

    async fn make<C: Future<Output = ()> + Unpin>(
        &self,
        workshop: &Workshop,
        tell: &mut dyn FnMut(JobEvent),
        clock: fn() -> Timestamp,
        cancelled: &mut C,
    ) -> Result<JobEvent, JobError> {
        std::fs::create_dir_all(&self.task.work)?;
        let limits = self.task.recipe.limits;
        let worker = workshop.worker(
            &self.task.work,
            std::slice::from_ref(&self.task.input),
            limits,
        );
        let mut stages = Stages {
            job: self,
            worker,
            tell,
            cancelled,
        };
        let full = stages.inspection().await?;
        let shrunk = stages.shrunk().await?;
        let full_cost = stages.cost(Subject::Full).await?;
        let cost = stages.cost(Subject::Build).await?;
        let agreement = stages.agreement().await?;
        stages.bundle(cost.peak_memory_bytes).await?;
        let evaluation = self.evaluation(&full, shrunk, full_cost, cost, agreement);
        self.publish(&full, evaluation, clock())
    }

    fn evaluation(
        &self,
        full: &Inspection,
        shrunk: Shrunk,
        full_cost: Cost,
        cost: Cost,
        agreement: Agreement,
    ) -> Evaluation {
        let recipe = &self.task.recipe;
        let mut evaluation = Evaluation {
            bytes: shrunk.bytes,
            full_bytes: full.bytes(),
            params: shrunk.params,
            latency_ms_p50: cost.latency_ms_p50,
            latency_ms_p95: cost.latency_ms_p95,
            full_latency_ms_p50: full_cost.latency_ms_p50,
            threads: recipe.device.threads.get(),
            peak_memory_bytes: cost.peak_memory_bytes,
            agreement_iou: agreement.mean,
            agreement_iou_click: agreement.click,
            agreement_iou_box: agreement.boxes,
            pairs: agreement.pairs,
            held_out: format!(
                "rendered scenes of seed {}, which neither training nor calibration used",
                recipe.held_out.seed
            ),
            gate: GateVerdict::Passed,
            notes: shrunk.notes,
        };
        evaluation.gate = judge(&recipe.gate, &evaluation);
        evaluation
    }

    /// Checks the bundle, says where it comes from, and moves it into place; the rename is what makes the job
    /// finished.
    fn publish(
        &self,
        full: &Inspection,
        evaluation: Evaluation,
        now: Timestamp,
    ) -> Result<JobEvent, JobError> {
        let made = self.task.folders().bundle;
        let origin = bom::Origin {
            full,
            full_files: &bom::full_files(&self.task.input, full)?,
            recipe: &self.task.recipe,
            recipe_text: &self.recipe_text,
            evaluation: &evaluation,
        };
        let bundle = seal::bundle(&made, |manifest| bom::write(manifest, &origin, now))?;
        let report = self.folder.join(EVALUATION_FILE);
        let partial = report.with_extension("json.partial");
        std::fs::write(
            &partial,
            serde_json::to_vec_pretty(&evaluation).map_err(std::io::Error::other)?,
        )?;
        std::fs::rename(&partial, &report)?;
        std::fs::rename(&made, self.folder.join(OUTPUT_FOLDER))?;
        self.clear_work()?;
        Ok(JobEvent::Finished {
            bundle,
            evaluation: Box::new(evaluation),
        })
    }

    /// Removes what the stages left.
    fn clear_work(&self) -> std::io::Result<()> {
        for folder in [&self.task.work, self.records.folder()] {
            match std::fs::remove_dir_all(folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn clear(&self) -> std::io::Result<()> {
        self.clear_work()
    }
}

/// The stages of one job, in order.
struct Stages<'a, C> {
    job: &'a Job,
    worker: Worker,
    tell: &'a mut dyn FnMut(JobEvent),
    cancelled: &'a mut C,
}

impl<C: Future<Output = ()> + Unpin> Stages<'_, C> {
    async fn inspection(&mut self) -> Result<Inspection, JobError> {
        match self
            .stage("prepare", Errand::Prepare(self.job.task.clone()))
            .await?
        {
            Answer::Inspection(found) => Ok(*found),
            _ => Err(JobError::WrongAnswer("prepare")),
        }
    }

    async fn shrunk(&mut self) -> Result<Shrunk, JobError> {
        match self
            .stage("shrink", Errand::Shrink(self.job.task.clone()))
            .await?
        {
            Answer::Shrunk(shrunk) => Ok(shrunk),
            _ => Err(JobError::WrongAnswer("shrink")),
        }
    }

    async fn cost(&mut self, subject: Subject) -> Result<Cost, JobError> {
        let name = match subject {
            Subject::Full => "measure-full",
            Subject::Build => "measure-build",
        };
        match self
            .stage(
                name,
                Errand::Measure {
                    task: self.job.task.clone(),
                    subject,
                },
            )
            .await?
        {
            Answer::Cost(cost) => Ok(cost),
            _ => Err(JobError::WrongAnswer(name)),
        }
    }

    async fn agreement(&mut self) -> Result<Agreement, JobError> {
        match self
            .stage("compare", Errand::Compare(self.job.task.clone()))
            .await?
        {
            Answer::Agreement(agreement) => Ok(agreement),
            _ => Err(JobError::WrongAnswer("compare")),
        }
    }

    async fn bundle(&mut self, memory_bytes: u64) -> Result<(), JobError> {
        match self
            .stage(
                "bundle",
                Errand::Bundle {
                    task: self.job.task.clone(),
                    memory_bytes,
                },
            )
            .await?
        {
            Answer::Bundled => Ok(()),
            _ => Err(JobError::WrongAnswer("bundle")),
        }
    }

    /// Runs one stage, or takes its answer from an earlier run of the same job.
    async fn stage(&mut self, name: &'static str, errand: Errand) -> Result<Answer, JobError> {
        if let Some(answer) = self.job.records.read(name) {
            return Ok(answer);
        }
        let tell = &mut *self.tell;
        let mut progress =
            |Progress { stage, done, total }| tell(JobEvent::Progress { stage, done, total });
        let answer: Answer = self
            .worker
            .run(&errand, &mut progress, &mut *self.cancelled)
            .await?;
        self.job.records.write(name, &answer)?;
        Ok(answer)
    }
}
