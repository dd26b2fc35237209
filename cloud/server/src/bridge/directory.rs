//! Which devices are enrolled: a cache before the database, because every report and every connection
//! asks, and because devices that are known must be served while the database is away.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, RwLock},
    time::{Duration, Instant},
};

use espalier_domain::device::Device;
use espalier_protocol::{DeviceIdentity, DeviceName, enrol::Role, trust::PublicKey};
use espalier_store::Store;

use crate::refusal::{Outcome, Refusal};

/// How long what was read is believed without asking again: how late a revocation by another process
/// may be noticed.
const FRESH: Duration = Duration::from_secs(10);
/// The most entries; stops a flood of made-up names from filling memory.
const MOST: usize = 200_000;

/// What the records say of a device, as far as doors and bridge need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Signs its reports.
    pub public_key: PublicKey,
    /// What it is in its site.
    pub role: Role,
    /// The gateway that it lives behind.
    pub gateway: Option<DeviceName>,
    /// It may not speak: it was revoked, or is in quarantine.
    pub barred: bool,
    serials: Vec<String>,
}

impl Known {
    /// Whether a certificate with this serial number (hex) opens doors.
    #[must_use]
    pub fn admits(&self, serial: &str) -> bool {
        !self.barred && self.serials.iter().any(|known| known == serial)
    }
}

/// The cache.
#[derive(Clone)]
pub struct Directory {
    database: Arc<OnceLock<Store>>,
    entries: Arc<RwLock<HashMap<DeviceIdentity, Entry>>>,
}

#[derive(Clone)]
struct Entry {
    known: Known,
    read_at: Instant,
}

impl Directory {
    /// An empty directory before a database.
    #[must_use]
    pub fn new(database: Arc<OnceLock<Store>>) -> Self {
        Self {
            database,
            entries: Arc::default(),
        }
    }

    /// A device, if it is enrolled.
    ///
    /// # Errors
    /// `database_unavailable` for a device that is not remembered.
    pub async fn find(&self, identity: &DeviceIdentity) -> Outcome<Option<Known>> {
        let remembered = self.remembered(identity);
        if let Some(entry) = remembered
            .as_ref()
            .filter(|entry| entry.read_at.elapsed() < FRESH)
        {
            return Ok(Some(entry.known.clone()));
        }
        match (self.read(identity).await, remembered) {
            (Ok(found), _) => Ok(found),
            // Better an old answer about an enrolled device than none while the database is away.
            (Err(_), Some(entry)) => Ok(Some(entry.known)),
            (Err(refusal), None) => Err(refusal),
        }
    }

    /// Forgets a device: its records have changed.
    pub fn forget(&self, identity: &DeviceIdentity) {
        self.entries
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(identity);
    }

    fn remembered(&self, identity: &DeviceIdentity) -> Option<Entry> {
        self.entries
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get(identity)
            .cloned()
    }

    async fn read(&self, identity: &DeviceIdentity) -> Outcome<Option<Known>> {
        let store = self.database.get().ok_or_else(Refusal::no_database_yet)?;
        let Some(device) = store.devices().find(identity).await? else {
            self.forget(identity);
            return Ok(None);
        };
        let serials = store
            .devices()
            .certificates(identity)
            .await?
            .into_iter()
            .map(|record| record.serial)
            .collect();
        let known = known(device, serials);
        self.remember(identity, &known);
        Ok(Some(known))
    }

    fn remember(&self, identity: &DeviceIdentity, known: &Known) {
        let mut entries = self
            .entries
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if entries.len() >= MOST {
            entries.clear();
        }
        entries.insert(
            identity.clone(),
            Entry {
                known: known.clone(),
                read_at: Instant::now(),
            },
        );
    }
}

fn known(device: Device, serials: Vec<String>) -> Known {
    Known {
        public_key: device.public_key,
        role: device.role,
        gateway: device.gateway,
        barred: device.standing.is_barred(),
        serials,
    }
}
