//! From a device's bytes to an observation in the store, and the signed word that it is there.
//!
//! `accept` is on the connection's path and does no I/O for a known device: it checks form and
//! signature and puts the report into a queue. `store_reports` empties the queue in batches; only
//! then is the device told, so that a crash in between costs a repetition and never a report.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use espalier_domain::observation::{Freshness, Observation, Position};
use espalier_protocol::{
    DeviceIdentity,
    envelope::Envelope,
    report::{Ack, Report},
    topic::{Channel, Topic},
};
use espalier_store::TakenIn;
use tokio::sync::mpsc;

use super::{CloneSign, Directory};
use crate::{
    cloud::Cloud,
    metrics::{Metrics, ReportLabels, ReportOutcome},
    refusal::{Outcome, Refusal},
    telemetry, usecase,
    world::World,
};

/// Reports that may wait to be stored: bounds memory when the database is slow.
const WAITING: usize = 4096;
/// The most reports in one transaction.
const BATCH: usize = 500;
/// How long a report may wait for company; most of a report's way home is elsewhere.
const LINGER: Duration = Duration::from_millis(10);
/// How long a device may be kept waiting for room in the queue.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause before a batch that could not be stored is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// A report could not be taken now; the device keeps it and sends it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAccepted;

/// Takes what devices say.
#[derive(Clone)]
pub struct Uplink {
    directory: Directory,
    queue: mpsc::Sender<Observation>,
    metrics: Arc<Metrics>,
    world: World,
}

/// Reports that wait to be stored.
pub type Queue = mpsc::Receiver<Observation>;

/// Why a report was not taken.
enum Judgement {
    /// It will never be taken.
    Refused(String),
    /// It cannot be judged now.
    Later,
}

impl Uplink {
    /// An uplink and the queue that it fills.
    #[must_use]
    pub fn new(directory: Directory, metrics: Arc<Metrics>, world: World) -> (Self, Queue) {
        let (queue, waiting) = mpsc::channel(WAITING);
        (
            Self {
                directory,
                queue,
                metrics,
                world,
            },
            waiting,
        )
    }

    /// Takes one message. What is refused for good is taken, too: to see it again would help nobody.
    ///
    /// # Errors
    /// [`NotAccepted`] when it cannot be taken now.
    pub async fn accept(&self, topic: &Topic, payload: &Bytes) -> Result<(), NotAccepted> {
        match self.judge(topic, payload).await {
            Ok(observation) => self.enqueue(observation).await,
            Err(Judgement::Refused(reason)) => {
                tracing::info!(device = %topic.identity, reason, "a message was refused");
                self.count(ReportOutcome::Refused);
                Ok(())
            }
            Err(Judgement::Later) => self.shed(),
        }
    }

    async fn judge(&self, topic: &Topic, payload: &[u8]) -> Result<Observation, Judgement> {
        if topic.channel != Channel::Report {
            return Err(refused("only reports go up"));
        }
        let envelope = Envelope::parse(payload).map_err(refused)?;
        let known = self
            .directory
            .find(&topic.identity)
            .await
            .map_err(|_| Judgement::Later)?;
        let known = known
            .filter(|device| !device.barred)
            .ok_or_else(|| refused("the device is unknown, revoked or in quarantine"))?;
        let key = known.public_key;
        let report: Report = envelope
            .open(|id| (key.id() == id).then_some(&key))
            .map_err(refused)?;
        Observation::from_report(report, &topic.identity, self.world.now()).map_err(refused)
    }

    async fn enqueue(&self, observation: Observation) -> Result<(), NotAccepted> {
        match tokio::time::timeout(PATIENCE, self.queue.send(observation)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => self.shed(),
        }
    }

    fn shed(&self) -> Result<(), NotAccepted> {
        self.count(ReportOutcome::Shed);
        Err(NotAccepted)
    }

    fn count(&self, outcome: ReportOutcome) {
        self.metrics
            .reports
            .get_or_create(&ReportLabels { outcome })
            .inc();
    }
}

fn refused(reason: impl std::fmt::Display) -> Judgement {
    Judgement::Refused(reason.to_string())
}

/// Stores reports in batches until the server drains, and tells each device what is stored.
pub async fn store_reports(cloud: Arc<Cloud>, mut queue: Queue) {
    loop {
        let batch = tokio::select! {
            batch = next_batch(&mut queue) => batch,
            () = cloud.stopping.cancelled() => return,
        };
        while let Err(refusal) = store(&cloud, &batch).await {
            let causes = refusal.causes();
            tracing::warn!(problem = %refusal, causes, "reports could not be stored; they are tried again");
            tokio::select! {
                () = tokio::time::sleep(RETRY_PAUSE) => {}
                // They were not acknowledged, so the devices still have them.
                () = cloud.stopping.cancelled() => return,
            }
        }
    }
}

/// At least one report; more when they come close together.
async fn next_batch(queue: &mut Queue) -> Vec<Observation> {
    let mut batch = Vec::new();
    queue.recv_many(&mut batch, BATCH).await;
    if (1..BATCH).contains(&batch.len()) {
        let room = BATCH - batch.len();
        // Nobody else in time: a batch of what there is.
        let _ = tokio::time::timeout(LINGER, queue.recv_many(&mut batch, room)).await;
    }
    batch
}

/// Stores one batch, and acknowledges what is stored.
async fn store(cloud: &Cloud, batch: &[Observation]) -> Outcome<()> {
    let began = Instant::now();
    let outcomes = cloud.store()?.reports().take_in(batch).await?;
    cloud
        .metrics
        .store_seconds
        .observe(began.elapsed().as_secs_f64());
    let mut stored = BTreeSet::new();
    for (observation, outcome) in batch.iter().zip(outcomes) {
        trace(observation, &outcome);
        cloud
            .metrics
            .reports
            .get_or_create(&ReportLabels {
                outcome: word(&outcome),
            })
            .inc();
        if let Some(sign) = clone_sign(observation, &outcome) {
            usecase::quarantine_device(cloud, &observation.device, sign).await?;
        }
        if let TakenIn::Stored { .. } = outcome {
            stored.insert((&observation.device, observation.position));
        }
    }
    for (device, position) in stored {
        acknowledge(cloud, device, position).await;
    }
    Ok(())
}

/// How a report gives away that two hold its device's key, if it does.
fn clone_sign(observation: &Observation, outcome: &TakenIn) -> Option<CloneSign> {
    match outcome {
        TakenIn::Cloned => Some(CloneSign::SameStart),
        TakenIn::Stored { .. } if observation.names_a_clone() => Some(CloneSign::OwnWord),
        TakenIn::Stored { .. } | TakenIn::NotADevice(_) => None,
    }
}

fn word(outcome: &TakenIn) -> ReportOutcome {
    match outcome {
        TakenIn::Stored {
            freshness: Freshness::New,
            ..
        } => ReportOutcome::Stored,
        TakenIn::Stored { .. } => ReportOutcome::Stale,
        TakenIn::Cloned | TakenIn::NotADevice(_) => ReportOutcome::Refused,
    }
}

/// The end of the trace that began with an operator's call.
fn trace(observation: &Observation, outcome: &TakenIn) {
    let Some(traceparent) = &observation.traceparent else {
        return;
    };
    let span =
        tracing::info_span!("device_report", device = %observation.device, outcome = ?outcome);
    telemetry::continue_trace(&span, traceparent);
    span.in_scope(|| tracing::debug!(step = ?observation.progress.as_ref().map(|p| &p.step), "a device reported"));
}

/// Names this report and no earlier one, which may have been lost on its way. An acknowledgement that gets lost is made
/// good by the next one: the device sends its report again.
async fn acknowledge(cloud: &Cloud, device: &DeviceIdentity, Position { boot, seq }: Position) {
    let ack = Ack {
        device: device.clone(),
        boot,
        seq,
    };
    let topic = Topic::new(device.clone(), Channel::Ack);
    let sent = async {
        let deployer = cloud
            .authority
            .deployers
            .by(cloud, &device.tenant, 0)
            .await?;
        let bytes = deployer.sign_ack(&ack).map_err(Refusal::internal)?;
        let published = cloud
            .broker
            .publish(&topic, Bytes::from(bytes), false)
            .await;
        published.map_err(Refusal::broker)
    };
    match sent.await {
        Ok(()) => drop(cloud.metrics.acks_published.inc()),
        Err(refusal) => {
            let causes = refusal.causes();
            tracing::debug!(%device, problem = %refusal, causes, "an acknowledgement did not go out");
        }
    }
}
