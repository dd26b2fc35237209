//! `espalier-agent enrol`: a claim file becomes an identity.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};
use espalier_link::{StateFolder, Wish, enrol};
use espalier_protocol::{
    DeviceClassName, DeviceName,
    claim::{Claim, MAX_CLAIM_BYTES},
    enrol::Role,
};
use espalier_slots::Disk;
use ring::rand::SystemRandom;

use crate::{config::Config, inventory, lock::StateLock, now};

/// Enrol this device with a claim file, once. Safe to repeat after a cut; after its certificate ended it gets a new one.
#[derive(Debug, clap::Args)]
pub struct Enrol {
    /// The claim file, as `espalier claim create` wrote it
    #[arg(long, value_name = "FILE")]
    claim: PathBuf,
    /// The device's name, 1 to 63 of a-z, 0-9 and inner hyphens
    #[arg(long)]
    name: DeviceName,
    /// The device class: which builds it takes
    #[arg(long)]
    class: DeviceClassName,
    /// What it is in its site
    #[arg(long, value_enum, default_value = "device")]
    role: RoleName,
    /// Ask although the device holds a certificate: the cloud may not know it any more, after its database was restored
    #[arg(long)]
    again: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RoleName {
    /// Serves itself
    Device,
    /// Also relays for the devices behind it
    Gateway,
}

impl Enrol {
    /// Enrols.
    ///
    /// # Errors
    /// Why not; trying again is safe.
    pub async fn run(self, config: &Config) -> Result<()> {
        let _lock = StateLock::take(&config.state)?;
        let claim = read_claim(&self.claim)?;
        let wish = Wish {
            device: self.name,
            class: self.class,
            role: match self.role {
                RoleName::Device => Role::Device,
                RoleName::Gateway => Role::Gateway,
            },
            inventory: inventory::look(&config.state, &config.providers),
            development_trust: config.development_trust,
            again: self.again,
        };
        let state = StateFolder::new(&config.state);
        let identity = enrol(
            Arc::new(Disk),
            &state,
            &claim,
            &wish,
            now(),
            &SystemRandom::new(),
        )
        .await?;
        let facts = identity.facts();
        println!(
            "enrolled as {} (class {}, {} keys); its certificate ends at {} and is renewed before",
            facts.identity,
            facts.class,
            facts.trust,
            identity.certificate().until()
        );
        Ok(())
    }
}

fn read_claim(path: &std::path::Path) -> Result<Claim> {
    let named = || format!("the claim {} cannot be used", path.display());
    let size = std::fs::metadata(path).with_context(named)?.len();
    anyhow::ensure!(
        size <= MAX_CLAIM_BYTES as u64,
        "{}: it has {size} bytes, and a claim has {MAX_CLAIM_BYTES} at most",
        named()
    );
    Claim::parse(&std::fs::read(path).with_context(named)?).with_context(named)
}
