//! A real PostgreSQL as a child of this process: started, looked after, and stopped with it.

mod cluster;
mod error;
mod locate;
mod run_as;
mod supervisor;

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use tokio::sync::oneshot;

use cluster::Cluster;
use supervisor::{ServerId, Stop, Supervisor};

pub use error::PostgresError;
pub use locate::{BIN_VARIABLE, NoPrograms, OLDEST_MAJOR, Programs};

/// Only names the socket: the server listens on no network.
const PORT: &str = "5432";
const USER: &str = "postgres";

/// What has to outlive which misfortune.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survives {
    /// What was committed is there after a power cut.
    PowerCut,
    /// What was committed is there after any process was killed; a power cut may destroy
    /// everything. Faster, for tests.
    Crash,
}

/// A server of one's own.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// Holds data, socket and log; made if it is not there. One server at a time.
    pub folder: PathBuf,
    /// The programs to start. `None`: those that [`Programs::find`] finds.
    pub programs: Option<Programs>,
    /// The most connections at once, over all pools.
    pub max_connections: u16,
    /// What committed data survive.
    pub survives: Survives,
}

impl PostgresConfig {
    /// 100 connections, data that survive a power cut, whatever server the machine has.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            programs: None,
            max_connections: 100,
            survives: Survives::PowerCut,
        }
    }
}

/// A running server. It is started again when it dies, and stopped when this value is dropped.
///
/// When this process is killed, the server ends as well (Linux), or is ended by the next start in
/// its folder.
pub struct EmbeddedPostgres {
    stop: mpsc::Sender<Stop>,
    socket: PathBuf,
    id: ServerId,
}

impl EmbeddedPostgres {
    /// Starts a server; it accepts connections when this returns. The first start in a folder makes
    /// an empty database.
    ///
    /// # Errors
    /// [`PostgresError`] says what is missing and what to do.
    pub async fn start(config: PostgresConfig) -> Result<Self, PostgresError> {
        let (stop, stops) = mpsc::channel();
        let (started, outcome) = oneshot::channel();
        let id = ServerId::default();
        let watched = id.clone();
        let life = move || live(config, stops, watched, started);
        std::thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(life)
            .map_err(|_| PostgresError::Stopped)?;
        let socket = outcome.await.map_err(|_| PostgresError::Stopped)??;
        Ok(Self { stop, socket, id })
    }

    /// The address of one of its databases, for example `postgres`, which is always there.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{USER}@localhost:{PORT}/{database}?host={}",
            percent_encoded(&self.socket)
        )
    }

    /// The server's process, or `None` while it is being started again.
    pub fn process_id(&self) -> Option<u32> {
        self.id.get()
    }

    /// Stops the server in order, and returns when it is gone.
    pub async fn stop(self) {
        let (done, gone) = oneshot::channel();
        if self.stop.send(done).is_ok() {
            // An answer that never comes means that the thread is gone, and the server with it.
            let _ = gone.await;
        }
    }
}

/// The whole life of a server, on a thread of its own.
fn live(
    config: PostgresConfig,
    stops: mpsc::Receiver<Stop>,
    id: ServerId,
    started: oneshot::Sender<Result<PathBuf, PostgresError>>,
) {
    let open = || {
        let programs = config.programs.clone().map_or_else(Programs::find, Ok)?;
        let cluster = Cluster::open(config, programs)?;
        let socket = cluster.socket().to_path_buf();
        let supervisor = Supervisor::new(cluster, stops, id);
        let server = supervisor.start()?;
        Ok((supervisor, server, socket))
    };
    match open() {
        Ok((supervisor, server, socket)) => {
            // Who waited may be gone: then the other end of `stops` is gone too, and supervising
            // ends at once.
            let _ = started.send(Ok(socket));
            supervisor.supervise(server);
        }
        Err(error) => drop(started.send(Err(error))),
    }
}

fn percent_encoded(path: &Path) -> String {
    let mut encoded = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(*byte))
            }
            // Writing to a string cannot fail.
            other => drop(write!(encoded, "%{other:02X}")),
        }
    }
    encoded
}
