//! The server's folder: the data, the socket, the log, and what a server that was killed leaves
//! behind.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File, TryLockError};
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process, test_kill_process};

use super::error::PostgresError;
use super::locate::Programs;
use super::run_as::RunAs;
use super::{PostgresConfig, Survives};

/// A socket's path must fit into 107 bytes; the rest is for its name.
const LONGEST_SOCKET_FOLDER: usize = 85;
/// A log beyond this size is set aside at the next start.
const LOG_TO_SET_ASIDE: u64 = 16 << 20;
/// How long an orphaned server may take to stop after each signal.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(10);
/// Where the kernel shows processes, on Linux.
const PROCESSES: &str = "/proc";
const POLL: Duration = Duration::from_millis(20);

/// A server's folder, locked for this process.
pub(super) struct Cluster {
    folder: PathBuf,
    socket: PathBuf,
    run_as: RunAs,
    programs: Programs,
    max_connections: u16,
    survives: Survives,
    /// Released by the system even when this process is killed.
    _lock: File,
}

impl Cluster {
    /// Locks the folder, ends a server that was left behind in it, and makes the data if there are
    /// none.
    pub(super) fn open(config: PostgresConfig, programs: Programs) -> Result<Self, PostgresError> {
        let folder = std::path::absolute(&config.folder)
            .map_err(PostgresError::folder("resolve", &config.folder))?;
        make_folder(&folder, 0o711)?;
        let lock = lock(&folder)?;
        let run_as = RunAs::choose(&programs, &folder)?;
        let socket = socket_folder(&folder)?;
        let PostgresConfig {
            max_connections,
            survives,
            ..
        } = config;
        let cluster = Self {
            folder,
            socket,
            run_as,
            programs,
            max_connections,
            survives,
            _lock: lock,
        };
        cluster.end_orphan()?;
        cluster.set_log_aside()?;
        cluster.initialise()?;
        for path in [&cluster.data(), &cluster.socket] {
            cluster
                .run_as
                .own(path)
                .map_err(PostgresError::folder("change the owner of", path))?;
        }
        Ok(cluster)
    }

    /// The folder of the server's socket.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The server's log, appended to at each start.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("postgres.log")
    }

    /// The last line of the log that is worth showing.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let telling = |line: &&str| {
            line.contains("FATAL") || line.contains("PANIC") || line.contains("ERROR")
        };
        let last = log
            .lines()
            .rev()
            .find(telling)
            .or_else(|| log.lines().next_back());
        last.unwrap_or("it printed nothing").trim().to_owned()
    }

    /// The command that becomes the server.
    pub(super) fn server(&self) -> Result<Command, PostgresError> {
        let log = self.log();
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(PostgresError::folder("open", &log))?;
        let mut server = self.run_as.command(&self.programs.bin().join("postgres"));
        server
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(&self.socket)
            .args(["-p", super::PORT]);
        for setting in self.settings() {
            server.args(["-c", &setting]);
        }
        server
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Ok(server)
    }

    fn settings(&self) -> Vec<String> {
        let mut settings = vec![
            // Only who may enter the socket's folder reaches this server.
            "listen_addresses=".to_owned(),
            "unix_socket_permissions=0700".to_owned(),
            format!("max_connections={}", self.max_connections),
            "shared_buffers=64MB".to_owned(),
            "timezone=UTC".to_owned(),
            "log_timezone=UTC".to_owned(),
            "logging_collector=off".to_owned(),
            "log_destination=stderr".to_owned(),
            "cluster_name=espalier".to_owned(),
        ];
        if self.survives == Survives::Crash {
            settings.extend(["fsync=off", "full_page_writes=off"].map(str::to_owned));
        }
        settings
    }

    /// Whether the server with this process id says that it accepts connections.
    pub(super) fn is_ready(&self, server: u32) -> bool {
        let text = fs::read_to_string(self.pid_file()).unwrap_or_default();
        let mut lines = text.lines();
        let id = lines.next().and_then(|line| line.trim().parse().ok());
        // Line 8 of the file: written by the server for `pg_ctl`.
        id == Some(server) && lines.nth(6).is_some_and(|state| state.trim() == "ready")
    }

    /// The process id of the server that the folder speaks of, alive or not.
    pub(super) fn recorded_server(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.pid_file()).ok()?;
        Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn pid_file(&self) -> PathBuf {
        self.data().join("postmaster.pid")
    }

    /// Ends a server whose parent is gone: we hold the lock, so nobody uses it.
    fn end_orphan(&self) -> Result<(), PostgresError> {
        if let Some(orphan) = self
            .recorded_server()
            .filter(|server| self.runs_here(*server))
        {
            tracing::warn!(
                pid = orphan.as_raw_pid(),
                "ending a PostgreSQL that an earlier run left behind"
            );
            let signals = [Signal::INT, Signal::QUIT, Signal::KILL];
            signals
                .into_iter()
                .find(|signal| kill_process(orphan, *signal).is_err() || self.is_abandoned());
        }
        self.forget_server()
    }

    /// The file of a server that was killed names a process id that may be anybody's by now, and a
    /// server does not start beside it. It also guards the data while the killed server's own
    /// children still work on them.
    fn forget_server(&self) -> Result<(), PostgresError> {
        let file = self.pid_file();
        if !file.exists() || !Path::new(PROCESSES).exists() || !self.is_abandoned() {
            return Ok(());
        }
        fs::remove_file(&file).map_err(PostgresError::folder("remove", file))
    }

    /// Waits until no process works in the data folder any more.
    fn is_abandoned(&self) -> bool {
        let deadline = Instant::now() + ORPHAN_PATIENCE;
        while self.is_worked_in() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(POLL);
        }
        true
    }

    fn is_worked_in(&self) -> bool {
        match fs::read_dir(PROCESSES) {
            Ok(processes) => processes
                .flatten()
                .any(|process| self.is_home_of(&process.path())),
            Err(_) => self
                .recorded_server()
                .is_some_and(|server| self.runs_here(server)),
        }
    }

    /// Process ids are used again: the one in the file may be anybody's by now.
    fn runs_here(&self, server: Pid) -> bool {
        let process = Path::new(PROCESSES).join(server.as_raw_pid().to_string());
        // Where there is no /proc, the file's word has to do.
        test_kill_process(server).is_ok()
            && (self.is_home_of(&process) || !Path::new(PROCESSES).exists())
    }

    /// A server and its children have the data folder as their working directory.
    fn is_home_of(&self, process: &Path) -> bool {
        match (
            fs::read_link(process.join("cwd")),
            fs::canonicalize(self.data()),
        ) {
            (Ok(works_in), Ok(data)) => works_in == data,
            _ => false,
        }
    }

    fn set_log_aside(&self) -> Result<(), PostgresError> {
        let log = self.log();
        if fs::metadata(&log).is_ok_and(|found| found.len() > LOG_TO_SET_ASIDE) {
            fs::rename(&log, log.with_extension("log.old"))
                .map_err(PostgresError::folder("set aside", &log))?;
        }
        Ok(())
    }

    fn initialise(&self) -> Result<(), PostgresError> {
        if let Ok(made_by) = fs::read_to_string(self.data().join("PG_VERSION")) {
            return self.check_major(made_by.trim());
        }
        // Made beside its place and moved there complete: a start that is killed here leaves
        // nothing that looks like data.
        let unfinished = self.folder.join("data.new");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)
                .map_err(PostgresError::folder("remove", &unfinished))?;
        }
        make_folder(&unfinished, 0o700)?;
        self.run_as
            .own(&unfinished)
            .map_err(PostgresError::folder("change the owner of", &unfinished))?;
        self.run_initdb(&unfinished)?;
        fs::rename(&unfinished, self.data())
            .map_err(PostgresError::folder("move into place", &unfinished))
    }

    fn run_initdb(&self, data: &Path) -> Result<(), PostgresError> {
        let program = self.programs.bin().join("initdb");
        let mut initdb = self.run_as.command(&program);
        initdb.arg("-D").arg(data).args([
            "-U",
            super::USER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-instructions",
        ]);
        if self.survives == Survives::Crash {
            initdb.arg("--no-sync");
        }
        let unreachable = |source| PostgresError::Unreachable {
            program: program.clone(),
            folder: self.folder.clone(),
            source,
        };
        let done = initdb
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .map_err(unreachable)?;
        if done.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&done.stderr);
        let said = said
            .lines()
            .rev()
            .find(|line| line.contains("error:"))
            .or_else(|| said.lines().next_back());
        let said = said.unwrap_or("it printed nothing").to_owned();
        Err(PostgresError::Initialise {
            folder: self.folder.clone(),
            said,
        })
    }

    fn check_major(&self, made_by: &str) -> Result<(), PostgresError> {
        if made_by == self.programs.major().to_string() {
            return Ok(());
        }
        let found = self.programs.major();
        Err(PostgresError::OtherMajor {
            folder: self.folder.clone(),
            made_by: made_by.to_owned(),
            found,
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Empty, unless the server was killed; the next start makes it or uses it.
        let _ = fs::remove_dir(&self.socket);
    }
}

fn make_folder(path: &Path, mode: u32) -> Result<(), PostgresError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(PostgresError::folder("make", path))
}

fn lock(folder: &Path) -> Result<File, PostgresError> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(PostgresError::folder("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PostgresError::InUse {
            folder: folder.to_path_buf(),
        }),
        Err(TryLockError::Error(source)) => Err(PostgresError::folder("lock", path)(source)),
    }
}

/// `run/` in the server's folder, or where that is too long for a socket a private one with a short
/// name.
fn socket_folder(folder: &Path) -> Result<PathBuf, PostgresError> {
    let preferred = folder.join("run");
    let path = if preferred.as_os_str().as_bytes().len() <= LONGEST_SOCKET_FOLDER {
        preferred
    } else {
        let mut hasher = DefaultHasher::new();
        folder.hash(&mut hasher);
        std::env::temp_dir().join(format!("espalier-pg-{:016x}", hasher.finish()))
    };
    make_folder(&path, 0o700)?;
    let found = fs::symlink_metadata(&path).map_err(PostgresError::folder("look at", &path))?;
    let ours = found.uid() == geteuid().as_raw() || geteuid().is_root();
    if !found.is_dir() || !ours {
        let taken = std::io::Error::other("another user made it");
        return Err(PostgresError::folder("use", path)(taken));
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
        .map_err(PostgresError::folder("close", &path))?;
    Ok(path)
}
