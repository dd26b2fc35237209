//! Taking reports in: in batches, in any order, as often as they come.

mod take_in;

use espalier_domain::assignment::Applied;
use espalier_domain::observation::{Freshness, Observation};
use espalier_protocol::DeviceIdentity;

use crate::{Store, StoreError};

/// Reports.
#[derive(Debug, Clone, Copy)]
pub struct Reports<'a> {
    pub(crate) store: &'a Store,
}

/// What became of one report.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum TakenIn {
    /// It is stored, or something newer is. Only now may it be acknowledged.
    Stored {
        /// How it relates to the device's other reports.
        freshness: Freshness,
        /// What it did to the assignment that it speaks of. Nothing, when it speaks of none that the device has.
        applied: Option<Applied>,
    },
    /// Another start of the same number was heard before: two hold the device's key. Nothing of it is stored, and it
    /// must not be acknowledged.
    Cloned,
    /// The device is unknown or barred: nothing of it is stored, and it must not be acknowledged.
    NotADevice(DeviceIdentity),
}

impl Reports<'_> {
    /// Takes reports in, in one transaction; gives the outcomes in the same order.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is stored, and the devices will send again.
    pub async fn take_in(&self, observations: &[Observation]) -> Result<Vec<TakenIn>, StoreError> {
        take_in::take_in(self.store, observations).await
    }
}
