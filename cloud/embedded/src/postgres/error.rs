//! Why the embedded PostgreSQL could not be started.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::locate::NoPrograms;

/// Each says what happened, to which folder, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// There is no server to start.
    #[error(transparent)]
    NoPrograms(#[from] NoPrograms),
    /// Another process runs a server in this folder.
    #[error(
        "{} is in use by another process; stop that one, or choose another state folder",
        folder.display()
    )]
    InUse {
        /// The server's folder.
        folder: PathBuf,
    },
    /// The folder cannot be made, read or written.
    #[error("could not {doing} {}: {source}", path.display())]
    Folder {
        /// What was being done, for instance `make`.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The data were written by another major version.
    #[error(
        "the data in {} belong to PostgreSQL {made_by}, and the server here is {found}; \
         set ESPALIER_PG_BIN to a PostgreSQL {made_by}", folder.display()
    )]
    OtherMajor {
        /// The server's folder.
        folder: PathBuf,
        /// What the folder says.
        made_by: String,
        /// What was found on the machine.
        found: u32,
    },
    /// A program of the server does not start as the user it has to run as.
    #[error(
        "could not start {} for {}: {source}; PostgreSQL refuses to run as root, so both must be \
         readable for an ordinary user", program.display(), folder.display()
    )]
    Unreachable {
        /// The program.
        program: PathBuf,
        /// The server's folder.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// `initdb` failed; nothing half-made is left.
    #[error("could not make a database in {}: {said}", folder.display())]
    Initialise {
        /// The server's folder.
        folder: PathBuf,
        /// The last line of `initdb`.
        said: String,
    },
    /// The server ended before it was ready, several times.
    #[error("PostgreSQL does not start: {said}; its log is {}", log.display())]
    Ended {
        /// The last line of the log.
        said: String,
        /// The whole log.
        log: PathBuf,
    },
    /// The server runs, but did not become ready.
    #[error("PostgreSQL was not ready after {} s; its log is {}", waited.as_secs(), log.display())]
    NotReady {
        /// How long it was waited for.
        waited: Duration,
        /// The whole log.
        log: PathBuf,
    },
    /// The thread that looks after the server is gone: the process is ending.
    #[error("the embedded PostgreSQL has been stopped")]
    Stopped,
}

impl PostgresError {
    /// For `map_err` on file operations.
    pub(super) fn folder(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Folder {
            doing,
            path,
            source,
        }
    }
}
