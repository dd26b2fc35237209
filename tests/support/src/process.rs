//! A started program: its log, its end, and the harshest end there is.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};

use crate::programs::Program;

/// How long a program has to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(20);

/// A running program of ours. It dies with this value.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `program` with its output in `log`.
    ///
    /// # Errors
    /// When it was not built or cannot be started.
    pub fn start(program: Program, log: &Path, arrange: impl FnOnce(&mut Command)) -> Result<Self> {
        let path = program.path()?;
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| format!("cannot write the log {}", log.display()))?;
        let errors = output.try_clone().context("cannot share the log")?;
        let mut command = Command::new(&path);
        command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true);
        arrange(&mut command);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", path.display()))?;
        Ok(Self {
            name,
            log: log.to_owned(),
            child,
        })
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Fails with the end of the log when the program is gone, which it should not be.
    ///
    /// # Errors
    /// When the program ended.
    pub fn must_run(&mut self) -> Result<()> {
        match self
            .child
            .try_wait()
            .context("cannot ask after a child process")?
        {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}):\n{}", self.name, self.last_words()),
        }
    }

    /// The end of the log.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub async fn kill_hard(&mut self) -> Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("cannot kill {}", self.name))
    }

    /// Asks it to end, and waits.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(id) = self.child.id() {
            send(id, libc::SIGTERM)?;
        }
        let ended = tokio::time::timeout(GRACE, self.child.wait()).await;
        match ended {
            Ok(status) => status.with_context(|| format!("cannot wait for {}", self.name)),
            Err(_) => bail!(
                "{} did not end within {} s:\n{}",
                self.name,
                GRACE.as_secs(),
                self.last_words()
            ),
        }
    }
}

/// Sends a signal to a process.
///
/// # Errors
/// When there is no such process or no right to.
pub fn send(process: u32, signal: i32) -> Result<()> {
    let id = i32::try_from(process).context("a process id out of range")?;
    #[expect(
        unsafe_code,
        reason = "kill(2) takes two integers and touches no memory of ours"
    )]
    let result = unsafe { libc::kill(id, signal) };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
            .with_context(|| format!("cannot signal process {process}"))
    }
}

/// The children of a process that run this program, by their ids.
///
/// # Errors
/// When the system does not list its processes.
pub fn children(parent: u32, program: &str) -> Result<Vec<u32>> {
    let all = ids_in("/proc")?.into_iter();
    Ok(all
        .filter(|id| status_of(*id).is_some_and(|status| status == (program.to_owned(), parent)))
        .collect())
}

/// Leaves a process, its threads and all that it started the time that nobody else wants: as if it ran elsewhere.
///
/// # Errors
/// When the system does not list its processes.
pub fn stand_back(process: u32) -> Result<()> {
    for thread in ids_in(&format!("/proc/{process}/task"))? {
        make_idle(thread)?;
    }
    let all = ids_in("/proc")?.into_iter();
    all.filter(|id| status_of(*id).is_some_and(|(_, parent)| parent == process))
        .try_for_each(stand_back)
}

/// A thread that is gone meanwhile needs nothing.
fn make_idle(thread: u32) -> Result<()> {
    let thread = i32::try_from(thread).context("a thread id out of range")?;
    let priority = libc::sched_param { sched_priority: 0 };
    #[expect(
        unsafe_code,
        reason = "sched_setscheduler(2) reads one integer of ours, which outlives the call"
    )]
    unsafe {
        libc::sched_setscheduler(thread, libc::SCHED_IDLE, &raw const priority);
    }
    Ok(())
}

fn ids_in(folder: &str) -> Result<Vec<u32>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {folder}"))?;
    let ids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(ids.collect())
}

/// A process's name and its parent; none when it is gone.
fn status_of(process: u32) -> Option<(String, u32)> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    Some((field("Name:")?, field("PPid:")?.parse().ok()?))
}
