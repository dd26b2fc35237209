//! Where an answer was computed.

use serde::{Deserialize, Serialize};

/// The tiers of the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// On the device that asked, or one like it.
    Device,
    /// On the gateway in front of the devices.
    Gateway,
    /// On the cloud's host, by the full model.
    Cloud,
}

/// Which process computed an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its tier.
    pub tier: Tier,
    /// Its name there: the device's identity, or the host's.
    pub name: String,
}
