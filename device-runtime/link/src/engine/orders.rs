//! The order desk: takes desired states one at a time, newest first, and sets a job going for each model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use espalier_protocol::desired::DesiredModel;
use espalier_protocol::id::AssignmentId;
use espalier_protocol::report::{Attack, Refusal};
use espalier_protocol::{Digest, ModelName};
use espalier_slots::StoreError;
use espalier_slots::trust::{Accepted, News, Recipient, verify_desired};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::core::{Core, Deployer, lock};
use super::trust::TrustFailure;
use super::update::{self, Order, blocking};
use crate::uplink::Receipt;

/// A desired state as it came.
pub(super) struct Letter {
    pub(super) bytes: Bytes,
    pub(super) receipt: Receipt,
}

/// The newest letter that was not opened yet. A newer one replaces it: a desired state says everything.
#[derive(Default)]
pub(super) struct Inbox {
    letter: Mutex<Option<Letter>>,
    arrived: Notify,
}

impl Inbox {
    pub(super) fn put(&self, letter: Letter) {
        let replaced = lock(&self.letter).replace(letter);
        if let Some(replaced) = replaced {
            replaced.receipt.taken();
        }
        self.arrived.notify_one();
    }

    async fn take(&self) -> Letter {
        loop {
            if let Some(letter) = lock(&self.letter).take() {
                return letter;
            }
            self.arrived.notified().await;
        }
    }

    /// Waits until a letter is there, and leaves it.
    async fn filled(&self) {
        while lock(&self.letter).is_none() {
            self.arrived.notified().await;
        }
    }
}

/// Why a desired state is not acted on.
enum NotAccepted {
    /// It is refused for what it is itself: nothing will make it better.
    Refused(Refusal),
    /// It cannot be judged or kept now: metadata that are expired or out of reach, or a disk that refuses. All of that may
    /// heal without anybody sending it again.
    Later(TrustFailure),
}

impl From<TrustFailure> for NotAccepted {
    fn from(failure: TrustFailure) -> Self {
        Self::Later(failure)
    }
}

impl From<StoreError> for NotAccepted {
    fn from(error: StoreError) -> Self {
        Self::Later(error.into())
    }
}

/// A model's update under way.
struct Job {
    what: (AssignmentId, u32),
    cancel: CancellationToken,
    handle: JoinHandle<()>,
}

/// The desk. One task runs it.
pub(super) struct Desk {
    core: Arc<Core>,
    inbox: Arc<Inbox>,
    jobs: BTreeMap<ModelName, Job>,
    cancel: CancellationToken,
}

impl Desk {
    pub(super) fn new(core: Arc<Core>, inbox: Arc<Inbox>, cancel: CancellationToken) -> Self {
        Self {
            core,
            inbox,
            jobs: BTreeMap::new(),
            cancel,
        }
    }

    /// Works until the engine is cancelled, and then waits for its jobs to reach a place where they can stop.
    pub(super) async fn run(mut self) {
        let cancel = self.cancel.clone();
        cancel.run_until_cancelled(self.work()).await;
        for (_, job) in std::mem::take(&mut self.jobs) {
            // A job that panicked has said so; its state is on the disk.
            let _ended = job.handle.await;
        }
    }

    async fn work(&mut self) {
        loop {
            let letter = self.inbox.take().await;
            self.open(letter).await;
        }
    }

    /// Stays with a letter until it is accepted, refused, or replaced by a newer one.
    async fn open(&mut self, letter: Letter) {
        let mut random = self.core.random();
        let mut failures: u32 = 0;
        let mut named = BTreeSet::new();
        loop {
            let failure = match self.accept(&letter.bytes).await {
                Ok(accepted) => {
                    letter.receipt.taken();
                    self.core.show(|status| status.held_up = None);
                    return self.carry_out(&accepted);
                }
                Err(NotAccepted::Refused(refusal)) => {
                    letter.receipt.taken();
                    self.core.show(|status| status.held_up = None);
                    return self.core.refuse(refusal);
                }
                Err(NotAccepted::Later(failure)) => failure,
            };
            failures = failures.saturating_add(1);
            self.put_off(&failure, &mut named);
            let wait = self.core.config.backoff.delay(failures, &mut random);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // The newer letter says everything that this one did.
                () = self.inbox.filled() => return letter.receipt.taken(),
            }
        }
    }

    /// Says why a letter waits; each attack that it looks like is reported once for each letter.
    fn put_off(&self, failure: &TrustFailure, named: &mut BTreeSet<Attack>) {
        tracing::warn!(%failure, "a desired state waits");
        self.core
            .show(|status| status.held_up = Some(failure.to_string()));
        if let Some(refusal) = failure.refusal()
            && named.insert(refusal.attack)
        {
            self.core.refuse(refusal);
        }
    }

    async fn accept(&self, bytes: &Bytes) -> Result<Accepted, NotAccepted> {
        let deployer = self.core.known_deployer().await?;
        match self.verify(bytes, &deployer.keys)? {
            Ok(accepted) => self.keep(bytes, accepted, &deployer).await,
            // The deployer's key may have been rotated since: the release keys know.
            Err(refusal) if refusal.attack == Attack::WrongKey => {
                self.core.renew_trust().await?;
                let deployer = self.core.known_deployer().await?;
                let accepted = self
                    .verify(bytes, &deployer.keys)?
                    .map_err(NotAccepted::Refused)?;
                self.keep(bytes, accepted, &deployer).await
            }
            Err(refusal) => Err(NotAccepted::Refused(refusal)),
        }
    }

    fn verify(
        &self,
        bytes: &Bytes,
        keys: &espalier_protocol::trust::DeployerKeys,
    ) -> Result<Result<Accepted, Refusal>, StoreError> {
        let store = self.core.store();
        let floors = store.floors()?;
        let recipient = Recipient {
            anchor: store.anchor(),
            keys,
            floors: &floors,
            clock: self.core.now(),
        };
        Ok(verify_desired(bytes, &recipient))
    }

    /// Durable before anything is done for it: first the state, then the floor that forbids older ones.
    async fn keep(
        &self,
        bytes: &Bytes,
        accepted: Accepted,
        deployer: &Deployer,
    ) -> Result<Accepted, NotAccepted> {
        let (core, bytes, fresh_until) = (self.core.clone(), bytes.clone(), deployer.fresh_until);
        let kept = accepted.clone();
        blocking(move || -> Result<(), StoreError> {
            let store = core.store();
            store.keep_desired(&bytes)?;
            match kept.news {
                News::Fresh => store.raise_floors(|floors| floors.accept(&kept, fresh_until)),
                News::Known => Ok(()),
            }
        })
        .await?;
        let sequence = accepted.state.sequence;
        self.core.show(|status| status.desired_sequence = sequence);
        self.core
            .set_traceparent(accepted.state.traceparent.clone());
        Ok(accepted)
    }

    fn carry_out(&mut self, accepted: &Accepted) {
        let expired = accepted.is_expired(self.core.now());
        for model in &accepted.state.models {
            let tuf = accepted.state.tuf;
            self.set_going(
                model,
                Order {
                    wanted: model.clone(),
                    tuf,
                    expired,
                },
            );
        }
    }

    /// One update for each model at a time. A job for the same try goes on. One that ended is looked at again: when it
    /// ended for good the slots say so, and that is only said once more; when the disk failed it, it goes on. Another one
    /// is told to stop.
    fn set_going(&mut self, wanted: &DesiredModel, order: Order) {
        let what = (wanted.assignment, wanted.attempt);
        let before = match self.jobs.remove(&wanted.model) {
            Some(job) if job.what == what && !job.handle.is_finished() => {
                self.jobs.insert(wanted.model.clone(), job);
                return;
            }
            other => other,
        };
        let cancel = self.cancel.child_token();
        let (core, stop) = (self.core.clone(), cancel.clone());
        let handle = tokio::spawn(async move {
            if let Some(job) = before {
                job.cancel.cancel();
                // How it ended is in the slots.
                let _ended = job.handle.await;
            }
            update::run(core, order, stop).await;
        });
        self.jobs.insert(
            wanted.model.clone(),
            Job {
                what,
                cancel,
                handle,
            },
        );
    }
}

/// The stored desired state, as if it had just come: nobody waits for a receipt.
pub(super) fn letter(bytes: Vec<u8>) -> Letter {
    tracing::debug!(envelope = %Digest::of(&bytes), "resuming the last accepted desired state");
    Letter {
        bytes: bytes.into(),
        receipt: Receipt::none(),
    }
}
