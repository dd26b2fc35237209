//! Why a command ended without doing what was asked, with the exit code a script can read and
//! the next step a person can take.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::client::Refusal;

/// The exit codes of `espalier`. They are printed at the end of `espalier --help` and never change
/// their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The work was carried out and ended badly: a build failed, a rollout was reverted, a child died.
    Unsuccessful = 1,
    /// The command was called wrongly, or a file it was given makes no sense.
    Usage = 2,
    /// The server could not be reached, or its address or token is not known.
    Unreachable = 3,
    /// The server does not accept the token, or the token may not do this.
    Unauthorised = 4,
    /// The server knows nothing of that name.
    Absent = 5,
    /// The server understood and refused: wrong state, wrong input, a gate that did not pass.
    Refused = 6,
    /// A signature, digest or chain of trust did not verify.
    Untrusted = 7,
    /// A local file could not be read or written.
    File = 8,
    /// The server failed, or answered with something that is not its API.
    Server = 70,
    /// Stopped by Ctrl-C before the end.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The outermost error: what happened, to what, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file on this machine.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// `read`, `write`, `create`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server's address or token is not known, or the server did not answer.
    #[error("{what}")]
    Unreachable {
        /// What is missing or did not answer.
        what: String,
        /// The step that mends it.
        advice: String,
    },
    /// The server answered with a problem.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The server has nothing of that name.
    #[error("{what}")]
    Absent {
        /// What was asked for.
        what: String,
        /// Where to look for what there is.
        advice: String,
    },
    /// Something that was given cannot be used.
    #[error("{what}")]
    Usage {
        /// What is wrong with it.
        what: String,
        /// What would be right.
        advice: String,
    },
    /// A signature, digest or chain did not verify.
    #[error("{what}")]
    Untrusted {
        /// What did not verify.
        what: String,
        /// What it means for the person.
        advice: String,
    },
    /// The work ended, and not well.
    #[error("{what}")]
    Unsuccessful {
        /// How it ended.
        what: String,
        /// Where to look.
        advice: String,
    },
    /// Ctrl-C.
    #[error("stopped before the end; the server carries on with its work")]
    Interrupted,
}

impl Failure {
    /// A failure to read `path`.
    pub fn reading(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        Self::filing("read", path)
    }

    /// A failure to write `path`.
    pub fn writing(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        Self::filing("write", path)
    }

    /// A failure to start the program at `path`.
    pub fn starting(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        Self::filing("start", path)
    }

    fn filing(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    /// Something given that cannot be used, and what could be.
    pub fn usage(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Usage {
            what: what.into(),
            advice: advice.into(),
        }
    }

    /// Work that ended badly, and where to look.
    pub fn unsuccessful(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Unsuccessful {
            what: what.into(),
            advice: advice.into(),
        }
    }

    /// Proof that did not hold, and what that means.
    pub fn untrusted(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Untrusted {
            what: what.into(),
            advice: advice.into(),
        }
    }

    /// The exit code a script sees.
    pub fn exit(&self) -> Exit {
        match self {
            Self::File { .. } => Exit::File,
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Refused(refusal) => refusal.exit(),
            Self::Absent { .. } => Exit::Absent,
            Self::Usage { .. } => Exit::Usage,
            Self::Untrusted { .. } => Exit::Untrusted,
            Self::Unsuccessful { .. } => Exit::Unsuccessful,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    /// What to do next, when there is something to do.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::File { .. } | Self::Interrupted => None,
            Self::Refused(refusal) => refusal.advice(),
            Self::Unreachable { advice, .. }
            | Self::Absent { advice, .. }
            | Self::Usage { advice, .. }
            | Self::Untrusted { advice, .. }
            | Self::Unsuccessful { advice, .. } => Some(advice.clone()),
        }
    }

    /// The text for standard error: one line of what, one of what to do.
    pub fn report(&self) -> String {
        match self.advice() {
            Some(advice) => format!("error: {self}\n  help: {advice}"),
            None => format!("error: {self}"),
        }
    }
}
