//! Where the programs of a PostgreSQL server are on this machine.
//!
//! Standard library and `rustix` only: `xtask` includes this file by path, so that set-up and
//! server look in the same places without set-up having to compile the broker.

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest major version that the migrations are written for.
pub const OLDEST_MAJOR: u32 = 15;

/// Names a folder with `initdb` and `postgres`, before anything else is looked at.
pub const BIN_VARIABLE: &str = "ESPALIER_PG_BIN";

/// A folder with the two programs of a server, recent enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    bin: PathBuf,
    major: u32,
}

/// Why there are no programs to start a server with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoPrograms {
    /// `ESPALIER_PG_BIN` names a folder that cannot be used.
    Unusable {
        /// The folder.
        bin: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing recent enough is on this machine.
    Absent,
}

impl Display for NoPrograms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable { bin, reason } => write!(
                f,
                "{BIN_VARIABLE} names {}, which is no PostgreSQL {OLDEST_MAJOR} or newer: \
                 {reason}; name the folder of `initdb` and `postgres`, or unset it",
                bin.display()
            ),
            Self::Absent => write!(
                f,
                "there is no PostgreSQL {OLDEST_MAJOR} or newer on this machine; run \
                 `cargo xtask setup`, install the `postgresql` package, or set DATABASE_URL"
            ),
        }
    }
}

impl std::error::Error for NoPrograms {}

impl Programs {
    /// The programs in one folder.
    ///
    /// # Errors
    /// Says what is wrong when a program is missing, does not run, or is older than
    /// [`OLDEST_MAJOR`].
    pub fn at(bin: &Path) -> Result<Self, String> {
        if !bin.join("initdb").is_file() {
            return Err("it has no `initdb`".to_owned());
        }
        let major = major_version(&bin.join("postgres"))?;
        if major < OLDEST_MAJOR {
            return Err(format!("it is version {major}"));
        }
        Ok(Self {
            bin: bin.to_path_buf(),
            major,
        })
    }

    /// Looks in this order: `ESPALIER_PG_BIN`, the machine's own installations, what `cargo xtask
    /// setup` fetched.
    ///
    /// # Errors
    /// [`NoPrograms`] when the named folder cannot be used, or nothing was found.
    pub fn find() -> Result<Self, NoPrograms> {
        if let Some(bin) = variable(BIN_VARIABLE).map(PathBuf::from) {
            return Self::at(&bin).map_err(|reason| NoPrograms::Unusable { bin, reason });
        }
        Self::installed()
            .or_else(Self::fetched)
            .ok_or(NoPrograms::Absent)
    }

    /// The machine's own: `pg_config`, then `PATH`, then the newest of the distribution's version
    /// folders.
    pub fn installed() -> Option<Self> {
        configured_folder()
            .into_iter()
            .chain(path_folders())
            .chain(version_folders(Path::new("/usr/lib/postgresql")))
            .find_map(|bin| Self::at(&bin).ok())
    }

    /// What `cargo xtask setup` fetched, newest first.
    pub fn fetched() -> Option<Self> {
        let mut found: Vec<Self> = std::fs::read_dir(fetched_folder()?)
            .ok()?
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("postgres-"))
            .filter_map(|entry| Self::at(&entry.path().join("bin")).ok())
            .collect();
        found.sort_by_key(|programs| programs.major);
        found.pop()
    }

    /// The folder of `initdb` and `postgres`.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The server's major version.
    pub fn major(&self) -> u32 {
        self.major
    }
}

/// Where `cargo xtask setup` puts the servers that it fetches, each in `postgres-VERSION/`.
///
/// For root it is not below its home: PostgreSQL refuses to run as root, and the user that it then
/// runs as could not reach it there. `None` where the user has neither `XDG_CACHE_HOME` nor `HOME`.
pub fn fetched_folder() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/tmp/espalier-0"))
            .filter(|folder| !belongs_to_another(folder));
    }
    cache_folder()
}

/// The user's cache folder of this project.
pub fn cache_folder() -> Option<PathBuf> {
    let of_user = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    of_user("XDG_CACHE_HOME")
        .or_else(|| of_user("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("espalier"))
}

/// Anybody may make a folder in `/var/tmp`: a program in one that another user made would be that
/// user's program.
fn belongs_to_another(folder: &Path) -> bool {
    match std::fs::symlink_metadata(folder) {
        Ok(found) => {
            !found.is_dir()
                || found.uid() != rustix::process::geteuid().as_raw()
                || found.mode() & 0o022 != 0
        }
        Err(_) => false,
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn configured_folder() -> Option<PathBuf> {
    first_line(Command::new("pg_config").arg("--bindir"))
        .ok()
        .map(PathBuf::from)
}

fn path_folders() -> Vec<PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|folder| folder.join("postgres").is_file())
        .collect()
}

fn version_folders(root: &Path) -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, bin)| bin).collect()
}

fn major_version(postgres: &Path) -> Result<u32, String> {
    let line = first_line(Command::new(postgres).arg("--version"))?;
    line.split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
        .and_then(|version| version.split(|end: char| !end.is_ascii_digit()).next())
        .and_then(|major| major.parse().ok())
        .ok_or_else(|| format!("`postgres --version` answered `{line}`"))
}

fn first_line(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let done = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`{program}` does not start: {error}"))?;
    let said = String::from_utf8_lossy(if done.status.success() {
        &done.stdout
    } else {
        &done.stderr
    });
    let line = said.lines().next().unwrap_or_default().trim().to_owned();
    if done.status.success() {
        Ok(line)
    } else {
        Err(format!("`{program}` failed: {line}"))
    }
}
