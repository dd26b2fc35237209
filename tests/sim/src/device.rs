//! One simulated device.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use espalier_link::{Backoff, Config, Deps, Engine, Identity, StateFolder, Status, Wish, enrol};
use espalier_protocol::claim::Claim;
use espalier_protocol::enrol::Role;
use espalier_protocol::inventory::Inventory;
use espalier_protocol::{DeviceClassName, DeviceName, Digest, ModelName};
use espalier_slots::{Disk, Files};
use jiff::Timestamp;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use ring::rand::SystemRandom;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::inference::Agreeable;

/// An enrolled device, on line or not. What it knows outlives its connection, as on a real one.
#[derive(Debug)]
pub struct Device {
    identity: Identity,
    state: StateFolder,
    seed: u64,
    online: Option<Online>,
}

#[derive(Debug)]
struct Online {
    status: watch::Receiver<Status>,
    cancel: CancellationToken,
    engine: JoinHandle<()>,
}

impl Device {
    /// Enrols a device with a claim, its state below `folder`. Its waiting is drawn from `seed`.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn enrol(
        claim: &Claim,
        name: DeviceName,
        class: DeviceClassName,
        folder: &Path,
        seed: u64,
    ) -> Result<Self> {
        let state = StateFolder::new(folder.join(name.as_str()));
        let wish = Wish {
            device: name,
            class,
            role: Role::Device,
            inventory: inventory(),
            development_trust: true,
            again: false,
        };
        let random = SystemRandom::new();
        let identity = enrol(disk(), &state, claim, &wish, now(), &random).await?;
        Ok(Self {
            identity,
            state,
            seed,
            online: None,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &DeviceName {
        &self.identity.device().device
    }

    /// Who it is, with its key and certificate.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where its state lies.
    #[must_use]
    pub fn state(&self) -> &StateFolder {
        &self.state
    }

    /// Goes on line; a device that is already stays.
    ///
    /// # Errors
    /// When its state cannot be used.
    pub fn go_online(&mut self) -> Result<()> {
        if self.online.is_some() {
            return Ok(());
        }
        let deps = Deps {
            clock: Arc::new(now),
            random: StdRng::seed_from_u64(self.seed),
            files: disk(),
            probe: Arc::new(Agreeable),
            inventory: inventory(),
        };
        let (engine, handle) = Engine::open(&self.state, self.identity.clone(), config(), deps)?;
        let cancel = CancellationToken::new();
        self.online = Some(Online {
            status: handle.status,
            engine: tokio::spawn(engine.run(cancel.clone())),
            cancel,
        });
        Ok(())
    }

    /// Goes off line in order.
    ///
    /// # Errors
    /// When it had panicked.
    pub async fn go_offline(&mut self) -> Result<()> {
        let Some(online) = self.online.take() else {
            return Ok(());
        };
        online.cancel.cancel();
        online.engine.await.context("a simulated device panicked")
    }

    /// Waits until the device's own view of itself is so.
    ///
    /// # Errors
    /// When it is not within `limit`, or the device is off line; with what it says of itself.
    pub async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        so: impl FnMut(&Status) -> bool,
    ) -> Result<()> {
        let name = self.name().clone();
        let online = self.online.as_mut();
        let status = &mut online
            .with_context(|| format!("{name} is off line"))?
            .status;
        let waited = timeout(limit, status.wait_for(so))
            .await
            .map(|seen| seen.is_ok());
        let seen = waited.unwrap_or(false);
        let status = status.borrow();
        anyhow::ensure!(
            seen,
            "waited {} s in vain for {what}: {status:?}",
            limit.as_secs()
        );
        Ok(())
    }

    /// Waits until it serves this bundle.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub async fn until_it_serves(
        &mut self,
        model: &ModelName,
        bundle: &Digest,
        limit: Duration,
    ) -> Result<()> {
        let what = format!("{} to serve {bundle}", self.name());
        self.until(&what, limit, |status| {
            status.models.iter().any(|slots| {
                slots.model == *model && slots.active.is_some_and(|active| active.bundle == *bundle)
            })
        })
        .await
    }
}

fn disk() -> Arc<dyn Files> {
    Arc::new(Disk)
}

fn inventory() -> Inventory {
    Inventory {
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        os: std::env::consts::OS.to_owned(),
        cpus: 1,
        ..Inventory::default()
    }
}

/// The agent's own, but for the longest wait: a fleet that was off line comes back within a test's patience.
fn config() -> Config {
    let backoff = Backoff {
        longest: Duration::from_secs(2),
        ..Backoff::default()
    };
    Config {
        backoff,
        ..Config::default()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the simulated device's clock is this machine's"
)]
fn now() -> Timestamp {
    Timestamp::now()
}
