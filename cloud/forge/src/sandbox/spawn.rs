//! The supervisor's side: starts a worker, hears what it says, and ends it.
//!
//! The worker is this same program, started again with one hidden subcommand. It gets its order on
//! standard input (not as arguments or environment, which other processes may read), and answers with
//! JSON lines. What it says is as untrustworthy as the model that it works on: lines are bounded and
//! parsed into a fixed schema, words for people are cleaned, and nothing it says names a path.

use std::future::Future;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::{Protections, Walls, raw};

/// The hidden subcommand under which a worker is started.
pub const WORKER_COMMAND: &str = "worker";
/// The longest line that a worker may say, in bytes: an endless line would fill the supervisor's memory.
const MAX_LINE: u64 = 1 << 20;
/// How much of a worker's standard error is kept for the error message, in bytes.
const KEPT_ERROR_OUTPUT: usize = 4096;

/// The longest explanation that is passed on, in characters; people read it.
const MAX_DETAIL: usize = 2000;
/// The longest reason or stage, in characters.
const MAX_WORD: usize = 40;
/// The reason of a worker that found no walls to raise. People are told to do without walls for it, so it is
/// believed only before the walls stand.
pub const NO_SANDBOX: &str = "no-sandbox";

/// The order that a worker reads from its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order<E> {
    /// The walls that it must raise first; none when a person accepted the risk.
    pub walls: Option<Walls>,
    /// What it shall do.
    pub errand: E,
}

/// What a worker says, one JSON object a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "kebab-case")]
pub enum Said {
    /// The walls stand; the work begins.
    Enclosed {
        /// What the kernel granted.
        protections: Protections,
    },
    /// A stage has begun or moved.
    Progress(Progress),
    /// The errand is done.
    Done {
        /// Its answer, in the errand's own form.
        answer: serde_json::Value,
    },
    /// The errand cannot be done.
    Failed(Failure),
}

/// How far a stage is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The stage's name.
    pub stage: String,
    /// Units done.
    pub done: u64,
    /// Units in all; 0 when unknown.
    pub total: u64,
}

impl Progress {
    /// What a worker says, as far as it can be shown.
    fn cleaned(self) -> Self {
        let stage = one_line(&self.stage).chars().take(MAX_WORD).collect();
        Self { stage, ..self }
    }
}

/// Why an errand cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word for the reason.
    pub code: String,
    /// The words for people.
    pub detail: String,
}

impl Failure {
    /// What a worker says, as far as it can be believed and shown.
    fn cleaned(self, enclosed: bool) -> Result<Self, WorkerError> {
        let is_word = (1..=MAX_WORD).contains(&self.code.len())
            && self
                .code
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b == b'-');
        if !is_word {
            return Err(WorkerError::nonsense("the reason is no word"));
        }
        if enclosed && self.code == NO_SANDBOX {
            return Err(WorkerError::nonsense(
                "it finds no walls, and has said that they stand",
            ));
        }
        let detail = one_line(&self.detail).chars().take(MAX_DETAIL).collect();
        Ok(Self { detail, ..self })
    }
}

/// How a worker can end without an answer.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It could not be started or spoken with.
    #[error("the worker process could not be run: {0}")]
    Io(#[from] std::io::Error),
    /// It said why it could not do the errand.
    #[error("{}", .0.detail)]
    Failed(Failure),
    /// The supervisor was told to stop.
    #[error("the job was cancelled")]
    Cancelled,
    /// It took longer than its walls allow.
    #[error(
        "the worker took longer than {0} s and was ended; raise the recipe's time limit if the model needs it"
    )]
    TooLong(u64),
    /// The kernel ended it, or it crashed.
    #[error("the worker died: {cause}{}", tail(.output))]
    Died {
        /// What its exit status means.
        cause: String,
        /// The end of what it wrote to standard error, printable characters only.
        output: String,
    },
    /// It said something that is not in the language.
    #[error("the worker's answer makes no sense: {0}")]
    Nonsense(String),
}

impl WorkerError {
    /// The words may repeat what the worker said.
    fn nonsense(why: impl std::fmt::Display) -> Self {
        Self::Nonsense(
            one_line(&why.to_string())
                .chars()
                .take(MAX_DETAIL)
                .collect(),
        )
    }
}

/// A stranger's text without what could drive a terminal, or pass for a line of somebody else.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn tail(output: &str) -> String {
    if output.is_empty() {
        String::new()
    } else {
        format!("; its last words: {output}")
    }
}

/// A way to run errands in processes of their own.
#[derive(Debug, Clone)]
pub struct Worker {
    /// This program's own file.
    pub program: PathBuf,
    /// The walls around each worker.
    pub walls: Walls,
    /// Whether the walls are raised; `false` only when a person accepted the risk.
    pub confined: bool,
    /// ONNX Runtime's library, which the worker may read and load.
    pub library: Option<PathBuf>,
}

impl Worker {
    /// Runs one errand to its end. `progress` hears of its stages; when `cancelled` resolves, the worker is
    /// killed: it holds nothing outside its work folder.
    ///
    /// # Errors
    /// [`WorkerError`], by how it ended.
    pub async fn run<E: Serialize, A: DeserializeOwned>(
        &self,
        errand: &E,
        progress: &mut dyn FnMut(Progress),
        cancelled: impl Future<Output = ()>,
    ) -> Result<A, WorkerError> {
        let mut child = self.start()?;
        let limit = Duration::from_secs(self.walls.limits.wall_seconds);
        let talk = self.converse(&mut child, errand, progress);
        let answer = tokio::select! {
            biased;
            () = cancelled => Err(WorkerError::Cancelled),
            () = tokio::time::sleep(limit) => Err(WorkerError::TooLong(limit.as_secs())),
            answer = talk => answer,
        };
        if answer.is_err() {
            // Dead already, or about to be; either way it must not be left behind as a zombie.
            child.kill().await.ok();
        }
        serde_json::from_value(answer?).map_err(WorkerError::nonsense)
    }

    fn start(&self) -> Result<Child, WorkerError> {
        let mut command = std::process::Command::new(&self.program);
        command
            .arg(WORKER_COMMAND)
            .env_clear()
            .current_dir(&self.walls.rooms.work);
        if let Some(library) = &self.library {
            command.env(espalier_runtime::engine::LIBRARY_VARIABLE, library);
        }
        if self.confined {
            raw::inherit_only_standard_streams(&mut command);
        }
        let child = Command::from(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Ok(child)
    }

    async fn converse<E: Serialize>(
        &self,
        child: &mut Child,
        errand: &E,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<serde_json::Value, WorkerError> {
        let order = serde_json::to_vec(&Order {
            walls: self.confined.then(|| self.walls.clone()),
            errand,
        })
        .map_err(std::io::Error::other)?;
        if let Some(mut input) = child.stdin.take() {
            // A worker that died at once is better explained by its exit status than by a broken pipe.
            input.write_all(&order).await.ok();
        }
        let complaints = child
            .stderr
            .take()
            .map(|stream| tokio::spawn(last_words(stream)));
        let answer = match child.stdout.take() {
            Some(stream) => listen(BufReader::new(stream), progress).await?,
            None => None,
        };
        let status = child.wait().await?;
        match answer {
            Some(Ok(answer)) if status.success() => Ok(answer),
            Some(Err(failure)) => Err(WorkerError::Failed(failure)),
            _ => {
                let output = match complaints {
                    Some(task) => task.await.unwrap_or_default(),
                    None => String::new(),
                };
                Err(WorkerError::Died {
                    cause: cause_of(status),
                    output,
                })
            }
        }
    }
}

/// Hears a worker out; `None` when it ended without a last word.
async fn listen<R: AsyncBufRead + Unpin>(
    mut stream: R,
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<Result<serde_json::Value, Failure>>, WorkerError> {
    let mut line = Vec::new();
    let mut enclosed = false;
    loop {
        line.clear();
        let read = (&mut stream)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .await?;
        if read == 0 {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') && read as u64 == MAX_LINE {
            return Err(WorkerError::nonsense(format_args!(
                "a line longer than {MAX_LINE} bytes"
            )));
        }
        match serde_json::from_slice(&line).map_err(WorkerError::nonsense)? {
            Said::Enclosed { protections } => {
                tracing::debug!(?protections, "worker enclosed");
                enclosed = true;
            }
            Said::Progress(step) => progress(step.cleaned()),
            Said::Done { answer } => return Ok(Some(Ok(answer))),
            Said::Failed(failure) => return Ok(Some(Err(failure.cleaned(enclosed)?))),
        }
    }
}

/// The end of a stream, stripped of what could drive a terminal.
async fn last_words<R: AsyncRead + Unpin>(mut stream: R) -> String {
    let mut kept: Vec<u8> = Vec::new();
    let mut piece = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut piece).await {
        kept.extend_from_slice(&piece[..read]);
        let surplus = kept.len().saturating_sub(KEPT_ERROR_OUTPUT);
        kept.drain(..surplus);
    }
    one_line(String::from_utf8_lossy(&kept).trim())
}

fn cause_of(status: ExitStatus) -> String {
    match status.signal() {
        Some(libc::SIGXFSZ) => "it wrote a file larger than its limit".to_owned(),
        Some(libc::SIGXCPU) => "it used up its CPU time".to_owned(),
        Some(libc::SIGKILL) => {
            "it used up its CPU time, or the machine ran out of memory".to_owned()
        }
        Some(libc::SIGABRT) => "it aborted, as programs do when they get no more memory".to_owned(),
        Some(libc::SIGSEGV | libc::SIGBUS) => {
            "it crashed in ONNX Runtime or in a library".to_owned()
        }
        Some(other) => format!("signal {other}"),
        None => format!(
            "it ended with exit code {} and no answer",
            status.code().unwrap_or(-1)
        ),
    }
}

/// The file of the running program, to start it again.
///
/// # Errors
/// When the operating system does not say.
pub fn own_program() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

/// The folder that a shared library needs to be loaded from: links beside it are followed.
#[must_use]
pub fn library_rooms(library: &Path) -> Vec<PathBuf> {
    let real = library
        .canonicalize()
        .unwrap_or_else(|_| library.to_owned());
    [library, &real]
        .into_iter()
        .filter_map(Path::parent)
        .map(Path::to_owned)
        .collect()
}
