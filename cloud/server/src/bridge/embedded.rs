//! The broker in this process.

use async_trait::async_trait;
use bytes::Bytes;
use espalier_embedded::broker::{
    Admission, BrokerGuard, EmbeddedBroker, NotAccepted as Unaccepted,
};
use espalier_protocol::{DeviceIdentity, topic::Topic};

use super::{Alarm, CloneSign, Directory, Downlink, NotSent, Uplink};

/// Decides for the embedded broker from the records.
pub struct Doorkeeper {
    /// Who is enrolled.
    pub directory: Directory,
    /// Where reports go.
    pub uplink: Uplink,
    /// Raised when two take turns.
    pub alarm: Alarm,
}

#[async_trait]
impl BrokerGuard for Doorkeeper {
    async fn authenticate(&self, device: &DeviceIdentity, serial: &str) -> Admission {
        match self.directory.find(device).await {
            Ok(Some(known)) if known.admits(serial) => Admission::Allow,
            // While the database is away nobody new is let in; who is known stays in the directory.
            Ok(_) | Err(_) => Admission::Refuse,
        }
    }

    async fn speaks_for(&self, connected: &DeviceIdentity, device: &DeviceIdentity) -> bool {
        if connected.tenant != device.tenant {
            return false;
        }
        let behind = self.directory.find(device).await.ok().flatten();
        behind
            .is_some_and(|known| !known.barred && known.gateway.as_ref() == Some(&connected.device))
    }

    async fn on_publish(
        &self,
        _: &DeviceIdentity,
        topic: &Topic,
        payload: Bytes,
    ) -> Result<(), Unaccepted> {
        self.uplink
            .accept(topic, &payload)
            .await
            .map_err(|_| Unaccepted)
    }

    async fn on_connected(&self, device: &DeviceIdentity) {
        tracing::info!(%device, "a device connected");
    }

    async fn on_cloned(&self, device: &DeviceIdentity) {
        self.alarm.raise(device, CloneSign::TakesTurns);
    }

    async fn on_disconnected(&self, device: &DeviceIdentity) {
        tracing::info!(%device, "a device disconnected");
    }
}

/// The way down through the broker in this process.
pub struct EmbeddedLink(pub std::sync::Arc<EmbeddedBroker>);

#[async_trait]
impl Downlink for EmbeddedLink {
    async fn publish(&self, topic: &Topic, payload: Bytes, retained: bool) -> Result<(), NotSent> {
        self.0
            .publish(topic, payload, retained)
            .await
            .map_err(|error| NotSent::Refused(error.to_string()))
    }

    async fn kick(&self, device: &DeviceIdentity) {
        self.0.kick(device).await;
    }
}
