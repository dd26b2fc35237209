//! Enrolment over HTTPS: `POST {door}/device/v1/enrol`, JSON both ways.

use serde::{Deserialize, Serialize};

use crate::{DeviceClassName, DeviceIdentity, DeviceName, inventory::Inventory};

/// The largest enrolment request in bytes.
pub const MAX_ENROL_BYTES: usize = 32 * 1024;

/// What a device asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The claim's secret.
    pub token: String,
    /// The wished name.
    pub device: DeviceName,
    /// The device's class.
    pub class: DeviceClassName,
    /// What it is.
    pub role: Role,
    /// PKCS#10 request in PEM; only its key is taken from it.
    pub csr_pem: String,
    /// Facts.
    pub inventory: Inventory,
}

/// What an agent is in its site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Serves itself; talks to the cloud or to a gateway.
    Device,
    /// Also relays for the devices behind it.
    Gateway,
}

/// What the cloud answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// Who the device is from now on.
    pub identity: DeviceIdentity,
    /// Its certificate, then the chain (PEM).
    pub certificate_pem: String,
    /// The gateway that the device was enrolled through, as the cloud has it on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<DeviceName>,
}
