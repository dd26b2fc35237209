//! What was seen already: nothing below it is accepted again.

use std::collections::BTreeMap;

use espalier_protocol::{Digest, ModelName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Lower bounds that only ever rise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floors {
    /// The sequence of the last accepted desired state; 0 before the first.
    pub desired_sequence: u64,
    /// The digest of its envelope, so that the same one delivered again is told from a replay.
    pub desired_envelope: Option<Digest>,
    /// The latest time that the deployer signed: a clock that shows less is wrong.
    pub time: Timestamp,
    /// For each model the highest release counter that the device was told to install.
    pub counters: BTreeMap<ModelName, u64>,
}

impl Floors {
    /// The time to judge expiry by: the clock, unless it is behind what was signed. A clock that runs ahead raises no
    /// floor, so setting it right heals everything.
    #[must_use]
    pub fn now(&self, clock: Timestamp) -> Timestamp {
        clock.max(self.time)
    }

    /// The highest counter for a model.
    #[must_use]
    pub fn counter(&self, model: &ModelName) -> u64 {
        self.counters.get(model).copied().unwrap_or(0)
    }

    /// The higher of both, part by part.
    #[must_use]
    pub fn raised_to(mut self, other: &Self) -> Self {
        if other.desired_sequence > self.desired_sequence {
            self.desired_sequence = other.desired_sequence;
            self.desired_envelope = other.desired_envelope;
        }
        self.time = self.time.max(other.time);
        for (model, counter) in &other.counters {
            let floor = self.counters.entry(model.clone()).or_default();
            *floor = (*floor).max(*counter);
        }
        self
    }
}
