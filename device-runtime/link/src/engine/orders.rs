//! The order desk: takes desired states one at a time, newest first, and sets a job going for each model.

use std::collections::BTreeMap;
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

use super::core::{Core, lock};
use super::trust::TrustFailure;
use super::update::{self, Order};
use crate::uplink::Receipt;

/// Tries to establish trust in a signer before its message is refused.
const TRUST_TRIES: u32 = 5;

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

    fn has_newer(&self) -> bool {
        lock(&self.letter).is_some()
    }
}

/// Why a desired state is not acted on.
enum NotAccepted {
    /// It is refused.
    Refused(Refusal),
    /// Trust in its signer cannot be established now.
    Later(TrustFailure),
    /// The store cannot take it.
    Store(StoreError),
}

impl From<TrustFailure> for NotAccepted {
    fn from(failure: TrustFailure) -> Self {
        match failure.refusal() {
            Some(refusal) => Self::Refused(refusal),
            None => Self::Later(failure),
        }
    }
}

impl From<StoreError> for NotAccepted {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
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

    async fn open(&mut self, letter: Letter) {
        let mut failures = 0;
        let mut random = self.core.random();
        loop {
            match self.accept(&letter.bytes).await {
                Ok(accepted) => {
                    letter.receipt.taken();
                    return self.carry_out(accepted).await;
                }
                Err(NotAccepted::Refused(refusal)) => {
                    letter.receipt.taken();
                    return self.core.refuse(refusal);
                }
                Err(NotAccepted::Store(error)) => {
                    // Not taken: it comes again with the next connection, when the disk may be well.
                    return tracing::error!(%error, "a desired state cannot be taken");
                }
                Err(NotAccepted::Later(failure)) => {
                    failures += 1;
                    if failures >= TRUST_TRIES || self.inbox.has_newer() {
                        return tracing::warn!(%failure, "a desired state is left: its signer cannot be verified now");
                    }
                    tokio::time::sleep(self.core.config.backoff.delay(failures, &mut random)).await;
                }
            }
        }
    }

    async fn accept(&self, bytes: &Bytes) -> Result<Accepted, NotAccepted> {
        let keys = self.core.deployer_keys().await?;
        match self.verify(bytes, &keys)? {
            Ok(accepted) => self.keep(bytes, accepted),
            // The deployer's key may have been rotated since: the release keys know.
            Err(refusal) if refusal.attack == Attack::WrongKey => {
                self.core.renew_trust().await?;
                let keys = self.core.deployer_keys().await?;
                let accepted = self.verify(bytes, &keys)?.map_err(NotAccepted::Refused)?;
                self.keep(bytes, accepted)
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
    fn keep(&self, bytes: &Bytes, accepted: Accepted) -> Result<Accepted, NotAccepted> {
        if accepted.news == News::Fresh {
            let store = self.core.store();
            store.keep_desired(bytes)?;
            store.raise_floors(&accepted.floors())?;
        }
        let sequence = accepted.state.sequence;
        self.core.show(|status| status.desired_sequence = sequence);
        self.core
            .set_traceparent(accepted.state.traceparent.clone());
        Ok(accepted)
    }

    async fn carry_out(&mut self, accepted: Accepted) {
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

    /// One update for each model at a time: a job for the same try goes on or has ended; another one is told to stop.
    fn set_going(&mut self, wanted: &DesiredModel, order: Order) {
        let what = (wanted.assignment, wanted.attempt);
        let before = match self.jobs.remove(&wanted.model) {
            Some(job) if job.what == what => {
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

/// The digest by which a stored desired state is recognised.
pub(super) fn letter(bytes: Vec<u8>) -> Letter {
    tracing::debug!(envelope = %Digest::of(&bytes), "resuming the last accepted desired state");
    Letter {
        bytes: bytes.into(),
        receipt: Receipt::none(),
    }
}
