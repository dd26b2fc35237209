//! An agent on a runtime of its own, so that it can be killed between any two of its steps.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use espalier_link::download::Pace;
use espalier_link::{
    Backoff, Config, Deps, Engine, Handle, Identity, RenewalPace, StateFolder, Status, Wish, enrol,
};
use espalier_protocol::claim::Uplink;
use espalier_protocol::enrol::Role;
use espalier_protocol::inventory::Inventory;
use espalier_protocol::report::{Failure, FailureKind, Installed};
use espalier_protocol::{DeviceIdentity, Digest, ModelName};
use espalier_slots::{Disk, Files, Probe, TrialOutcome, VerifiedBundle};
use jiff::Timestamp;
use rand::SeedableRng;
use rand::rngs::StdRng;
use ring::rand::SystemRandom;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cloud::{Cloud, PATIENCE};
use crate::mint::{class, model, noon};

/// Inference for tests: what a bundle does in its trial stands in its manifest, where the oldest runtime would.
#[derive(Default)]
pub struct Bench {
    serving: watch::Sender<BTreeMap<ModelName, Installed>>,
    pub trials: Mutex<Vec<Digest>>,
    refuses: Mutex<Option<FailureKind>>,
    held: Mutex<bool>,
    released: Condvar,
}

impl Bench {
    /// A machine on which nothing serves, for this reason.
    pub fn refusing(kind: FailureKind) -> Self {
        let bench = Self::default();
        bench.refuse(Some(kind));
        bench
    }

    /// From now on nothing that is not yet serving serves, or everything does again.
    pub fn refuse(&self, kind: Option<FailureKind>) {
        *self.refuses.lock().unwrap() = kind;
    }

    pub fn serves(&self, model: &ModelName) -> Option<Digest> {
        self.installed(model).map(|installed| installed.bundle)
    }

    pub fn installed(&self, model: &ModelName) -> Option<Installed> {
        self.serving.borrow().get(model).copied()
    }

    /// Trials that begin from now on do not end before [`release`](Self::release).
    pub fn hold(&self) {
        *self.held.lock().unwrap() = true;
    }

    pub fn release(&self) {
        *self.held.lock().unwrap() = false;
        self.released.notify_all();
    }
}

impl Probe for Bench {
    fn trial(&self, bundle: &VerifiedBundle) -> Result<TrialOutcome, Failure> {
        self.trials.lock().unwrap().push(bundle.digest());
        let mut held = self.held.lock().unwrap();
        while *held {
            held = self.released.wait(held).unwrap();
        }
        drop(held);
        match bundle.manifest().requires.onnxruntime.as_str() {
            "golden-mismatch" => Err(Failure {
                kind: FailureKind::GoldenMismatch,
                detail: "the mask was another".into(),
            }),
            "panic" => panic!("a kernel went wild"),
            _ => Ok(TrialOutcome {
                golden_agreement: Some(0.97),
                golden_latency_ms: Some(12.5),
            }),
        }
    }

    fn serve(&self, bundle: &VerifiedBundle, installed: &Installed) -> Result<(), Failure> {
        if let Some(kind) = *self.refuses.lock().unwrap() {
            return Err(Failure {
                kind,
                detail: "not on this machine".into(),
            });
        }
        if bundle.manifest().requires.onnxruntime == "cannot-serve" {
            return Err(Failure {
                kind: FailureKind::LoadFailed,
                detail: "no memory".into(),
            });
        }
        let model = bundle.manifest().model.clone();
        self.serving.send_modify(|serving| {
            serving.insert(model, *installed);
        });
        Ok(())
    }

    fn forget(&self, _bundle: &Digest) {}
}

/// A device's disk, which outlives its agent.
pub struct Device {
    pub folder: TempDir,
    pub identity: Identity,
    /// What its clock says.
    pub clock: Arc<Mutex<Timestamp>>,
    /// The machine's facts.
    pub inventory: Inventory,
}

pub fn wish(device: &DeviceIdentity, role: Role) -> Wish {
    Wish {
        device: device.device.clone(),
        class: class(),
        role,
        inventory: Inventory::default(),
        development_trust: true,
        again: false,
    }
}

impl Device {
    pub async fn enrolled(
        cloud: &Cloud,
        device: &DeviceIdentity,
        role: Role,
        uplink: Uplink,
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let state = StateFolder::new(folder.path());
        let (claim, wish) = (cloud.claim(uplink), wish(device, role));
        let identity = enrol(
            Arc::new(Disk),
            &state,
            &claim,
            &wish,
            noon(),
            &SystemRandom::new(),
        )
        .await
        .unwrap();
        Self {
            folder,
            identity,
            clock: Arc::new(Mutex::new(noon())),
            inventory: Inventory::default(),
        }
    }

    pub fn set_clock(&self, now: &str) {
        *self.clock.lock().unwrap() = now.parse().unwrap();
    }

    /// Starts an agent on this disk.
    pub fn start(&self) -> Agent {
        self.start_on(Arc::new(Disk))
    }

    /// Starts an agent whose disk behaves as `files` say.
    pub fn start_on(&self, files: Arc<dyn Files>) -> Agent {
        self.start_with(Bench::default(), files)
    }

    /// Starts an agent whose trials do not end.
    pub fn start_held(&self) -> Agent {
        let bench = Bench::default();
        bench.hold();
        self.start_with(bench, Arc::new(Disk))
    }

    pub fn start_with(&self, bench: Bench, files: Arc<dyn Files>) -> Agent {
        let runtime = Runtime::new().unwrap();
        let bench = Arc::new(bench);
        let deps = Deps {
            clock: {
                let clock = self.clock.clone();
                Arc::new(move || *clock.lock().unwrap())
            },
            random: StdRng::seed_from_u64(11),
            files,
            probe: bench.clone(),
            inventory: self.inventory.clone(),
        };
        let config = Config {
            resend_after: Duration::from_secs(1),
            trial_limit: Duration::from_secs(2),
            download_tries: 4,
            slowest: Pace {
                bytes: 1024,
                within: Duration::from_secs(1),
            },
            backoff: Backoff {
                first: Duration::from_millis(10),
                longest: Duration::from_millis(50),
            },
            renewal: RenewalPace {
                look: Duration::from_millis(10),
                backoff: Backoff {
                    first: Duration::from_millis(10),
                    longest: Duration::from_millis(50),
                },
                ..RenewalPace::default()
            },
            ..Config::default()
        };
        let (engine, handle) = {
            let _inside = runtime.enter();
            let state = StateFolder::new(self.folder.path());
            Engine::open(&state, self.identity.clone(), config, deps).unwrap()
        };
        let cancel = CancellationToken::new();
        let running = cancel.clone();
        let engine = runtime.spawn(engine.run(running));
        Agent {
            runtime: Some(runtime),
            engine,
            handle,
            bench,
            cancel,
        }
    }
}

/// A running agent.
pub struct Agent {
    runtime: Option<Runtime>,
    engine: JoinHandle<()>,
    pub handle: Handle,
    pub bench: Arc<Bench>,
    cancel: CancellationToken,
}

impl Agent {
    /// Ends all its tasks wherever they are, without a word to them.
    pub fn kill(mut self) {
        // Whatever still sits in a blocking call must not do more than that call.
        self.runtime.take().unwrap().shutdown_background();
        self.bench.release();
    }

    /// Ends it as a service manager does, and waits until it is over.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        let ended = tokio::time::timeout(PATIENCE, &mut self.engine).await;
        ended.expect("the agent does not stop").unwrap();
        self.bench.release();
    }

    /// Waits until requests are answered by this bundle: the slots know it a moment earlier.
    pub async fn serves(&self, bundle: Digest) {
        let mut serving = self.bench.serving.subscribe();
        let served = serving.wait_for(|serving| {
            let installed = serving.get(&model());
            installed.is_some_and(|installed| installed.bundle == bundle)
        });
        let waited = tokio::time::timeout(PATIENCE, served).await;
        waited.expect("the bundle never served").unwrap();
    }

    pub async fn status(&self, wanted: impl FnMut(&Status) -> bool) -> Status {
        let mut status = self.handle.status.clone();
        let found = tokio::time::timeout(PATIENCE, status.wait_for(wanted)).await;
        match found {
            Ok(status) => status.unwrap().clone(),
            Err(_) => panic!("the status never came: {:#?}", *self.handle.status.borrow()),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
