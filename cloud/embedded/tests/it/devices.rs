//! Devices that speak MQTT, and a cloud that remembers what the broker told it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use bytes::Bytes;
use espalier_embedded::broker::{Admission, BrokerGuard, NotAccepted};
use espalier_protocol::DeviceIdentity;
use espalier_protocol::envelope::MAX_ENVELOPE_BYTES;
use espalier_protocol::topic::{Channel, Topic};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode, LastWill, Packet, PubAckReason, Publish, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use rustls::ClientConfig;
use tokio::sync::{Notify, mpsc};

const PATIENCE: Duration = Duration::from_secs(20);

pub fn identity(text: &str) -> DeviceIdentity {
    text.parse().expect("an identity")
}

pub fn topic(device: &str, channel: Channel) -> Topic {
    Topic::new(identity(device), channel)
}

/// What the broker told the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Connected(String),
    Disconnected(String),
    Cloned(String),
    Published {
        from: String,
        topic: String,
        payload: Bytes,
    },
}

/// Admits all but the revoked serial numbers, and remembers.
pub struct Cloud {
    pub revoked: Mutex<HashSet<String>>,
    /// Ends the wait of whoever sent `slow`.
    pub slow: Notify,
    pub gateway: Option<(DeviceIdentity, DeviceIdentity)>,
    told: mpsc::UnboundedSender<Told>,
}

impl Cloud {
    pub fn new() -> (Arc<Self>, Ears) {
        Self::with_gateway(None)
    }

    pub fn with_gateway(gateway: Option<(DeviceIdentity, DeviceIdentity)>) -> (Arc<Self>, Ears) {
        let (told, heard) = mpsc::unbounded_channel();
        (
            Arc::new(Self {
                revoked: Mutex::default(),
                slow: Notify::new(),
                gateway,
                told,
            }),
            Ears(heard),
        )
    }

    fn tell(&self, told: Told) {
        // A test that has ended no longer listens.
        let _ = self.told.send(told);
    }
}

#[async_trait]
impl BrokerGuard for Cloud {
    async fn authenticate(&self, _device: &DeviceIdentity, serial: &str) -> Admission {
        let revoked = self
            .revoked
            .lock()
            .expect("no test panicked while it held this")
            .contains(serial);
        if revoked {
            Admission::Refuse
        } else {
            Admission::Allow
        }
    }

    async fn speaks_for(&self, connected: &DeviceIdentity, device: &DeviceIdentity) -> bool {
        self.gateway
            .as_ref()
            .is_some_and(|(gateway, child)| gateway == connected && child == device)
    }

    async fn on_publish(
        &self,
        connected: &DeviceIdentity,
        topic: &Topic,
        payload: Bytes,
    ) -> Result<(), NotAccepted> {
        match payload.as_ref() {
            b"not now" => return Err(NotAccepted),
            b"slow" => self.slow.notified().await,
            _ => {}
        }
        self.tell(Told::Published {
            from: connected.to_string(),
            topic: topic.to_string(),
            payload,
        });
        Ok(())
    }

    async fn on_connected(&self, device: &DeviceIdentity) {
        self.tell(Told::Connected(device.to_string()));
    }

    async fn on_cloned(&self, device: &DeviceIdentity) {
        self.tell(Told::Cloned(device.to_string()));
    }

    async fn on_disconnected(&self, device: &DeviceIdentity) {
        self.tell(Told::Disconnected(device.to_string()));
    }
}

/// Hears what the cloud was told.
pub struct Ears(mpsc::UnboundedReceiver<Told>);

impl Ears {
    pub async fn next(&mut self) -> Result<Told> {
        tokio::time::timeout(PATIENCE, self.0.recv())
            .await
            .context("nothing was told")?
            .context("the broker is gone")
    }
}

/// A connected device.
pub struct Device {
    client: AsyncClient,
    packets: mpsc::UnboundedReceiver<Packet>,
    life: tokio::task::JoinHandle<()>,
}

/// How a device introduces itself.
pub struct Introduction {
    pub client_id: String,
    pub tls: Arc<ClientConfig>,
    pub will: Option<LastWill>,
}

impl Device {
    /// Connects as the device that the certificate names.
    pub async fn connect(
        broker: SocketAddr,
        client_id: &str,
        tls: &Arc<ClientConfig>,
    ) -> Result<Self> {
        let introduction = Introduction {
            client_id: client_id.to_owned(),
            tls: tls.clone(),
            will: None,
        };
        Self::introduce(broker, introduction)
            .await
            .map_err(|error| anyhow::anyhow!("refused: {error:?}"))
    }

    /// Connects, or gives the reason why not.
    pub async fn introduce(
        broker: SocketAddr,
        introduction: Introduction,
    ) -> Result<Self, Box<ConnectionError>> {
        let mut options = MqttOptions::new(introduction.client_id, "localhost", broker.port());
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(
            introduction.tls,
        )));
        options.set_outgoing_inflight_upper_limit(16);
        options.set_max_packet_size(u32::try_from(2 * MAX_ENVELOPE_BYTES).ok());
        options.set_connection_timeout(PATIENCE.as_secs());
        if let Some(will) = introduction.will {
            options.set_last_will(will);
        }
        let (client, mut events) = AsyncClient::new(options, 16);
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(ack)))
                    if ack.code == ConnectReturnCode::Success =>
                {
                    break;
                }
                Ok(_) => {}
                Err(error) => return Err(Box::new(error)),
            }
        }
        let (seen, packets) = mpsc::unbounded_channel();
        let life = tokio::spawn(async move {
            while let Ok(event) = events.poll().await {
                if let Event::Incoming(packet) = event {
                    // Nobody listens to a device that was dropped.
                    let _ = seen.send(packet);
                }
            }
        });
        Ok(Self {
            client,
            packets,
            life,
        })
    }

    pub async fn subscribe(&mut self, filter: impl ToString) -> Result<SubscribeReasonCode> {
        self.client
            .subscribe(filter.to_string(), QoS::AtLeastOnce)
            .await?;
        loop {
            if let Packet::SubAck(ack) = self.packet().await? {
                return ack.return_codes.first().cloned().context("an answer");
            }
        }
    }

    pub async fn publish(
        &mut self,
        topic: impl ToString,
        payload: impl Into<Bytes>,
    ) -> Result<PubAckReason> {
        self.publish_with(topic, payload, false).await
    }

    pub async fn publish_with(
        &mut self,
        topic: impl ToString,
        payload: impl Into<Bytes>,
        retain: bool,
    ) -> Result<PubAckReason> {
        self.client
            .publish(topic.to_string(), QoS::AtLeastOnce, retain, payload)
            .await?;
        loop {
            if let Packet::PubAck(ack) = self.packet().await? {
                return Ok(ack.reason);
            }
        }
    }

    /// The next message for this device.
    pub async fn message(&mut self) -> Result<Publish> {
        loop {
            if let Packet::Publish(message) = self.packet().await? {
                return Ok(message);
            }
        }
    }

    /// Waits until the connection is gone.
    pub async fn ended(&mut self) -> Result<()> {
        tokio::time::timeout(PATIENCE, &mut self.life)
            .await
            .context("the connection stays")??;
        Ok(())
    }

    async fn packet(&mut self) -> Result<Packet> {
        match tokio::time::timeout(PATIENCE, self.packets.recv()).await {
            Ok(Some(packet)) => Ok(packet),
            Ok(None) => bail!("the connection is gone"),
            Err(_) => bail!("no answer"),
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.life.abort();
    }
}
