//! A trial beside requests: it takes the time that they leave, and a share of its own on a device where they leave none.

use std::{
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use espalier_protocol::report::{Failure, FailureKind};
use espalier_runtime::{GraphError, ModelFolder, golden::GoldenError, segmentation::LoadError};
use espalier_serving::{Candidate, ModelHost};
use thread_priority::{NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy};

use crate::probe::words;

/// How long a trial waits for requests to leave it time.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a step of a trial waits for a pause between two requests.
const PAUSE_WITHIN: Duration = Duration::from_millis(500);
/// The niceness of a trial that had none left: about a tenth of a core that requests keep busy.
const SHARE: i32 = 10;

/// Loads a bundle, and runs its golden inputs while requests go first.
///
/// # Errors
/// When it does not load, or does not answer as it did where it was built.
pub fn try_out(host: &Arc<ModelHost>, folder: &Path) -> Result<Candidate, Failure> {
    in_idle_time(host, folder).unwrap_or_else(|| check(host, folder, take_a_share))
}

/// Loads a bundle beside what serves.
///
/// # Errors
/// When it does not load.
pub fn load(host: &ModelHost, folder: &Path) -> Result<Candidate, Failure> {
    let folder = open(folder)?;
    host.load(&folder)
        .map_err(|error| failure(load_kind(&error), words(&error)))
}

/// None when the device was too busy. The kernel lets nobody leave the idle class again, so that the thread is given up
/// with what it loaded.
fn in_idle_time(host: &Arc<ModelHost>, folder: &Path) -> Option<Result<Candidate, Failure>> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let (host, folder) = (Arc::clone(host), folder.to_owned());
    let (tell, outcome) = mpsc::sync_channel(0);
    let trial = move || drop(tell.send(check(&host, &folder, wait_for_idle_time)));
    let idle = thread::Builder::new().name("trial-idle".to_owned());
    idle.spawn(trial).ok()?;
    outcome.recv_timeout(PATIENCE).ok()
}

/// Loads and checks on this thread, which gives way to requests from now on.
fn check(host: &ModelHost, folder: &Path, give_way: fn()) -> Result<Candidate, Failure> {
    // Threads that ONNX Runtime begins for a session are scheduled as the one that began them, and the session is to
    // serve.
    if host.threads() == NonZeroUsize::MIN {
        give_way();
    }
    let pause = || host.wait_for_a_pause(PAUSE_WITHIN);
    pause();
    let candidate = load(host, folder)?;
    give_way();
    let folder = open(folder)?;
    candidate
        .check_golden(&folder, pause)
        .map_err(|error| failure(golden_kind(&error), words(&error)))
}

/// The idle class: whoever else wants to run here runs at once. A nice thread would keep the core to its slice's end.
fn wait_for_idle_time() {
    let class = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let thread = thread_priority::thread_native_id();
    if let Err(error) =
        thread_priority::set_thread_priority_and_policy(thread, ThreadPriority::Min, class)
    {
        tracing::debug!(%error, "the trial keeps the priority of requests");
    }
}

fn take_a_share() {
    // Elsewhere niceness belongs to the whole process, and the requests would step back too.
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::setpriority_process(None, SHARE)
    {
        tracing::debug!(%error, "the trial keeps the priority of requests");
    }
}

fn open(folder: &Path) -> Result<ModelFolder, Failure> {
    ModelFolder::open(folder).map_err(|error| failure(FailureKind::LoadFailed, words(&error)))
}

fn golden_kind(error: &GoldenError) -> FailureKind {
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

fn failure(kind: FailureKind, detail: String) -> Failure {
    Failure { kind, detail }
}
