//! Running the built program away from whatever this machine has configured.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said beside that.
    pub stderr: String,
}

/// Runs the program in an empty folder, with no server configured.
pub fn espalier<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Run {
    let nowhere = tempfile::tempdir().unwrap();
    espalier_in(nowhere.path(), arguments)
}

/// Runs the program in this folder.
pub fn espalier_in<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_espalier"))
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env_remove("ESPALIER_URL")
        .env_remove("ESPALIER_TOKEN_FILE")
        .env_remove("ESPALIER_STATE")
        .env_remove("ESPALIER_PASSPHRASE")
        .env_remove("ESPALIER_PASSPHRASE_FILE")
        .output()
        .unwrap();
    Run {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
