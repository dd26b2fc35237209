//! `/metrics`, for Prometheus. Names follow its conventions: base units, `_total` for counters.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::refusal::{Outcome, Refusal};

/// All that the server counts.
pub struct Metrics {
    registry: Registry,
    /// Device reports by what became of them.
    pub reports: Family<ReportLabels, Counter>,
    /// Desired states published.
    pub desired_published: Counter,
    /// Acknowledgements published.
    pub acks_published: Counter,
    /// Forge jobs by how they ended.
    pub forge_jobs: Family<JobLabels, Counter>,
    /// Failed passes of reconcilers.
    pub reconcile_failures: Family<ReconcilerLabels, Counter>,
    /// Seconds of a pass of the rollout planner.
    pub plan_seconds: Histogram,
    /// Seconds from a batch of reports to its commit.
    pub store_seconds: Histogram,
    /// 1 while a part that the server needs answers.
    pub part_up: Family<PartLabels, Gauge>,
    /// Bytes of blobs that devices fetched.
    pub blob_bytes_served: Counter<u64, AtomicU64>,
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReportLabels {
    /// The outcome.
    pub outcome: ReportOutcome,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum ReportOutcome {
    /// News, stored.
    Stored,
    /// Seen before, or overtaken: a named no-op.
    Stale,
    /// Not a report by the device that it came from.
    Refused,
    /// Dropped because the queue was full; the device sends it again.
    Shed,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct JobLabels {
    /// The outcome.
    pub outcome: &'static str,
}

/// Which reconciler.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcilerLabels {
    /// Its name.
    pub reconciler: &'static str,
}

/// Which part.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartLabels {
    /// Its name.
    pub part: &'static str,
}

impl Metrics {
    /// Registers everything.
    #[must_use]
    pub fn new() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 14));
        let metrics = Self {
            registry: Registry::with_prefix("espalier_cloud"),
            reports: Family::default(),
            desired_published: Counter::default(),
            acks_published: Counter::default(),
            forge_jobs: Family::default(),
            reconcile_failures: Family::default(),
            plan_seconds: seconds(),
            store_seconds: seconds(),
            part_up: Family::default(),
            blob_bytes_served: Counter::default(),
        };
        metrics.register()
    }

    fn register(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("reports", "Device reports by outcome", self.reports.clone());
        registry.register(
            "desired_published",
            "Desired states published",
            self.desired_published.clone(),
        );
        registry.register(
            "acks_published",
            "Acknowledgements published",
            self.acks_published.clone(),
        );
        registry.register(
            "forge_jobs",
            "Forge jobs by outcome",
            self.forge_jobs.clone(),
        );
        registry.register(
            "reconcile_failures",
            "Failed passes of reconcilers",
            self.reconcile_failures.clone(),
        );
        registry.register(
            "plan_seconds",
            "Seconds of a planner pass",
            self.plan_seconds.clone(),
        );
        registry.register(
            "store_seconds",
            "Seconds to store a batch of reports",
            self.store_seconds.clone(),
        );
        registry.register(
            "part_up",
            "1 while a needed part answers",
            self.part_up.clone(),
        );
        registry.register(
            "blob_bytes_served",
            "Bytes of blobs that devices fetched",
            self.blob_bytes_served.clone(),
        );
        self
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn text(&self) -> Outcome<String> {
        let mut text = String::new();
        encode(&mut text, &self.registry).map_err(Refusal::internal)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
