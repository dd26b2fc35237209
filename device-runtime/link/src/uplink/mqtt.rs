//! MQTT 5 over mutual TLS, straight to the broker.
//!
//! `rumqttc` reconnects at once and for ever, keeps 65,535 slots in flight unless told otherwise, and does not subscribe
//! again when the broker lost the session: waiting, limit and subscriptions are therefore ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use espalier_protocol::envelope::MAX_ENVELOPE_BYTES;
use espalier_protocol::incarnation::USER_PROPERTY;
use espalier_protocol::topic::{Channel, Topic};
use espalier_protocol::{DeviceIdentity, Incarnation};
use rand::rngs::StdRng;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Packet, Publish, SubAck};
use rumqttc::v5::{AsyncClient, Event as MqttEvent, EventLoop, MqttOptions};
use rumqttc::{Outgoing, TlsConfiguration, Transport};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::subscriptions::Subscriptions;
use super::{Event, NotConnected, Receipt, Uplink};
use crate::tls::{self, TlsError};
use crate::{Backoff, Identity};

/// Reports that wait for the broker's PUBACK at a time.
const IN_FLIGHT: u16 = 16;
/// Messages that the broker may send before the engine took earlier ones.
const RECEIVE_MAXIMUM: u16 = 64;
/// Requests that wait for the connection's task.
const QUEUE: usize = 256;
/// How long the broker keeps the session of a device that is away; longer and the retained messages do.
const SESSION_SECONDS: u32 = 3600;
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Why the uplink cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum MqttError {
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The broker's address is not one.
    #[error("`{0}` is not a broker's address: mqtts://HOST:PORT is needed")]
    Address(Url),
}

/// Who connects.
pub struct Caller<'a> {
    /// The device.
    pub identity: &'a Identity,
    /// Which start of it.
    pub incarnation: Incarnation,
}

/// The uplink of a device that talks to the broker itself.
pub struct Mqtt {
    client: AsyncClient,
    connected: AtomicBool,
    subscriptions: Subscriptions,
}

impl Mqtt {
    /// Starts the conversation; events come by `events` until `cancel`.
    ///
    /// # Errors
    /// When address or certificates cannot be used. A broker that cannot be reached is no error: it is tried again.
    pub fn start(
        caller: &Caller<'_>,
        broker: &Url,
        backoff: Backoff,
        random: StdRng,
        events: mpsc::Sender<Event>,
        cancel: CancellationToken,
    ) -> Result<Arc<Self>, MqttError> {
        let (client, eventloop) = AsyncClient::new(options(caller, broker)?, QUEUE);
        let uplink = Arc::new(Self {
            client,
            connected: AtomicBool::new(false),
            subscriptions: Subscriptions::new(caller.identity.device().clone()),
        });
        let conversation = Conversation {
            uplink: uplink.clone(),
            eventloop,
            events,
            backoff,
            random,
            failures: 0,
            told: None,
        };
        let asking = uplink.clone();
        tokio::spawn(async move {
            let both = async {
                tokio::select! {
                    () = conversation.run() => {}
                    () = asking.subscriptions.keep_asking(&asking.client) => {}
                }
            };
            cancel.run_until_cancelled(both).await;
        });
        Ok(uplink)
    }
}

impl Uplink for Mqtt {
    fn send(&self, from: &DeviceIdentity, report: Bytes) -> Result<(), NotConnected> {
        if !self.connected.load(Ordering::Acquire) {
            return Err(NotConnected);
        }
        let topic = Topic::new(from.clone(), Channel::Report).to_string();
        self.client
            .try_publish(topic, QoS::AtLeastOnce, false, report)
            .map_err(|_| NotConnected)
    }

    fn listen(&self, child: &DeviceIdentity) {
        self.subscriptions.want(child);
    }
}

fn options(caller: &Caller<'_>, broker: &Url) -> Result<MqttOptions, MqttError> {
    let Caller {
        identity,
        incarnation,
    } = caller;
    let address = || MqttError::Address(broker.clone());
    if broker.scheme() != "mqtts" {
        return Err(address());
    }
    let host = broker.host_str().ok_or_else(address)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = broker.port().unwrap_or(8883);
    let mut options = MqttOptions::new(identity.device().to_string(), host, port);
    options
        .set_transport(Transport::tls_with_config(TlsConfiguration::from(
            tls::broker_client(identity)?,
        )))
        .set_keep_alive(KEEP_ALIVE)
        .set_clean_start(false)
        .set_session_expiry_interval(Some(SESSION_SECONDS))
        .set_receive_maximum(Some(RECEIVE_MAXIMUM))
        .set_user_properties(vec![(USER_PROPERTY.to_owned(), incarnation.to_string())])
        .set_max_packet_size(Some(MAX_ENVELOPE_BYTES as u32 + 4096))
        .set_manual_acks(true)
        .set_connection_timeout(10)
        .set_outgoing_inflight_upper_limit(IN_FLIGHT);
    Ok(options)
}

struct Conversation {
    uplink: Arc<Mqtt>,
    eventloop: EventLoop,
    events: mpsc::Sender<Event>,
    backoff: Backoff,
    random: StdRng,
    failures: u32,
    /// Why there is no connection, as the engine knows it.
    told: Option<String>,
}

impl Conversation {
    async fn run(mut self) {
        // The engine is gone when nobody takes events any more.
        while !self.events.is_closed() {
            match self.eventloop.poll().await {
                Ok(MqttEvent::Incoming(packet)) => self.incoming(packet).await,
                Ok(MqttEvent::Outgoing(Outgoing::Subscribe(packet))) => {
                    self.uplink.subscriptions.sent(packet);
                }
                Ok(MqttEvent::Outgoing(_)) => {}
                Err(error) => self.broken(error.to_string()).await,
            }
        }
    }

    async fn incoming(&mut self, packet: Packet) {
        match packet {
            Packet::ConnAck(ack) => self.connected(&ack).await,
            Packet::Publish(publish) => self.message(publish).await,
            Packet::SubAck(ack) => self.subscribed(&ack).await,
            Packet::Disconnect(reason) => {
                tracing::warn!(?reason.reason_code, "the broker ends the connection")
            }
            _ => {}
        }
    }

    async fn connected(&mut self, ack: &ConnAck) {
        self.failures = 0;
        self.told = None;
        self.uplink.connected.store(true, Ordering::Release);
        self.uplink.subscriptions.connected(ack.session_present);
        self.tell(Event::Connected).await;
    }

    async fn broken(&mut self, reason: String) {
        self.failures = self.failures.saturating_add(1);
        self.uplink.subscriptions.disconnected();
        self.uplink.connected.store(false, Ordering::Release);
        // First a connection ends, and then the broker says why there is no other: both are news.
        if self.told.as_ref() != Some(&reason) {
            self.told = Some(reason.clone());
            self.tell(Event::Disconnected(reason)).await;
        }
        tokio::time::sleep(self.backoff.delay(self.failures, &mut self.random)).await;
    }

    async fn message(&mut self, publish: Publish) {
        let topic = String::from_utf8_lossy(&publish.topic).parse::<Topic>();
        let client = self.uplink.client.clone();
        let bytes = publish.payload.clone();
        let receipt = Receipt::new(move || {
            if let Err(error) = client.try_ack(&publish) {
                tracing::debug!(%error, "a message stays unacknowledged and will come again");
            }
        });
        match topic {
            Ok(Topic { identity, channel }) if channel.is_down() => {
                let message = Event::Message {
                    to: identity,
                    channel,
                    bytes,
                    receipt,
                };
                self.tell(message).await;
            }
            // Nobody subscribed to this; it must not come again either.
            _ => receipt.taken(),
        }
    }

    async fn subscribed(&mut self, ack: &SubAck) {
        let (backoff, random) = (self.backoff, &mut self.random);
        let rest = |refusals| backoff.delay(refusals, random);
        let given_up = self.uplink.subscriptions.answered(ack, rest);
        for child in given_up {
            self.tell(Event::Unheard(child)).await;
        }
    }

    async fn tell(&mut self, event: Event) {
        // An engine that is gone needs no events; the loop ends by itself.
        let _gone = self.events.send(event).await;
    }
}
