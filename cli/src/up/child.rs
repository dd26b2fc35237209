//! One part of a running stack: a child process with a name, a log, and an orderly end.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::failure::Failure;

/// Lines of a dead part's log that are shown: enough for its last words.
const LAST_WORDS: usize = 12;

/// A program that belongs to the stack.
#[derive(Debug, Clone)]
pub struct Program {
    /// What people call it.
    pub name: &'static str,
    /// Its file's name.
    pub file: &'static str,
    /// Its arguments.
    pub arguments: Vec<std::ffi::OsString>,
}

/// A running part.
#[derive(Debug)]
pub struct Part {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Part {
    /// Starts a program found beside this command, with its output in a log of its own.
    ///
    /// # Errors
    /// When the program is not there or cannot be started, or the log cannot be written.
    pub fn start(program: &Program, logs: &Path) -> Result<Self, Failure> {
        let path = beside_this_command(program.file)?;
        let log = logs.join(format!("{}.log", program.file));
        let out = File::create(&log).map_err(Failure::writing(&log))?;
        let err = out.try_clone().map_err(Failure::writing(&log))?;
        let mut command = std::process::Command::new(&path);
        command
            .args(&program.arguments)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        // A group of its own: Ctrl-C in the terminal is for this command, which then ends its parts in order.
        command.process_group(0);
        die_with_parent(&mut command);
        let child = Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .map_err(Failure::starting(&path))?;
        Ok(Self {
            name: program.name,
            child,
            log,
        })
    }

    /// What people call it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it ends by itself, and says how.
    pub async fn died(&mut self) -> Failure {
        let how = match self.child.wait().await {
            Ok(status) => ended(status),
            Err(err) => format!("was lost: {err}"),
        };
        Failure::unsuccessful(
            format!(
                "{} {how}; its last words:\n{}",
                self.name,
                self.last_words()
            ),
            format!("its whole log is {}", self.log.display()),
        )
    }

    /// Asks it to drain, and ends it when it takes longer than `patience`.
    pub async fn stop(&mut self, patience: Duration) {
        if let Some(pid) = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
        {
            // It may have ended meanwhile; then there is nobody to ask.
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(patience, self.child.wait())
            .await
            .is_err()
        {
            // Same here: what has ended needs no killing.
            let _ = self.child.kill().await;
        }
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let from = lines.len().saturating_sub(LAST_WORDS);
        lines[from..]
            .iter()
            .map(|line| format!("  | {line}"))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".into(),
    }
}

/// The parts of a stack are installed together; a program of another version must not slip in by `PATH`.
fn beside_this_command(file: &str) -> Result<PathBuf, Failure> {
    let here = std::env::current_exe().map_err(Failure::reading(Path::new("/proc/self/exe")))?;
    let path = here.with_file_name(file);
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::usage(
        format!("{} is missing beside {}", file, here.display()),
        format!("build or install it next to this command: cargo build --bin {file}"),
    ))
}

/// If this command is killed, its parts must not stay behind with ports and database held.
#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut std::process::Command) {
    #[expect(
        unsafe_code,
        reason = "pre_exec is unsafe; the closure makes one async-signal-safe system call"
    )]
    // SAFETY: between fork and exec only prctl(2) is called, which allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(Signal::TERM)).map_err(Into::into)
        });
    }
}

/// Other systems have no such call: there the parts outlive a killed command and are named by the next start.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut std::process::Command) {}
