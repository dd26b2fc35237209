//! A broker of somebody else's, reached as an MQTT 5 client with the cloud's own certificate.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use espalier_protocol::{
    DeviceIdentity,
    envelope::MAX_ENVELOPE_BYTES,
    topic::{PREFIX, Topic},
};
use rumqttc::{
    TlsConfiguration, Transport,
    v5::{
        AsyncClient, Event, EventLoop, MqttOptions,
        mqttbytes::{
            QoS,
            v5::{Packet, Publish},
        },
    },
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use url::Url;

use super::{Downlink, NotSent, Uplink};
use crate::{cloud::Cloud, readiness::Part, refusal::Refusal};

/// The cloud's client id.
const CLIENT_ID: &str = "espalier-cloud";
/// The user name under which a broker's rights name the cloud: the common name of its certificate.
pub const CLOUD_USER: &str = "Espalier cloud";
/// The port of MQTT over TLS.
const DEFAULT_PORT: u16 = 8883;
/// Messages that may wait for the connection's task.
const WAITING: usize = 64;
/// Messages on their way at once. rumqttc reserves memory for its default of 65,535.
const IN_FLIGHT: u16 = 64;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The broker keeps what devices say for so long while the cloud is away.
const SESSION_SECONDS: u32 = 24 * 3600;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What the cloud shows the broker, and whom it believes.
pub struct Identity {
    /// The authority that the broker's certificate must come from (PEM).
    pub ca_pem: String,
    /// The cloud's own certificate (PEM).
    pub certificate_pem: String,
    /// Its key (PEM).
    pub key_pem: String,
}

/// Why the connection cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A certificate or key that does not parse.
    #[error("a certificate or key for the broker cannot be read: {0}")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// They do not belong together.
    #[error("the certificate for the broker cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// No host in the address.
    #[error("the broker's address `{0}` names no host")]
    NoHost(Url),
}

/// The connection; it is kept up by [`ExternalLink::run`].
pub struct ExternalLink {
    client: AsyncClient,
    connection: EventLoop,
}

impl ExternalLink {
    /// Prepares a connection to `url`.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn new(url: &Url, identity: &Identity) -> Result<Self, IdentityError> {
        let host = url
            .host_str()
            .ok_or_else(|| IdentityError::NoHost(url.clone()))?;
        let mut options = MqttOptions::new(CLIENT_ID, host, url.port().unwrap_or(DEFAULT_PORT));
        options
            .set_transport(Transport::Tls(TlsConfiguration::Rustls(Arc::new(tls(
                identity,
            )?))))
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_start(false)
            .set_session_expiry_interval(Some(SESSION_SECONDS))
            .set_max_packet_size(Some(
                u32::try_from(MAX_ENVELOPE_BYTES + 1024).unwrap_or(u32::MAX),
            ))
            .set_outgoing_inflight_upper_limit(IN_FLIGHT)
            .set_manual_acks(true);
        let (client, connection) = AsyncClient::new(options, WAITING);
        Ok(Self { client, connection })
    }

    /// Keeps the connection up until the server drains, and hands what devices say to `uplink`.
    pub async fn run(mut self, cloud: Arc<Cloud>, uplink: Uplink) {
        let Cloud {
            broker,
            readiness,
            metrics,
            stopping,
            ..
        } = &*cloud;
        let mut pause = FIRST_PAUSE;
        loop {
            let event = tokio::select! {
                () = stopping.cancelled() => return,
                event = self.connection.poll() => event,
            };
            match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    pause = FIRST_PAUSE;
                    self.subscribe();
                    broker.came(Arc::new(Down(self.client.clone())));
                    readiness.up(Part::Broker, metrics);
                    cloud.bells.publish.notify_one();
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    take(&self.client, publish, &uplink).await
                }
                Ok(_) => {}
                Err(error) => {
                    broker.went();
                    readiness.down(Part::Broker, &Refusal::broker(error), metrics);
                    // rumqttc reconnects at once on the next poll; it must not hammer a broker that is down.
                    tokio::select! {
                        () = stopping.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Subscribing again is harmless, and needed when the broker forgot the session.
    fn subscribe(&self) {
        if let Err(error) = self
            .client
            .try_subscribe(format!("{PREFIX}/+/+/up/+"), QoS::AtLeastOnce)
        {
            tracing::warn!(%error, "the subscription to the devices' reports could not be sent");
        }
    }
}

/// Every message is acknowledged to the broker, whatever became of it: a report that was not stored is
/// not acknowledged to its device, which sends it again in its own time.
async fn take(client: &AsyncClient, publish: Publish, uplink: &Uplink) {
    let topic = std::str::from_utf8(&publish.topic)
        .ok()
        .and_then(|text| text.parse::<Topic>().ok());
    if let Some(topic) = topic {
        // Shed or refused: counted where it was decided.
        let _ = uplink.accept(&topic, &publish.payload).await;
    }
    if let Err(error) = client.try_ack(&publish) {
        tracing::warn!(%error, "a report could not be acknowledged to the broker; it will come again");
    }
}

struct Down(AsyncClient);

#[async_trait]
impl Downlink for Down {
    async fn publish(&self, topic: &Topic, payload: Bytes, retained: bool) -> Result<(), NotSent> {
        self.0
            .publish(topic.to_string(), QoS::AtLeastOnce, retained, payload)
            .await
            .map_err(|error| NotSent::Refused(error.to_string()))
    }

    /// MQTT has no way to end somebody else's connection; the broker's own revocation list does it.
    async fn kick(&self, device: &DeviceIdentity) {
        tracing::warn!(%device, "write the broker's configuration anew: only it can end this device's connection");
    }
}

fn tls(identity: &Identity) -> Result<ClientConfig, IdentityError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(identity.ca_pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())?;
    Ok(ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?)
}
