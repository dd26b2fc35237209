//! Claims: the file that lets devices enrol, with all the trust that they start from.

use espalier_protocol::{DeviceClassName, DeviceName, id::ClaimId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Makes a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateClaim {
    /// The only device class that it may be used for; any when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub class: Option<DeviceClassName>,
    /// Enrol through this gateway instead of with the cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<ViaGateway>,
    /// How many devices may enrol with it; 1 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10000)]
    pub uses: Option<u32>,
    /// How long it can be used, in seconds; a day when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2592000)]
    pub valid_seconds: Option<u32>,
}

/// The gateway that a device sits behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ViaGateway {
    /// The gateway's name in the tenant; it must have enrolled.
    #[schema(value_type = String)]
    pub name: DeviceName,
    /// Where devices reach its LAN door, e.g. `https://192.168.1.10:7480/`.
    #[schema(value_type = String, format = "uri")]
    pub door: url::Url,
}

/// A claim, shown once: the server keeps only a digest of the secret in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClaimView {
    /// The claim's id.
    #[schema(value_type = Uuid)]
    pub id: ClaimId,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// The content of the claim file to bring to the device, by file or QR code; never over the
    /// network that it protects.
    #[schema(value_type = Object)]
    pub claim: espalier_protocol::claim::Claim,
}
