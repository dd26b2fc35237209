//! Many simulated devices at once.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use espalier_protocol::claim::Claim;
use espalier_protocol::{DeviceClassName, Digest, ModelName};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::Device;

/// Devices that enrol at the same time.
const AT_ONCE: usize = 8;

/// Simulated devices of one class, `sim-1` and on.
#[derive(Debug)]
pub struct Fleet {
    devices: Vec<Device>,
}

impl Fleet {
    /// Enrols `count` devices with a claim that counts as many, their states below `folder`.
    ///
    /// # Errors
    /// When one is refused.
    pub async fn enrol(
        claim: &Claim,
        count: u64,
        class: &DeviceClassName,
        folder: &Path,
    ) -> Result<Self> {
        let devices = stream::iter(1..=count)
            .map(|number| async move {
                let name = format!("sim-{number}").parse()?;
                Device::enrol(claim, name, class.clone(), folder, number).await
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(Self { devices })
    }

    /// The devices.
    pub fn devices(&mut self) -> &mut [Device] {
        &mut self.devices
    }

    /// All go on line.
    ///
    /// # Errors
    /// When the state of one cannot be used.
    pub fn go_online(&mut self) -> Result<()> {
        self.devices.iter_mut().try_for_each(Device::go_online)
    }

    /// All go off line.
    ///
    /// # Errors
    /// When one had panicked.
    pub async fn go_offline(&mut self) -> Result<()> {
        for device in &mut self.devices {
            device.go_offline().await?;
        }
        Ok(())
    }

    /// Waits until each of them serves this bundle, for at most `limit` in all.
    ///
    /// # Errors
    /// When one does not; with what it says of itself.
    pub async fn until_all_serve(
        &mut self,
        model: &ModelName,
        bundle: &Digest,
        limit: Duration,
    ) -> Result<()> {
        let each = self
            .devices
            .iter_mut()
            .map(|device| device.until_it_serves(model, bundle, limit));
        futures::future::try_join_all(each).await.map(drop)
    }
}
