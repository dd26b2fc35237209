//! What the broker asks and tells the cloud.

use async_trait::async_trait;
use bytes::Bytes;
use espalier_protocol::DeviceIdentity;
use espalier_protocol::topic::Topic;

/// Whether a device may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Allow,
    /// It may not, for instance because its certificate is revoked. It is told no more than that.
    Refuse,
}

/// A message was not accepted: the device keeps it and sends it again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAccepted;

/// Decides about devices, and receives what they send.
///
/// The broker itself sees to the rest: a certificate of the right CA whose common name is the
/// client id, MQTT 5, our topic grammar with its directions, no wildcards, no retained messages or
/// wills from devices, sizes.
#[async_trait]
pub trait BrokerGuard: Send + Sync + 'static {
    /// Whether this device may connect. `serial` is its certificate's, in lower-case hexadecimal
    /// without leading zeros.
    async fn authenticate(&self, device: &DeviceIdentity, serial: &str) -> Admission;

    /// Whether one device may speak and listen for another, as a gateway does for those behind it.
    /// Never asked about a device itself.
    async fn speaks_for(&self, connected: &DeviceIdentity, device: &DeviceIdentity) -> bool;

    /// A message came from `connected` on an upward topic. The device's PUBACK waits for the
    /// answer, and its next messages with it: a slow answer slows that device down, and nobody
    /// else.
    async fn on_publish(
        &self,
        connected: &DeviceIdentity,
        topic: &Topic,
        payload: Bytes,
    ) -> Result<(), NotAccepted>;

    /// The device has connected; its subscriptions come next. A device that connects again without
    /// having been seen to disconnect is told a second time.
    async fn on_connected(&self, device: &DeviceIdentity);

    /// Two live agents connect as this device: one that a later start of it had replaced is here again. Told once, and
    /// anew when it is seen again.
    async fn on_cloned(&self, device: &DeviceIdentity);

    /// The device has no connection any more.
    async fn on_disconnected(&self, device: &DeviceIdentity);
}
