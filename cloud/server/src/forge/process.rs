//! One run of the forge's program.

use std::{
    ffi::OsStr,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, Lines, Take},
    process::{Child, ChildStdout, Command},
};

use crate::config::ForgeChoice;

/// All that is read of one run's output; stops a forge that was taken over from filling this process.
const MAX_OUTPUT_BYTES: u64 = 16 << 20;
/// What is kept of the forge's last words on standard error.
const MAX_STDERR_BYTES: usize = 16 << 10;
/// How long a forge that was told to end may clean up after itself.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// What the forge needs of this process's environment. No address and no secret is among it.
const ENVIRONMENT: &[&str] = &[
    "PATH",
    "HOME",
    "XDG_CACHE_HOME",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "ESPALIER_ORT",
    "ORT_DYLIB_PATH",
    "RUST_LOG",
];

/// A running forge. Dropping it kills it; its workers die with it.
pub struct ForgeProcess {
    child: Child,
    lines: Lines<BufReader<Take<ChildStdout>>>,
    last_words: tokio::task::JoinHandle<String>,
}

/// Why a forge could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ForgeFailure {
    /// The program cannot be started.
    #[error(
        "the forge `{program}` cannot be started: {source}; build it (`cargo build -p espalier-forge`), or name it with --forge"
    )]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The pipe broke, or what came through it is no text.
    #[error("the forge cannot be heard: {0}")]
    Pipe(#[from] std::io::Error),
}

impl ForgeProcess {
    /// Starts the forge.
    ///
    /// # Errors
    /// [`ForgeFailure::Start`].
    pub fn start(choice: &ForgeChoice, arguments: &[&OsStr]) -> Result<Self, ForgeFailure> {
        let mut command = Command::new(&choice.program);
        command.args(arguments).env_clear().kill_on_drop(true);
        command.envs(
            ENVIRONMENT
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        );
        if choice.unsandboxed {
            command.arg("--unsandboxed");
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let start = |source| ForgeFailure::Start {
            program: choice.program.display().to_string(),
            source,
        };
        let mut child = command.spawn().map_err(start)?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| start(std::io::ErrorKind::BrokenPipe.into()))?;
        let stderr = child
            .stderr
            .take()
            .ok_or_else(|| start(std::io::ErrorKind::BrokenPipe.into()))?;
        let lines = BufReader::new(stdout.take(MAX_OUTPUT_BYTES)).lines();
        Ok(Self {
            child,
            lines,
            last_words: tokio::spawn(tail(stderr)),
        })
    }

    /// The next line; none when the forge has nothing more to say.
    ///
    /// # Errors
    /// [`ForgeFailure::Pipe`].
    pub async fn next(&mut self) -> Result<Option<String>, ForgeFailure> {
        Ok(self.lines.next_line().await?)
    }

    /// Waits for the end of a forge that has said its last; gives its status and its last words on
    /// standard error.
    ///
    /// # Errors
    /// [`ForgeFailure::Pipe`] when it cannot be waited for.
    pub async fn end(mut self) -> Result<(ExitStatus, String), ForgeFailure> {
        let status = match tokio::time::timeout(END_PATIENCE, self.child.wait()).await {
            Ok(status) => status?,
            Err(_) => {
                self.child.kill().await?;
                self.child.wait().await?
            }
        };
        Ok((status, self.last_words.await.unwrap_or_default()))
    }

    /// Tells the forge to end: it removes what it made. One that does not listen is killed.
    ///
    /// # Errors
    /// [`ForgeFailure::Pipe`] when it cannot be killed.
    pub async fn cancel(self) -> Result<(), ForgeFailure> {
        let id = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(id) = id
            && let Err(error) = kill_process(id, Signal::TERM)
        {
            // It has ended meanwhile.
            tracing::debug!(%error, "the forge could not be told to end");
        }
        self.end().await.map(drop)
    }
}

/// The end of what a forge said on standard error, for the log and for the failure's words.
async fn tail(mut stderr: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut piece).await {
        kept.extend_from_slice(&piece[..read]);
        let excess = kept.len().saturating_sub(MAX_STDERR_BYTES);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}
