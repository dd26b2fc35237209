//! The update engine's view of inference: a trial loads a bundle beside what serves, and serving it
//! is one switch of the model host.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use espalier_protocol::{
    Digest,
    report::{Failure, FailureKind, Installed},
};
use espalier_runtime::{
    GraphError, ModelFolder,
    golden::{GoldenError, GoldenReport},
    segmentation::LoadError,
};
use espalier_serving::{Candidate, Instance, ModelHost, Origin};
use espalier_slots::{Probe, TrialOutcome, VerifiedBundle};

/// How far a trial stands back behind requests; a step is worth about a quarter of a busy core's time.
const TRIAL_NICENESS: i32 = 10;

/// Trials on the model host that also answers requests.
pub struct HostProbe {
    host: Arc<ModelHost>,
    /// What a trial loaded and nothing serves yet.
    tried: Mutex<HashMap<Digest, Candidate>>,
}

impl HostProbe {
    /// A probe of this host.
    #[must_use]
    pub fn new(host: Arc<ModelHost>) -> Self {
        Self {
            host,
            tried: Mutex::default(),
        }
    }

    fn tried(&self) -> MutexGuard<'_, HashMap<Digest, Candidate>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The instance that answers now, when it is this bundle's.
    fn serving(&self, bundle: &VerifiedBundle) -> Option<Arc<Instance>> {
        let instance = self.host.instance(bundle.manifest().model.as_str());
        instance.filter(|instance| instance.bundle() == bundle.digest())
    }
}

impl Probe for HostProbe {
    fn trial(&self, bundle: &VerifiedBundle) -> Result<TrialOutcome, Failure> {
        let candidate = try_out(&self.host, bundle.folder())?;
        let outcome = candidate.golden().map(measured).unwrap_or_default();
        self.tried().insert(bundle.digest(), candidate);
        Ok(outcome)
    }

    fn serve(&self, bundle: &VerifiedBundle, installed: &Installed) -> Result<(), Failure> {
        if let Some(instance) = self.serving(bundle) {
            instance.came_by(installed.release.digest);
            return Ok(());
        }
        let tried = self.tried().remove(&bundle.digest());
        let candidate = match tried {
            Some(candidate) => candidate,
            None => load(&self.host, bundle.folder())?,
        };
        let origin = Origin {
            release: Some(installed.release.digest),
            model_version: Some(bundle.manifest().model_version),
        };
        let _unloads_with_its_last_request = self.host.switch(candidate, origin);
        Ok(())
    }

    fn forget(&self, bundle: &Digest) {
        self.tried().remove(bundle);
    }
}

fn load(host: &ModelHost, folder: &Path) -> Result<Candidate, Failure> {
    let folder = open(folder)?;
    host.load(&folder)
        .map_err(|error| failure(load_kind(&error), words(&error)))
}

/// Loads a bundle and runs its golden inputs; this thread gives way to requests from now on.
fn try_out(host: &ModelHost, folder: &Path) -> Result<Candidate, Failure> {
    // Threads that ONNX Runtime begins for a session keep the priority of the one that began them,
    // and the session is to serve.
    if host.threads() == NonZeroUsize::MIN {
        give_way();
    }
    let candidate = load(host, folder)?;
    give_way();
    let folder = open(folder)?;
    candidate
        .check_golden(&folder)
        .map_err(|error| failure(kind(&error), words(&error)))
}

/// Requests come first: on a busy device a trial takes what they leave.
fn give_way() {
    // Elsewhere niceness belongs to the whole process, and the requests would step back too.
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::setpriority_process(None, TRIAL_NICENESS)
    {
        tracing::debug!(%error, "the trial keeps the priority of requests");
    }
}

fn open(folder: &Path) -> Result<ModelFolder, Failure> {
    ModelFolder::open(folder).map_err(|error| failure(FailureKind::LoadFailed, words(&error)))
}

fn kind(error: &GoldenError) -> FailureKind {
    match error {
        GoldenError::Load(error) => load_kind(error),
        GoldenError::Folder(_) => FailureKind::LoadFailed,
        _ => FailureKind::GoldenMismatch,
    }
}

/// Not the bundle's fault, and no other bundle would fare better: the machine lacks ONNX Runtime, or the agent the task.
fn load_kind(error: &LoadError) -> FailureKind {
    match error {
        LoadError::OtherTask(_)
        | LoadError::Graph {
            source: GraphError::Engine(_),
            ..
        } => FailureKind::Unsupported,
        LoadError::Graph { .. } | LoadError::NotFloat { .. } => FailureKind::LoadFailed,
    }
}

fn measured(report: &GoldenReport) -> TrialOutcome {
    let mut latencies = report.latencies.clone();
    latencies.sort_unstable();
    let median = latencies.get(latencies.len() / 2);
    TrialOutcome {
        golden_agreement: Some(report.agreement as f32),
        golden_latency_ms: median.map(|latency| latency.as_secs_f32() * 1e3),
    }
}

fn failure(kind: FailureKind, detail: String) -> Failure {
    Failure { kind, detail }
}

/// An error with the reasons behind it, in one line.
pub fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
