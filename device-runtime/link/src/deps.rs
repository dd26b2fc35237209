//! What the caller brings: settings, clock, randomness, disk and inference.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use espalier_protocol::inventory::Inventory;
use espalier_slots::{Files, Probe};
use jiff::Timestamp;
use rand::rngs::StdRng;

use crate::Backoff;
use crate::download::Pace;

/// A clock; only the wiring of a binary makes one that reads the machine's.
pub trait Clock: Send + Sync {
    /// The time now. It may be wrong: nothing but expiry and reports' times depend on it.
    fn now(&self) -> Timestamp;
}

impl<F: Fn() -> Timestamp + Send + Sync> Clock for F {
    fn now(&self) -> Timestamp {
        self()
    }
}

/// Settings of the engine.
#[derive(Debug, Clone)]
pub struct Config {
    /// A report is sent at least this often while connected.
    pub heartbeat: Duration,
    /// Reports that were not acknowledged for this long are sent again.
    pub resend_after: Duration,
    /// A trial that takes longer has failed.
    pub trial_limit: Duration,
    /// A download that brings nothing worth mentioning in this many tries in a row has failed.
    pub download_tries: u32,
    /// A transfer that is slower is broken off, and continued in the next try.
    pub slowest: Pace,
    /// Waiting between tries of anything on the network.
    pub backoff: Backoff,
    /// How the device's certificate is kept from ending.
    pub renewal: RenewalPace,
}

/// How often a device asks for its next certificate, once it is due.
#[derive(Debug, Clone, Copy)]
pub struct RenewalPace {
    /// How often the clock is looked at.
    pub look: Duration,
    /// How long nobody is asked again after the cloud found the certificate young enough.
    pub rest: Duration,
    /// Waiting after tries that failed. There are months for them.
    pub backoff: Backoff,
}

impl Default for RenewalPace {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(600),
            rest: Duration::from_secs(24 * 3600),
            backoff: Backoff {
                first: Duration::from_secs(60),
                longest: Duration::from_secs(6 * 3600),
            },
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(60),
            resend_after: Duration::from_secs(20),
            trial_limit: Duration::from_secs(120),
            download_tries: 8,
            slowest: Pace::default(),
            backoff: Backoff::default(),
            renewal: RenewalPace::default(),
        }
    }
}

/// What the engine is given.
#[derive(Clone)]
pub struct Deps {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For nonces and jitter.
    pub random: StdRng,
    /// The disk under the store and the outbox.
    pub files: Arc<dyn Files>,
    /// Inference: trials, and what serves.
    pub probe: Arc<dyn Probe>,
    /// Facts about the device, asked for once for each start.
    pub inventory: Inventory,
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps")
            .field("inventory", &self.inventory)
            .finish_non_exhaustive()
    }
}
