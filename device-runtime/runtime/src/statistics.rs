//! What serving has cost so far: latencies in buckets, errors by kind.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper edges of the latency buckets in milliseconds; each is about a quarter above the one before.
const EDGES_MS: [f64; 36] = [
    0.5, 0.65, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.5, 8.0, 10.0, 12.5, 16.0, 20.0,
    25.0, 32.0, 40.0, 50.0, 65.0, 80.0, 100.0, 125.0, 160.0, 200.0, 250.0, 320.0, 400.0, 500.0,
    800.0, 1250.0, 2000.0, 5000.0, 10_000.0,
];

/// Counts of one model's answers and failures; shared by all threads that serve it.
#[derive(Debug, Default)]
pub struct Statistics(Mutex<Counts>);

#[derive(Debug, Clone)]
struct Counts {
    /// One for each edge, and one for what is slower than all.
    buckets: [u64; EDGES_MS.len() + 1],
    errors: BTreeMap<&'static str, u64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            buckets: [0; EDGES_MS.len() + 1],
            errors: BTreeMap::new(),
        }
    }
}

/// What was counted up to a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that failed, by kind.
    pub errors: BTreeMap<&'static str, u64>,
    /// Half of the answers took at most this many milliseconds; `None` before the first answer.
    pub p50_ms: Option<f64>,
    /// 95 % of the answers took at most this many milliseconds.
    pub p95_ms: Option<f64>,
}

impl Statistics {
    /// Counts an answer.
    pub fn answered(&self, latency: Duration) {
        let milliseconds = latency.as_secs_f64() * 1000.0;
        let bucket = EDGES_MS.partition_point(|edge| *edge < milliseconds);
        self.lock().buckets[bucket] += 1;
    }

    /// Counts a failure of a kind.
    pub fn failed(&self, kind: &'static str) {
        *self.lock().errors.entry(kind).or_default() += 1;
    }

    /// All counts so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let counts = self.lock().clone();
        Snapshot {
            answered: counts.buckets.iter().sum(),
            p50_ms: quantile(&counts.buckets, 0.50),
            p95_ms: quantile(&counts.buckets, 0.95),
            errors: counts.errors,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The upper edge of the bucket in which the quantile lies; slower than all edges counts as the last.
fn quantile(buckets: &[u64], share: f64) -> Option<f64> {
    let answered: u64 = buckets.iter().sum();
    let wanted = (answered as f64 * share).ceil() as u64;
    let mut seen = 0;
    let bucket = buckets.iter().position(|count| {
        seen += count;
        seen >= wanted
    });
    let bucket = bucket.filter(|_| answered > 0)?;
    Some(EDGES_MS[bucket.min(EDGES_MS.len() - 1)])
}
