//! The MQTT broker in this process: mutual TLS, and rights by certificate.

mod guard;
mod hooks;
mod presence;
mod retained;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use espalier_protocol::DeviceIdentity;
use espalier_protocol::envelope::MAX_ENVELOPE_BYTES;
use espalier_protocol::topic::Topic;
use rmqtt::codec::types::{Publish, QoS};
use rmqtt::context::ServerContext;
use rmqtt::net::{Builder, Listener};
use rmqtt::server::MqttServer;
use rmqtt::session::SessionState;
use rmqtt::types::{From as Sender, Id};
use tokio::task::JoinHandle;

use hooks::Hooks;
use retained::RetainedMessages;

pub use guard::{Admission, BrokerGuard, NotAccepted};

/// Room for the topic and properties beside the largest payload. A larger packet ends its
/// connection unread.
const MAX_PACKET_BYTES: usize = MAX_ENVELOPE_BYTES + 1024;
/// A device's queue while it is away. What counts is retained or sent again, so it only has to
/// bridge a short absence.
const MAX_QUEUED_MESSAGES: usize = 100;
const MAX_SESSION: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_KEEP_ALIVE_SECONDS: u16 = 3600;
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// `espalier/v1/tenant/device/down/desired`.
const TOPIC_LEVELS: usize = 6;
/// `tenant/device`, 63 bytes each.
const MAX_CLIENT_ID_BYTES: usize = 127;

/// Where the broker listens, and who it is.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Where to listen. Port 0: any free port, see [`EmbeddedBroker::address`].
    pub listen: SocketAddr,
    /// The broker's certificate chain, PEM.
    pub certificate: PathBuf,
    /// The broker's private key, PEM.
    pub key: PathBuf,
    /// The CAs whose certificates devices connect with, PEM.
    pub client_ca: PathBuf,
    /// The most devices at once.
    pub max_connections: usize,
}

/// Why the broker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address is taken, or is none of this machine's.
    #[error(
        "the broker cannot listen on {address}: {reason}; \
         choose another address, or port 0 for any free port"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        reason: String,
    },
    /// A certificate or key cannot be read, or they do not belong together.
    #[error("the broker's TLS files cannot be used ({certificate}, {key}, {client_ca}): {reason}")]
    Tls {
        /// The certificate chain's file.
        certificate: String,
        /// The key's file.
        key: String,
        /// The file of the devices' CAs.
        client_ca: String,
        /// What is wrong.
        reason: String,
    },
    /// A message could not be handed to the broker.
    #[error("the broker did not take a message for {topic}: {reason}")]
    Publish {
        /// The topic.
        topic: String,
        /// What is wrong.
        reason: String,
    },
}

/// A running broker.
pub struct EmbeddedBroker {
    context: ServerContext,
    hooks: Hooks,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl EmbeddedBroker {
    /// Starts a broker; devices can connect when this returns.
    ///
    /// # Errors
    /// [`BrokerError`] when the address or the TLS files cannot be used.
    pub async fn start(
        config: BrokerConfig,
        guard: Arc<dyn BrokerGuard>,
    ) -> Result<Self, BrokerError> {
        let listener = listen(&config)?;
        let address = listener
            .local_addr()
            .map_err(|error| cannot_listen(&config, &error))?;
        // The broker's own measure of load refuses everybody on a busy machine.
        let context = ServerContext::new().busy_check_enable(false).build().await;
        *context.extends.retain_mut().await = Box::new(RetainedMessages::default());
        let hooks = Hooks::new(guard);
        hooks
            .clone()
            .install(context.extends.hook_mgr().register())
            .await;
        let server = MqttServer::new(context.clone())
            .listener_by_id(listener, address.port())
            .build();
        let accepting = tokio::spawn(async move {
            if let Err(error) = server.run().await {
                tracing::error!(%error, "the broker accepts no more connections");
            }
        });
        Ok(Self {
            context,
            hooks,
            address,
            accepting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The devices that are connected now.
    pub async fn connected(&self) -> Vec<DeviceIdentity> {
        self.hooks.connected().await
    }

    /// Sends a message, at least once, to whoever listens to its topic. A retained message is also
    /// for those who come later, until the next one; an empty one ends that.
    ///
    /// # Errors
    /// [`BrokerError::Publish`] when the payload is too large or the broker does not take it.
    pub async fn publish(
        &self,
        topic: &Topic,
        payload: Bytes,
        retained: bool,
    ) -> Result<(), BrokerError> {
        let not_taken = |reason: String| BrokerError::Publish {
            topic: topic.to_string(),
            reason,
        };
        if payload.len() > MAX_ENVELOPE_BYTES {
            return Err(not_taken(format!(
                "it has {} bytes, and at most {MAX_ENVELOPE_BYTES} are allowed",
                payload.len()
            )));
        }
        let message = Publish {
            dup: false,
            retain: retained,
            qos: QoS::AtLeastOnce,
            topic: topic.to_string().into(),
            packet_id: None,
            payload,
            properties: None,
        };
        let sender = Sender::from_system(self.id_of("espalier-cloud"));
        SessionState::forwards(&self.context, sender, message.into(), false, None)
            .await
            .map_err(|error| not_taken(error.to_string()))
    }

    /// Ends the device's connection and forgets its session. It may connect again, if it is still
    /// admitted.
    pub async fn kick(&self, device: &DeviceIdentity) {
        let mut entry = self
            .context
            .extends
            .shared()
            .await
            .entry(self.id_of(&device.to_string()));
        if let Err(error) = entry.kick(true, true, true).await {
            tracing::warn!(%device, %error, "a connection could not be ended");
        }
    }

    /// Accepts no more connections, and ends those there are.
    pub async fn stop(&self) {
        self.accepting.abort();
        let connected = self.connected().await;
        futures::future::join_all(connected.iter().map(|device| self.kick(device))).await;
    }

    fn id_of(&self, client: &str) -> Id {
        Id::new(self.context.node.id(), 0, None, None, client.into(), None)
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn listen(config: &BrokerConfig) -> Result<Listener, BrokerError> {
    let text = |path: &PathBuf| Some(path.to_string_lossy().into_owned());
    let bound = Builder::new()
        .name("espalier")
        .laddr(config.listen)
        // After a restart the old connections' last packets still occupy the port.
        .reuseaddr(Some(true))
        .nodelay(true)
        .tcp_keepalive(true)
        .max_connections(config.max_connections)
        .handshake_timeout(HANDSHAKE_PATIENCE)
        .max_packet_size(u32::try_from(MAX_PACKET_BYTES).unwrap_or(u32::MAX))
        .max_mqueue_len(MAX_QUEUED_MESSAGES)
        .max_clientid_len(MAX_CLIENT_ID_BYTES)
        .max_topic_levels(TOPIC_LEVELS)
        .max_qos_allowed(QoS::AtLeastOnce)
        .max_session_expiry_interval(MAX_SESSION)
        .max_keepalive(MAX_KEEP_ALIVE_SECONDS)
        .allow_zero_keepalive(false)
        // Otherwise a client without a user name is never asked who it is.
        .allow_anonymous(false)
        .tls_cross_certificate(true)
        .collect_cert_info(true)
        .tls_cert(text(&config.certificate))
        .tls_key(text(&config.key))
        .tls_client_ca_certs(text(&config.client_ca))
        .bind()
        .map_err(|error| cannot_listen(config, &error))?;
    bound.tls().map_err(|error| BrokerError::Tls {
        certificate: config.certificate.display().to_string(),
        key: config.key.display().to_string(),
        client_ca: config.client_ca.display().to_string(),
        reason: error.to_string(),
    })
}

fn cannot_listen(config: &BrokerConfig, error: &rmqtt::Error) -> BrokerError {
    let system = error.downcast_ref::<io::Error>().map(ToString::to_string);
    BrokerError::Listen {
        address: config.listen,
        reason: system.unwrap_or_else(|| error.to_string()),
    }
}
