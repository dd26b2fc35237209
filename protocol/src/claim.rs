//! A claim: the right to enrol, and the first trust, carried to a device by file or QR code — never
//! over the channel that it protects.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{DeviceClassName, DeviceIdentity, Tenant, id::ClaimId, trust::TrustLevel};

/// The version of the format that this code writes.
pub const FORMAT: u32 = 1;
/// The largest claim file in bytes.
pub const MAX_CLAIM_BYTES: usize = 64 * 1024;

/// The content of a claim file (JSON).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The version of this format.
    pub format: u32,
    /// Its id, for the audit log.
    pub id: ClaimId,
    /// Where the device will belong.
    pub tenant: Tenant,
    /// The secret that the cloud checks; at most as many devices as the claim counts.
    pub token: String,
    /// Enrolment ends then.
    pub expires_at: Timestamp,
    /// The only class that may enrol with it, if it is bound to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<DeviceClassName>,
    /// How far the keys in it are to be trusted.
    pub trust: TrustLevel,
    /// The certificate authority of doors, broker and devices (PEM).
    pub ca_pem: String,
    /// The first TUF root, exactly as signed (JSON text).
    pub tuf_root: String,
    /// Whom the device talks to.
    pub uplink: Uplink,
}

/// Whom a device talks to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "via", rename_all = "lowercase")]
pub enum Uplink {
    /// The cloud itself.
    Cloud {
        /// The device door, `https://host:port/`.
        door: Url,
        /// The broker, `mqtts://host:port`.
        broker: Url,
        /// The only authority of the broker's certificate (PEM), where that is not the claim's `ca_pem`. It opens no
        /// other door.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        broker_ca_pem: Option<String>,
    },
    /// A gateway on the same network; the cloud's address stays unknown.
    Gateway {
        /// The gateway's LAN door, `https://host:port/`.
        door: Url,
        /// Whose certificate the door must show.
        gateway: DeviceIdentity,
    },
}

/// Why a claim file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Larger than [`MAX_CLAIM_BYTES`].
    #[error("the claim file has {0} bytes: at most {MAX_CLAIM_BYTES} are allowed")]
    TooLarge(usize),
    /// Not the JSON of a claim.
    #[error("the claim file cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A version from the future.
    #[error("the claim has format {0}: this version knows {FORMAT}; update the agent")]
    Format(u32),
}

impl Claim {
    /// Reads a claim file.
    ///
    /// # Errors
    /// Whatever makes it unusable, by name.
    pub fn parse(bytes: &[u8]) -> Result<Self, ClaimError> {
        if bytes.len() > MAX_CLAIM_BYTES {
            return Err(ClaimError::TooLarge(bytes.len()));
        }
        let claim: Self = serde_json::from_slice(bytes)?;
        if claim.format == FORMAT {
            Ok(claim)
        } else {
            Err(ClaimError::Format(claim.format))
        }
    }
}

/// The DNS name in a gateway's certificate, which its children ask for.
#[must_use]
pub fn gateway_dns_name(gateway: &DeviceIdentity) -> String {
    format!("{}.{}.espalier", gateway.device, gateway.tenant)
}
