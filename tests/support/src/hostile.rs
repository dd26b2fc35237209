//! A hostile broker: it shows a certificate of the right authority, as one who stole a door's key
//! can, and says to devices whatever the attacker likes.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use bytes::Bytes;
use espalier_embedded::broker::{
    Admission, BrokerConfig, BrokerGuard, EmbeddedBroker, NotAccepted,
};
use espalier_protocol::{DeviceIdentity, topic::Topic};
use espalier_trust::{
    ca::{DeviceCa, Validity},
    keys::{KeyFolder, KeyRole},
};
use jiff::{SignedDuration, Timestamp};
use ring::rand::SystemRandom;

/// The broker of an attacker.
pub struct HostileBroker(EmbeddedBroker);

impl HostileBroker {
    /// Starts one with a certificate made by the authority whose key was stolen from `cloud_state`.
    ///
    /// # Errors
    /// When the key cannot be stolen or the broker cannot start.
    pub async fn start(cloud_state: &Path, scratch: &Path, now: Timestamp) -> Result<Self> {
        let stolen = KeyFolder::new(cloud_state.join("keys"));
        let key = stolen
            .open(KeyRole::DeviceCa, None)
            .context("the authority's key cannot be stolen")?;
        let ca_file = stolen.path().join("device-ca.pem");
        let ca = DeviceCa::open(&std::fs::read_to_string(&ca_file)?, Arc::new(key))?;
        let day = SignedDuration::from_hours(24);
        let validity = Validity {
            not_before: now - day,
            not_after: now + day,
        };
        let certificate =
            ca.issue_server(&["127.0.0.1".to_owned()], validity, &SystemRandom::new())?;
        let (pem, key) = (scratch.join("hostile.pem"), scratch.join("hostile.key"));
        std::fs::write(&pem, &certificate.pem)?;
        std::fs::write(&key, &certificate.key_pem)?;
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = BrokerConfig {
            listen,
            certificate: pem,
            key,
            client_ca: ca_file,
            max_connections: 64,
        };
        Ok(Self(
            EmbeddedBroker::start(config, Arc::new(WelcomesAll)).await?,
        ))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Says something on a topic, and keeps saying it to whoever comes later.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn say(&self, topic: &Topic, message: Vec<u8>) -> Result<()> {
        Ok(self.0.publish(topic, message.into(), true).await?)
    }

    /// Whether this device is taken in by it.
    pub async fn has(&self, device: &DeviceIdentity) -> bool {
        self.0.connected().await.contains(device)
    }
}

struct WelcomesAll;

#[async_trait]
impl BrokerGuard for WelcomesAll {
    async fn authenticate(&self, _: &DeviceIdentity, _: &str) -> Admission {
        Admission::Allow
    }

    async fn speaks_for(&self, _: &DeviceIdentity, _: &DeviceIdentity) -> bool {
        true
    }

    /// Swallows every report: the device must keep it until its cloud has signed for it.
    async fn on_publish(&self, _: &DeviceIdentity, _: &Topic, _: Bytes) -> Result<(), NotAccepted> {
        Ok(())
    }

    async fn on_connected(&self, _: &DeviceIdentity) {}

    async fn on_cloned(&self, _: &DeviceIdentity) {}

    async fn on_disconnected(&self, _: &DeviceIdentity) {}
}
