//! The engine: turns signed desired states into serving bundles, and says what happened.
//!
//! One loop carries messages and reports; one desk opens desired states; each model has at most one job. What they share
//! is durable before it is acted on, so the agent may be killed at any moment and begins again where the slots say.

mod core;
mod fetch;
mod orders;
mod renewal;
mod reporter;
mod requirements;
mod serving;
mod start;
mod status;
mod trust;
mod update;

use std::sync::Arc;

use bytes::Bytes;
use espalier_protocol::Incarnation;
use espalier_protocol::claim::Uplink as Way;
use espalier_protocol::enrol::Role;
use espalier_protocol::report::{Ack, Attack, Refusal};
use espalier_protocol::topic::Channel;
use espalier_slots::trust::{Recipient, open_ack};
use espalier_slots::{Store, StoreError};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub use self::reporter::ReportError;
pub use self::status::{ModelStatus, Status};

use self::core::{Core, Parts};
use self::orders::{Desk, Inbox, Letter};
use self::renewal::Renewal;
use self::reporter::{Keep, Reporter};
use crate::door::{Door, DoorError};
use crate::outbox::{Outbox, OutboxError, ReportId};
use crate::uplink::mqtt::{Caller, Mqtt, MqttError};
use crate::uplink::relay::Relay;
use crate::uplink::{Event, Receipt, Uplink};
use crate::{Children, Config, Deps, Identity, StateFolder};

/// Events that wait for the engine; a full channel slows the uplink down.
const EVENTS: usize = 64;
/// How often the engine looks whether something is due.
const BEAT: Duration = Duration::from_millis(500);
/// Refusals are reported at most this often: a flood of them must not fill the disk with reports.
const REFUSALS_EVERY: Duration = Duration::from_secs(1);

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The outbox cannot be used.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The door cannot be used.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The uplink cannot be used.
    #[error(transparent)]
    Mqtt(#[from] MqttError),
}

/// What the rest of the agent sees of a running engine.
#[derive(Clone)]
pub struct Handle {
    /// The state of conversation and slots, as it changes.
    pub status: watch::Receiver<Status>,
    /// The children of a gateway; `None` for a device.
    pub children: Option<Arc<Children>>,
    /// The way to metadata and bytes, for a gateway that fetches for its children.
    pub door: Door,
}

/// A device's side of the conversation with its fleet.
pub struct Engine {
    core: Arc<Core>,
    uplink: Arc<dyn Uplink>,
    events: mpsc::Receiver<Event>,
    children: Option<Arc<Children>>,
    identity: Identity,
    inbox: Arc<Inbox>,
    connected: bool,
    last_report: Instant,
    last_sent: Instant,
    /// Ends the uplink's task with the engine.
    stop: CancellationToken,
}

impl Engine {
    /// Opens the state folder of an enrolled device and starts its uplink. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When slots, outbox, certificates or addresses cannot be used. A network that is down is no error, nor are damaged
    /// floors or metadata: what is installed serves without them, and takes no update.
    pub fn open(
        state: &StateFolder,
        identity: Identity,
        config: Config,
        mut deps: Deps,
    ) -> Result<(Self, Handle), EngineError> {
        let store = Store::open(deps.files.clone(), &state.store())?;
        let outbox = Outbox::open(deps.files.clone(), &state.outbox())?;
        let boot = outbox.boot();
        let incarnation = Incarnation::from_bytes(deps.random.random());
        let door = Door::open(&identity)?;
        let (events_in, events) = mpsc::channel(EVENTS);
        let stop = CancellationToken::new();
        let uplink = start_uplink(
            &identity,
            incarnation,
            &config,
            &door,
            &mut deps.random,
            events_in,
            &stop,
        )?;
        let children = (identity.facts().role == Role::Gateway).then(|| {
            Arc::new(Children::new(
                identity.device().clone(),
                boot,
                uplink.clone(),
            ))
        });
        let (status, seen) = watch::channel(Status::new(
            identity.device().clone(),
            identity.certificate().until(),
        ));
        let reporter = Reporter::new(
            identity.clone(),
            incarnation,
            outbox,
            deps.inventory.clone(),
            StdRng::from_rng(&mut deps.random),
        );
        let core = Arc::new(Core::new(Parts {
            config,
            clock: deps.clock,
            probe: deps.probe,
            door: door.clone(),
            inventory: deps.inventory,
            store,
            reporter,
            random: deps.random,
            status,
        }));
        let engine = Self {
            core,
            uplink,
            events,
            children: children.clone(),
            identity,
            inbox: Arc::default(),
            connected: false,
            last_report: Instant::now(),
            last_sent: Instant::now(),
            stop,
        };
        let handle = Handle {
            status: seen,
            children,
            door,
        };
        Ok((engine, handle))
    }

    /// Serves what was active, takes up what was under way, and goes on until `cancel`.
    pub async fn run(mut self, cancel: CancellationToken) {
        let _stop_uplink = self.stop.clone().drop_guard();
        start::serve_all(&self.core).await;
        self.core.show_store();
        self.core.report(Keep::UntilAcknowledged);
        self.take_up();
        let desk = Desk::new(self.core.clone(), self.inbox.clone(), cancel.clone());
        let desk = tokio::spawn(desk.run());
        let renewal = Renewal::new(self.core.clone(), self.identity.clone());
        let both = async { tokio::join!(self.converse(), renewal.run()) };
        cancel.run_until_cancelled(both).await;
        // A desk that panicked has said so; what it did is on the disk.
        let _ended = desk.await;
    }

    /// Goes on with the last accepted desired state. A damaged one is forgotten: the cloud has it and sends it again.
    fn take_up(&self) {
        let kept = self.core.store().desired();
        match kept {
            Ok(Some(desired)) => self.inbox.put(orders::letter(desired)),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "the last desired state cannot be read; it is waited for");
            }
        }
    }

    async fn converse(&mut self) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let core = self.core.clone();
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.event(event),
                    // The uplink's task is gone, which only cancellation brings about.
                    None => return,
                },
                () = core.outgoing.notified() => self.send_outgoing(),
                _ = beat.tick() => self.beat(),
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Connected => self.connected(),
            Event::Disconnected(reason) => {
                tracing::warn!(%reason, "not connected");
                self.connected = false;
                self.core.show(|status| {
                    status.connected = false;
                    status.disconnected_because = Some(reason);
                });
            }
            Event::Unheard(child) => {
                if let Some(children) = &self.children {
                    children.forget(&child);
                }
            }
            Event::Message {
                to,
                channel,
                bytes,
                receipt,
            } if to == *self.identity.device() => {
                self.message(channel, bytes, receipt);
            }
            Event::Message {
                to,
                channel,
                bytes,
                receipt,
            } => {
                if let Some(children) = &self.children {
                    children.deliver(&to, channel, bytes);
                }
                receipt.taken();
            }
        }
    }

    fn connected(&mut self) {
        tracing::info!("connected");
        self.connected = true;
        self.core.show(|status| status.connected = true);
        self.send_waiting();
        self.report(Keep::No);
    }

    fn message(&mut self, channel: Channel, bytes: Bytes, receipt: Receipt) {
        match channel {
            Channel::Desired => self.inbox.put(Letter { bytes, receipt }),
            Channel::Ack => {
                self.acknowledged(&bytes);
                receipt.taken();
            }
            // Nobody sends reports down.
            Channel::Report => receipt.taken(),
        }
    }

    fn acknowledged(&self, bytes: &Bytes) {
        // Before the deployer's keys are known nothing can be believed; the report is then acknowledged again later.
        let Some(deployer) = self.core.deployer() else {
            return;
        };
        let opened = {
            let store = self.core.store();
            let Ok(floors) = store.floors() else { return };
            let recipient = Recipient {
                anchor: store.anchor(),
                keys: &deployer.keys,
                floors: &floors,
                clock: self.core.now(),
            };
            open_ack(bytes, &recipient)
        };
        match opened {
            Ok(ack) if ack.boot > self.core.reporter().boot() => self.core.refuse(cloned(&ack)),
            Ok(Ack { boot, seq, .. }) => self.free(ReportId { boot, seq }),
            Err(refusal) => self.core.refuse(refusal),
        }
    }

    fn free(&self, id: ReportId) {
        let mut reporter = self.core.reporter();
        if let Err(error) = reporter.acknowledge(id) {
            tracing::warn!(%error, "acknowledged reports could not be removed; they are sent again");
        }
        let waiting = reporter.waiting_count();
        drop(reporter);
        self.core.show(|status| status.reports_waiting = waiting);
    }

    fn beat(&mut self) {
        let rested = self.last_report.elapsed() >= REFUSALS_EVERY;
        if rested && self.core.reporter().has_refusals() {
            self.report(Keep::UntilAcknowledged);
        }
        if !self.connected {
            return;
        }
        if self.last_report.elapsed() >= self.core.config.heartbeat {
            self.report(Keep::No);
        }
        let overdue = self.last_sent.elapsed() >= self.core.config.resend_after;
        if overdue && self.core.reporter().waiting_count() > 0 {
            self.send_waiting();
        }
    }

    fn report(&mut self, keep: Keep) {
        self.last_report = Instant::now();
        self.core.report(keep);
    }

    fn send_outgoing(&mut self) {
        let reports = self.core.reporter().take_outgoing();
        // What must not be lost is in the outbox, and is sent with the next connection.
        if self.connected {
            self.send(reports);
        }
    }

    fn send_waiting(&mut self) {
        let reports = self.core.reporter().waiting();
        self.send(reports);
    }

    fn send(&mut self, reports: Vec<Bytes>) {
        self.last_sent = Instant::now();
        for report in reports {
            if self.uplink.send(self.identity.device(), report).is_err() {
                return;
            }
        }
    }
}

/// The cloud's own signature says that a start which this device never made has reported.
fn cloned(ack: &Ack) -> Refusal {
    Refusal {
        attack: Attack::ClonedIdentity,
        detail: format!(
            "the cloud acknowledges report {} of start {}, which this device has not made: another holds its key",
            ack.seq, ack.boot
        ),
    }
}

fn start_uplink(
    identity: &Identity,
    incarnation: Incarnation,
    config: &Config,
    door: &Door,
    random: &mut StdRng,
    events: mpsc::Sender<Event>,
    stop: &CancellationToken,
) -> Result<Arc<dyn Uplink>, EngineError> {
    let (backoff, random, stop) = (config.backoff, StdRng::from_rng(random), stop.clone());
    Ok(match &identity.facts().uplink {
        Way::Cloud { broker, .. } => {
            let caller = Caller {
                identity,
                incarnation,
            };
            Mqtt::start(&caller, broker, backoff, random, events, stop)?
        }
        Way::Gateway { .. } => {
            let device = identity.device().clone();
            Relay::start(device, door.clone(), backoff, random, events, stop)
        }
    })
}
