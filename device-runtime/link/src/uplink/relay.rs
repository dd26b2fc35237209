//! Through a gateway on the LAN: HTTPS with the device's own certificate, a long poll down and one request for each report up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use espalier_protocol::DeviceIdentity;
use espalier_protocol::topic::Channel;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Event, NotConnected, Receipt, Uplink};
use crate::Backoff;
use crate::door::{Door, DoorError};
use crate::relay::Down;

/// How long the gateway may hold a question for news.
const WAIT: Duration = Duration::from_secs(25);
/// Reports that wait for the gateway.
const QUEUE: usize = 64;

/// The uplink of a device behind a gateway.
pub struct Relay {
    connected: Arc<AtomicBool>,
    reports: mpsc::Sender<Bytes>,
}

impl Relay {
    /// Starts the conversation; events come by `events` until `cancel`.
    pub fn start(
        device: DeviceIdentity,
        door: Door,
        backoff: Backoff,
        random: StdRng,
        events: mpsc::Sender<Event>,
        cancel: CancellationToken,
    ) -> Arc<Self> {
        let (reports, queue) = mpsc::channel(QUEUE);
        let connected = Arc::new(AtomicBool::new(false));
        let down = Listening {
            device: device.clone(),
            door: door.clone(),
            events,
            connected: connected.clone(),
            backoff,
            random,
            seen: Down::default(),
            told: None,
        };
        tokio::spawn(async move {
            cancel
                .run_until_cancelled(async {
                    tokio::join!(down.run(), send_reports(device, door, queue))
                })
                .await;
        });
        Arc::new(Self { connected, reports })
    }
}

impl Uplink for Relay {
    fn send(&self, _from: &DeviceIdentity, report: Bytes) -> Result<(), NotConnected> {
        // A device behind a gateway has no children, so every report is its own.
        if !self.connected.load(Ordering::Acquire) {
            return Err(NotConnected);
        }
        self.reports.try_send(report).map_err(|_| NotConnected)
    }

    fn listen(&self, child: &DeviceIdentity) {
        tracing::warn!(%child, "a device behind a gateway cannot have children of its own");
    }
}

async fn send_reports(device: DeviceIdentity, door: Door, mut queue: mpsc::Receiver<Bytes>) {
    while let Some(report) = queue.recv().await {
        // The outbox sends it again, so one try is enough here.
        if let Err(error) = door.up(&device, report).await {
            tracing::debug!(%error, "a report did not reach the gateway");
        }
    }
}

struct Listening {
    device: DeviceIdentity,
    door: Door,
    events: mpsc::Sender<Event>,
    connected: Arc<AtomicBool>,
    backoff: Backoff,
    random: StdRng,
    seen: Down,
    /// Why there is no connection, as the engine knows it.
    told: Option<String>,
}

impl Listening {
    async fn run(mut self) {
        let mut failures = 0;
        while !self.events.is_closed() {
            match self
                .door
                .down(&self.device, self.seen.at, self.wait())
                .await
            {
                Ok(news) => {
                    failures = 0;
                    self.heard(news).await;
                }
                Err(error) => {
                    failures += 1;
                    self.broken(failures, &error).await;
                }
            }
        }
    }

    /// The first question is answered at once: until then nobody knows that there is a connection.
    fn wait(&self) -> Duration {
        if self.connected.load(Ordering::Acquire) {
            WAIT
        } else {
            Duration::ZERO
        }
    }

    async fn heard(&mut self, news: Down) {
        self.told = None;
        if !self.connected.swap(true, Ordering::AcqRel) {
            self.tell(Event::Connected).await;
        }
        let seen = std::mem::replace(&mut self.seen, news.clone());
        if news.desired != seen.desired
            && let Some(desired) = news.desired
        {
            self.deliver(Channel::Desired, desired).await;
        }
        for ack in news.acks {
            if !seen.acks.contains(&ack) {
                self.deliver(Channel::Ack, ack).await;
            }
        }
    }

    async fn deliver(&self, channel: Channel, bytes: Bytes) {
        let message = Event::Message {
            to: self.device.clone(),
            channel,
            bytes,
            receipt: Receipt::none(),
        };
        self.tell(message).await;
    }

    /// What was heard before is forgotten: a message that could not be acted on comes again with the next connection.
    async fn broken(&mut self, failures: u32, error: &DoorError) {
        self.seen = Down::default();
        self.connected.store(false, Ordering::Release);
        let reason = error.to_string();
        if self.told.as_ref() != Some(&reason) {
            self.told = Some(reason.clone());
            self.tell(Event::Disconnected(reason)).await;
        }
        tokio::time::sleep(self.backoff.delay(failures, &mut self.random)).await;
    }

    async fn tell(&self, event: Event) {
        // An engine that is gone needs no events; the loop ends by itself.
        let _gone = self.events.send(event).await;
    }
}
