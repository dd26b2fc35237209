//! Starting other programs, and saying which one failed.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use crate::failure::{Failure, Result, While};
use crate::workspace;

/// A command that starts in the root of the checkout.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace::root());
    command
}

/// Cargo, the same one that started xtask, but without what it told xtask about xtask: build scripts that read it
/// (ring's does) would run again, and half of the world after them, whenever a person also calls cargo directly.
pub fn cargo<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let of_package = ["CARGO_MANIFEST_", "CARGO_PKG_"];
        if of_package
            .iter()
            .any(|start| name.to_string_lossy().starts_with(start))
        {
            cargo.env_remove(name);
        }
    }
    cargo.args(args);
    cargo
}

/// Runs to the end; its output goes to the terminal.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .while_trying(|| format!("start {}", shown(command)))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} failed ({status})",
        shown(command)
    )))
}

/// Runs to the end and gives what it printed. Its complaints are part of the error.
pub fn output(command: &mut Command) -> Result<String> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .while_trying(|| format!("start {}", shown(command)))?;
    if done.status.success() {
        return String::from_utf8(done.stdout)
            .while_trying(|| format!("read the output of {}", shown(command)));
    }
    // Some programs complain where they should answer.
    let complaint = String::from_utf8_lossy(if done.stderr.is_empty() {
        &done.stdout
    } else {
        &done.stderr
    });
    Err(Failure::new(format!(
        "{} failed ({}): {}",
        shown(command),
        done.status,
        complaint.trim()
    )))
}

/// Becomes the program, so that the shell sees its exit status and its signals. Returns only when
/// that failed.
pub fn become_program(command: &mut Command) -> Failure {
    use std::os::unix::process::CommandExt as _;
    let error = command.exec();
    Failure::new(format!("could not start {}: {error}", shown(command)))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    format!("`{}`", line.join(" "))
}
