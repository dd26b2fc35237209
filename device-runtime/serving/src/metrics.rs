//! What Prometheus is told.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::host::ModelHost;

/// Seconds; from a click on a known picture to a full model on a slow processor.
const BUCKETS: [f64; 14] = [
    0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.2, 0.35, 0.5, 1.0, 2.5, 10.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    model: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BundleLabels {
    model: String,
    bundle: String,
}

/// Counters of one service.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<OutcomeLabels, Counter>,
    seconds: Family<ModelLabels, Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        }
    }
}

impl Metrics {
    pub(crate) fn answered(&self, model: &str, latency: Duration) {
        self.count(model, "answered");
        self.seconds
            .get_or_create(&ModelLabels {
                model: model.to_owned(),
            })
            .observe(latency.as_secs_f64());
    }

    pub(crate) fn failed(&self, model: &str, kind: &'static str) {
        self.count(model, kind);
    }

    fn count(&self, model: &str, outcome: &'static str) {
        self.requests
            .get_or_create(&OutcomeLabels {
                model: model.to_owned(),
                outcome,
            })
            .inc();
    }

    /// The counters, and what the host serves now, in Prometheus' text.
    #[must_use]
    pub fn encode(&self, host: &ModelHost) -> String {
        let mut registry = Registry::with_prefix("espalier");
        registry.register("requests", "Requests by outcome", self.requests.clone());
        registry.register_with_unit(
            "request",
            "Time of answered requests",
            Unit::Seconds,
            self.seconds.clone(),
        );
        let (serving, embeddings) = Self::facts(host);
        registry.register("serving", "The bundle that serves each model", serving);
        registry.register_with_unit(
            "embedding",
            "Memory of cached embeddings",
            Unit::Bytes,
            embeddings,
        );
        let mut text = String::new();
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &registry) {
            tracing::error!(%error, "the metrics cannot be written");
        }
        text
    }

    fn facts(host: &ModelHost) -> (Family<BundleLabels, Gauge>, Gauge) {
        let serving = Family::<BundleLabels, Gauge>::default();
        for instance in host.instances() {
            let labels = BundleLabels {
                model: instance.model().to_string(),
                bundle: instance.bundle().to_string(),
            };
            serving.get_or_create(&labels).set(1);
        }
        let embeddings: Gauge = Gauge::default();
        embeddings.set(i64::try_from(host.embedding_bytes()).unwrap_or(i64::MAX));
        (serving, embeddings)
    }
}
