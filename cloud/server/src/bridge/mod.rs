//! Between the broker and the cloud: what devices say comes up by one path, whichever broker carries
//! it, and what the cloud says goes down by one.

mod alarm;
mod directory;
mod embedded;
mod external;
mod uplink;

pub use alarm::{Alarm, Alarms, CloneSign, quarantine_clones};
pub use directory::{Directory, Known};
pub use embedded::{Doorkeeper, EmbeddedLink};
pub use external::{CLOUD_USER, ExternalLink, Identity};
pub use uplink::{NotAccepted, Queue, Uplink, store_reports};

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use espalier_protocol::{DeviceIdentity, topic::Topic};
use tokio::sync::watch;

/// A message that did not go out: it is sent again later.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// There is no broker now.
    #[error("there is no connection to the broker")]
    NoBroker,
    /// The broker did not take it.
    #[error("the broker did not take a message: {0}")]
    Refused(String),
}

/// The way down to devices.
#[async_trait]
pub trait Downlink: Send + Sync {
    /// Sends a message at least once.
    async fn publish(&self, topic: &Topic, payload: Bytes, retained: bool) -> Result<(), NotSent>;

    /// Ends a device's connection, where the broker lets us.
    async fn kick(&self, device: &DeviceIdentity);
}

/// The broker as it is now: there, gone, or there again.
///
/// Each time that it comes (again), its epoch grows: a broker that was away may have forgotten every
/// retained message, so all desired states are sent to it once more.
#[derive(Clone)]
pub struct Broker {
    now: watch::Sender<Connection>,
}

#[derive(Clone, Default)]
struct Connection {
    epoch: u64,
    link: Option<Arc<dyn Downlink>>,
}

impl Broker {
    /// No broker yet.
    #[must_use]
    pub fn absent() -> Self {
        Self {
            now: watch::Sender::default(),
        }
    }

    /// The broker is there.
    pub fn came(&self, link: Arc<dyn Downlink>) {
        self.now.send_modify(|now| {
            *now = Connection {
                epoch: now.epoch + 1,
                link: Some(link),
            }
        });
    }

    /// The broker is gone.
    pub fn went(&self) {
        self.now.send_modify(|now| now.link = None);
    }

    /// How often it came.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.now.borrow().epoch
    }

    fn link(&self) -> Result<Arc<dyn Downlink>, NotSent> {
        self.now.borrow().link.clone().ok_or(NotSent::NoBroker)
    }

    /// Sends a message at least once.
    ///
    /// # Errors
    /// [`NotSent`].
    pub async fn publish(
        &self,
        topic: &Topic,
        payload: Bytes,
        retained: bool,
    ) -> Result<(), NotSent> {
        self.link()?.publish(topic, payload, retained).await
    }

    /// Ends a device's connection, where there is a broker that lets us.
    pub async fn kick(&self, device: &DeviceIdentity) {
        if let Ok(link) = self.link() {
            link.kick(device).await;
        }
    }
}
