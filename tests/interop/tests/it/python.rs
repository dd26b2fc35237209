//! The interpreter with the pinned packages, which `cargo xtask test --interop` installs.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use espalier_support::skip::skipped;

/// Names the interpreter.
const VARIABLE: &str = "ESPALIER_INTEROP_PYTHON";

/// An interpreter with other people's programs.
pub struct Python(PathBuf);

impl Python {
    /// The interpreter; without one the test is skipped by its name.
    pub fn find(test: &str) -> Option<Self> {
        let found = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
        if found.is_none() {
            skipped(test, "run `cargo xtask test --interop`");
        }
        found.map(|path| Self(path.into()))
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Said> {
        let output = Command::new(&self.0)
            .args(arguments)
            .output()
            .with_context(|| format!("cannot start {}", self.0.display()))?;
        Ok(Said(output))
    }
}

/// How a program ended, and what it said.
pub struct Said(Output);

impl Said {
    /// Everything that it said.
    pub fn words(&self) -> String {
        [&self.0.stdout, &self.0.stderr]
            .map(|said| String::from_utf8_lossy(said).into_owned())
            .concat()
    }

    /// # Errors
    /// When it ended badly; with what it said.
    pub fn agrees(&self) -> Result<()> {
        ensure!(
            self.0.status.success(),
            "it does not agree: {}",
            self.words()
        );
        Ok(())
    }

    /// # Errors
    /// When it ended well, or for another reason than one that names `what`.
    pub fn refuses(&self, what: &str) -> Result<()> {
        ensure!(!self.0.status.success(), "it agrees: {}", self.words());
        let words = self.words();
        ensure!(words.contains(what), "`{what}` is not among: {words}");
        Ok(())
    }
}
