//! The way to the cloud and back, for signed bytes that nobody on it needs to read.
//!
//! Two kinds: [`mqtt`], and [`relay`] through a gateway on the LAN. Both deliver at least once and forget nothing that the
//! outbox or the broker's retained messages would not bring again.

pub mod mqtt;
pub mod relay;
mod subscriptions;

use std::fmt;

use bytes::Bytes;
use espalier_protocol::DeviceIdentity;
use espalier_protocol::topic::Channel;

/// Nothing can be sent now; a new [`Event::Connected`] says when it is worth trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no connection to the cloud now")]
pub struct NotConnected;

/// What an uplink tells the engine.
#[derive(Debug)]
pub enum Event {
    /// Messages can be sent from now on.
    Connected,
    /// They cannot, for this reason; the uplink tries again by itself.
    Disconnected(String),
    /// The broker does not let this gateway hear what comes down for a child; it is not asked for any more until
    /// somebody listens again.
    Unheard(DeviceIdentity),
    /// A message came down.
    Message {
        /// For whom: this device, or a child of it.
        to: DeviceIdentity,
        /// What it is.
        channel: Channel,
        /// The signed bytes.
        bytes: Bytes,
        /// To be called once the message needs not be delivered again.
        receipt: Receipt,
    },
}

/// Tells an uplink that a message was taken. One that is dropped unused lets the message come again.
pub struct Receipt(Option<Box<dyn FnOnce() + Send>>);

impl Receipt {
    /// A receipt that does `act`.
    pub(crate) fn new(act: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(act)))
    }

    /// A receipt for a message that needs none.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// The message was taken.
    pub fn taken(self) {
        if let Some(act) = self.0 {
            act();
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

/// The way up. Its events come by the channel that it was started with.
pub trait Uplink: Send + Sync {
    /// Sends a signed report of this device or of a child. It may be lost; the outbox sends it again.
    ///
    /// # Errors
    /// When it cannot be sent now.
    fn send(&self, from: &DeviceIdentity, report: Bytes) -> Result<(), NotConnected>;

    /// Listens to a child's topics too, now and after each reconnection, unless the broker refuses for good.
    fn listen(&self, child: &DeviceIdentity);
}
