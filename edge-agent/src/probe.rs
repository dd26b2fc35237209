//! The update engine's view of inference: a trial loads a bundle beside what serves, and serving it
//! is one switch of the model host.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use espalier_protocol::{
    Digest,
    report::{Failure, Installed},
};
use espalier_runtime::golden::GoldenReport;
use espalier_serving::{Candidate, Instance, ModelHost, Origin};
use espalier_slots::{Probe, TrialOutcome, VerifiedBundle};

use crate::trial;

/// Trials on the model host that also answers requests.
pub struct HostProbe {
    host: Arc<ModelHost>,
    /// What a trial loaded and nothing serves yet.
    tried: Mutex<HashMap<Digest, Candidate>>,
}

impl HostProbe {
    /// A probe of this host.
    #[must_use]
    pub fn new(host: Arc<ModelHost>) -> Self {
        Self {
            host,
            tried: Mutex::default(),
        }
    }

    fn tried(&self) -> MutexGuard<'_, HashMap<Digest, Candidate>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The instance that answers now, when it is this bundle's.
    fn serving(&self, bundle: &VerifiedBundle) -> Option<Arc<Instance>> {
        let instance = self.host.instance(bundle.manifest().model.as_str());
        instance.filter(|instance| instance.bundle() == bundle.digest())
    }
}

impl Probe for HostProbe {
    fn trial(&self, bundle: &VerifiedBundle) -> Result<TrialOutcome, Failure> {
        let candidate = trial::try_out(&self.host, bundle.folder())?;
        let outcome = candidate.golden().map(measured).unwrap_or_default();
        self.tried().insert(bundle.digest(), candidate);
        Ok(outcome)
    }

    fn serve(&self, bundle: &VerifiedBundle, installed: &Installed) -> Result<(), Failure> {
        if let Some(instance) = self.serving(bundle) {
            instance.came_by(installed.release.digest);
            return Ok(());
        }
        let tried = self.tried().remove(&bundle.digest());
        let candidate = match tried {
            Some(candidate) => candidate,
            None => trial::load(&self.host, bundle.folder())?,
        };
        let origin = Origin {
            release: Some(installed.release.digest),
            model_version: Some(bundle.manifest().model_version),
        };
        let _unloads_with_its_last_request = self.host.switch(candidate, origin);
        Ok(())
    }

    fn forget(&self, bundle: &Digest) {
        self.tried().remove(bundle);
    }
}

fn measured(report: &GoldenReport) -> TrialOutcome {
    let mut latencies = report.latencies.clone();
    latencies.sort_unstable();
    let median = latencies.get(latencies.len() / 2);
    TrialOutcome {
        golden_agreement: Some(report.agreement as f32),
        golden_latency_ms: median.map(|latency| latency.as_secs_f32() * 1e3),
    }
}

/// An error with the reasons behind it, in one line.
pub fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
