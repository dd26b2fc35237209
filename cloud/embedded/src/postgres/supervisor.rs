//! The thread that starts the server, starts it again when it dies, and stops it.
//!
//! One thread for the whole life of the server, because the kernel ends a child with the *thread*
//! that started it.

use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;

use super::cluster::Cluster;
use super::error::PostgresError;

/// How long a server may take until it accepts connections: crash recovery after a power cut takes
/// its time.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// How long the server may take to stop after each signal.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// A killed server's own children hold its memory for a moment: the first attempts may fail.
const FIRST_ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A server that ran this long was healthy: its next failure is a new one.
const HEALTHY: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A request to stop, with whom to tell.
pub(super) type Stop = oneshot::Sender<()>;

/// The process id of the running server, for those who want to watch it.
#[derive(Clone, Default)]
pub(super) struct ServerId(Arc<Mutex<Option<u32>>>);

impl ServerId {
    pub(super) fn get(&self) -> Option<u32> {
        *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set(&self, id: Option<u32>) {
        *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = id;
    }
}

/// Why the supervisor stopped looking at a server.
enum Ended {
    /// The server died by itself.
    Died(ExitStatus),
    /// Somebody wants it to end, or everybody who could want that is gone.
    Asked(Option<Stop>),
}

pub(super) struct Supervisor {
    cluster: Cluster,
    stops: Receiver<Stop>,
    id: ServerId,
}

impl Supervisor {
    pub(super) fn new(cluster: Cluster, stops: Receiver<Stop>, id: ServerId) -> Self {
        Self { cluster, stops, id }
    }

    /// Starts the server; it accepts connections when this returns.
    pub(super) fn start(&self) -> Result<Child, PostgresError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..FIRST_ATTEMPTS {
            match self.start_once() {
                Err(PostgresError::Ended { said, .. }) => {
                    tracing::warn!(said, "PostgreSQL ended at its start, trying again")
                }
                other => return other,
            }
            std::thread::sleep(pause);
            pause = longer(pause);
        }
        self.start_once()
    }

    /// Looks after the server until somebody asks to stop it.
    pub(super) fn supervise(self, mut server: Child) {
        let mut pause = FIRST_PAUSE;
        loop {
            let since = Instant::now();
            let asked = match self.watch(&mut server) {
                Ended::Asked(stop) => Some(stop),
                Ended::Died(status) => {
                    self.id.set(None);
                    tracing::warn!(%status, "PostgreSQL died, starting it again");
                    pause = if since.elapsed() > HEALTHY {
                        FIRST_PAUSE
                    } else {
                        pause
                    };
                    match self.revive(&mut pause) {
                        Ok(revived) => {
                            server = revived;
                            None
                        }
                        Err(stop) => return answer(stop),
                    }
                }
            };
            if let Some(stop) = asked {
                self.stop(&mut server);
                return answer(stop);
            }
        }
    }

    /// Tries until it succeeds, or until somebody asks to stop.
    fn revive(&self, pause: &mut Duration) -> Result<Child, Option<Stop>> {
        loop {
            match self.stops.recv_timeout(*pause) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(stop) => return Err(Some(stop)),
                Err(RecvTimeoutError::Disconnected) => return Err(None),
            }
            *pause = longer(*pause);
            match self.start_once() {
                Ok(server) => return Ok(server),
                Err(error) => tracing::error!(%error, "PostgreSQL could not be started again"),
            }
        }
    }

    fn start_once(&self) -> Result<Child, PostgresError> {
        let log = self.cluster.log();
        let mut server = self
            .cluster
            .server()?
            .spawn()
            .map_err(PostgresError::folder("start a server in", &log))?;
        let started = Instant::now();
        while !self.cluster.is_ready(server.id()) {
            if let Ok(Some(_)) = server.try_wait() {
                return Err(PostgresError::Ended {
                    said: self.cluster.last_words(),
                    log,
                });
            }
            if started.elapsed() > READY_PATIENCE {
                self.stop(&mut server);
                return Err(PostgresError::NotReady {
                    waited: READY_PATIENCE,
                    log,
                });
            }
            std::thread::sleep(POLL);
        }
        self.id.set(Some(server.id()));
        tracing::info!(
            pid = server.id(),
            seconds = started.elapsed().as_secs_f32(),
            "PostgreSQL is ready"
        );
        Ok(server)
    }

    fn watch(&self, server: &mut Child) -> Ended {
        loop {
            match self.stops.recv_timeout(POLL) {
                Ok(stop) => return Ended::Asked(Some(stop)),
                Err(RecvTimeoutError::Disconnected) => return Ended::Asked(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Ok(Some(status)) = server.try_wait() {
                return Ended::Died(status);
            }
        }
    }

    /// Fast shutdown, then immediate, then by force.
    fn stop(&self, server: &mut Child) {
        self.id.set(None);
        let Some(pid) = i32::try_from(server.id()).ok().and_then(Pid::from_raw) else {
            return;
        };
        for signal in [Signal::INT, Signal::QUIT, Signal::KILL] {
            // A server that is gone already is what was wanted.
            let _ = kill_process(pid, signal);
            let deadline = Instant::now() + STOP_PATIENCE;
            while Instant::now() < deadline {
                match server.try_wait() {
                    Ok(None) => std::thread::sleep(POLL),
                    Ok(Some(_)) | Err(_) => return,
                }
            }
        }
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}

fn answer(stop: Option<Stop>) {
    if let Some(stop) = stop {
        // Who asked may have lost interest.
        let _ = stop.send(());
    }
}
