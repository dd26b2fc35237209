//! What every part of the engine shares: the store, the trust, the door, and the way to a report.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use espalier_protocol::inventory::Inventory;
use espalier_protocol::report::{AssignmentProgress, Failure, ModelState, Refusal, Step};
use espalier_protocol::trust::DeployerKeys;
use espalier_protocol::{Digest, ModelName};
use espalier_slots::slots::WrongState;
use espalier_slots::trust::{Floors, Metadata};
use espalier_slots::{Candidate, ModelSlots, Probe, Store, StoreError};
use jiff::Timestamp;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{Notify, watch};

use super::reporter::{Keep, ReportError, Reporter, Words};
use super::status::Status;
use super::update::blocking;
use crate::door::Door;
use crate::download::Patience;
use crate::{Clock, Config};

/// Shared by the engine's loop, the order desk and the jobs.
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) probe: Arc<dyn Probe>,
    pub(super) door: Door,
    pub(super) inventory: Inventory,
    /// Read from the store when they are first needed: what serves needs none.
    pub(super) metadata: tokio::sync::Mutex<Option<Metadata>>,
    /// Rung when a report waits to be sent.
    pub(super) outgoing: Notify,
    store: Mutex<Store>,
    deployer: Mutex<Option<Arc<Deployer>>>,
    /// Models whose active bundle does not answer, and why.
    idle: Mutex<BTreeMap<ModelName, Failure>>,
    reporter: Mutex<Reporter>,
    traceparent: Mutex<Option<String>>,
    random: Mutex<StdRng>,
    status: watch::Sender<Status>,
}

/// Whom the release keys let deploy.
pub(super) struct Deployer {
    pub(super) keys: DeployerKeys,
    /// The document that lists the keys.
    pub(super) document: Digest,
    /// When the metadata end that vouch for it.
    pub(super) fresh_until: Timestamp,
}

/// A panic elsewhere must not take the device's conversation down: every value below is whole between calls.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What [`Core`] is made of.
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) probe: Arc<dyn Probe>,
    pub(super) door: Door,
    pub(super) inventory: Inventory,
    pub(super) store: Store,
    pub(super) reporter: Reporter,
    pub(super) random: StdRng,
    pub(super) status: watch::Sender<Status>,
}

impl Core {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            config: parts.config,
            clock: parts.clock,
            probe: parts.probe,
            door: parts.door,
            inventory: parts.inventory,
            metadata: tokio::sync::Mutex::default(),
            outgoing: Notify::new(),
            store: Mutex::new(parts.store),
            deployer: Mutex::default(),
            idle: Mutex::default(),
            reporter: Mutex::new(parts.reporter),
            traceparent: Mutex::default(),
            random: Mutex::new(parts.random),
            status: parts.status,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    pub(super) fn reporter(&self) -> MutexGuard<'_, Reporter> {
        lock(&self.reporter)
    }

    pub(super) fn slots_of(&self, model: &ModelName) -> ModelSlots {
        self.store().slots_of(model)
    }

    pub(super) fn floors(&self) -> Result<Floors, StoreError> {
        self.store().floors()
    }

    pub(super) fn deployer(&self) -> Option<Arc<Deployer>> {
        lock(&self.deployer).clone()
    }

    pub(super) fn set_deployer(&self, deployer: Deployer) {
        *lock(&self.deployer) = Some(Arc::new(deployer));
    }

    /// Whether the active bundle of a model could not be loaded.
    pub(super) fn is_idle(&self, model: &ModelName) -> bool {
        lock(&self.idle).contains_key(model)
    }

    /// Notes that the active bundle of a model answers.
    pub(super) fn serves(&self, model: &ModelName) {
        lock(&self.idle).remove(model);
        self.show_slots();
    }

    /// Notes that the active bundle of a model does not answer.
    pub(super) fn serves_not(&self, model: &ModelName, failure: &Failure) {
        lock(&self.idle).insert(model.clone(), failure.clone());
        self.show_slots();
    }

    pub(super) fn set_traceparent(&self, traceparent: Option<String>) {
        *lock(&self.traceparent) = traceparent;
    }

    /// Randomness of one's own, for jitter.
    pub(super) fn random(&self) -> StdRng {
        StdRng::from_rng(&mut *lock(&self.random))
    }

    pub(super) fn patience(&self) -> Patience {
        Patience {
            tries: self.config.download_tries,
            slowest: self.config.slowest,
            backoff: self.config.backoff,
        }
    }

    /// Makes one transition of a model's slots durable, and shows it.
    pub(super) fn change(
        &self,
        model: &ModelName,
        transition: impl FnOnce(ModelSlots) -> Result<ModelSlots, WrongState>,
    ) -> Result<(), StoreError> {
        self.store().change(model, transition)?;
        self.show_slots();
        Ok(())
    }

    /// Gives back the room of what no slot needs, away from the async threads.
    pub(super) async fn collect_garbage(self: &Arc<Self>) {
        let Some(deployer) = self.deployer() else {
            return;
        };
        let core = self.clone();
        let collected = blocking(move || {
            let content = {
                let store = core.store();
                store.collect_garbage(&deployer.document)?;
                store.content().clone()
            };
            content.empty_trash()
        });
        if let Err(error) = collected.await {
            tracing::warn!(%error, "old bundles could not be removed; they are taken the next time");
        }
    }

    /// Shows everything that the store knows.
    pub(super) fn show_store(&self) {
        let floors = self.floors();
        let sequence = floors.map_or(0, |floors| floors.desired_sequence());
        self.show(|status| status.desired_sequence = sequence);
        self.show_slots();
    }

    fn show_slots(&self) {
        let store = self.store();
        let idle = lock(&self.idle);
        self.show(|status| status.show_slots(store.slots().iter(), &idle));
    }

    pub(super) fn show(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(change);
    }

    /// Notes what was refused; the engine's next beat reports it.
    pub(super) fn refuse(&self, refusal: Refusal) {
        tracing::warn!(attack = ?refusal.attack, detail = %refusal.detail, "refused");
        self.show(|status| status.show_refusal(refusal.clone()));
        self.reporter().refuse(refusal);
    }

    /// Reports a step of an assignment; it is kept until the cloud has it.
    pub(super) fn step(&self, candidate: &Candidate, step: Step) {
        self.progress(candidate, step, Keep::UntilAcknowledged);
    }

    /// Reports how far a download is; a later report says more, so this one may be lost.
    pub(super) fn downloading(
        &self,
        model: &ModelName,
        candidate: &Candidate,
        done: u64,
        total: u64,
    ) {
        self.show(|status| status.show_download(model, done, total));
        self.progress(candidate, Step::Downloading { done, total }, Keep::No);
    }

    /// Reports the device's whole state without news of an assignment.
    pub(super) fn report(&self, keep: Keep) {
        self.write(None, keep);
    }

    fn progress(&self, candidate: &Candidate, step: Step, keep: Keep) {
        tracing::info!(assignment = %candidate.assignment, attempt = candidate.attempt, ?step, "update");
        let progress = AssignmentProgress {
            assignment: candidate.assignment,
            attempt: candidate.attempt,
            step,
        };
        self.write(Some(progress), keep);
    }

    fn write(&self, progress: Option<AssignmentProgress>, keep: Keep) {
        if let Err(error) = self.try_write(progress, keep) {
            // It may still be sent; the state itself is in the slots, and the next report says it again.
            tracing::error!(%error, "a report could not be kept");
        }
        let waiting = self.reporter().waiting_count();
        self.show(|status| status.reports_waiting = waiting);
        self.outgoing.notify_one();
    }

    fn try_write(
        &self,
        progress: Option<AssignmentProgress>,
        keep: Keep,
    ) -> Result<(), ReportError> {
        let words = {
            let store = self.store();
            Words {
                at: self.now(),
                // With damaged floors nobody knows it any more, and the rest is still worth saying.
                desired_sequence: store.floors().map_or(0, |floors| floors.desired_sequence()),
                models: store.slots().iter().map(model_state).collect(),
                progress,
                traceparent: lock(&self.traceparent).clone(),
            }
        };
        self.reporter().write(words, keep)
    }
}

fn model_state((model, slots): (&ModelName, &ModelSlots)) -> ModelState {
    ModelState {
        model: model.clone(),
        active: slots.serving.active(),
        previous: slots.serving.previous(),
    }
}
