//! Devices and gateways: who they are and what they sign that they run.

use std::collections::BTreeMap;

use espalier_protocol::{DeviceClassName, DeviceName, Digest, ModelName, Tenant, id::ReleaseId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A device or gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeviceView {
    /// The tenant it belongs to.
    #[schema(value_type = String)]
    pub tenant: Tenant,
    /// Its name in the tenant.
    #[schema(value_type = String)]
    pub name: DeviceName,
    /// Gateway or device.
    pub role: DeviceRole,
    /// The gateway it sits behind; none when it speaks with the cloud itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub gateway: Option<DeviceName>,
    /// What builds it takes.
    #[schema(value_type = String)]
    pub class: DeviceClassName,
    /// The operators' labels.
    pub labels: BTreeMap<String, String>,
    /// When it enrolled.
    #[schema(value_type = String, format = DateTime)]
    pub enrolled_at: Timestamp,
    /// When its last report was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen: Option<Timestamp>,
    /// Whether it may speak.
    pub standing: StandingView,
    /// Its certificate.
    pub certificate: CertificateView,
    /// What it says about its hardware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub inventory: Option<serde_json::Value>,
    /// What it runs, model by model, with what is wanted of it.
    pub models: Vec<DeviceModelView>,
    /// What it refused lately, newest first; the last 20 are kept.
    pub refused: Vec<RefusedView>,
}

/// What part a device plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceRole {
    /// An edge agent with devices behind it.
    Gateway,
    /// A device.
    Device,
}

impl From<espalier_protocol::enrol::Role> for DeviceRole {
    fn from(role: espalier_protocol::enrol::Role) -> Self {
        match role {
            espalier_protocol::enrol::Role::Gateway => Self::Gateway,
            espalier_protocol::enrol::Role::Device => Self::Device,
        }
    }
}

/// The certificate of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// Serial number, hex.
    pub serial: String,
    /// The id of the device's key, hex.
    pub key_id: String,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub not_after: Timestamp,
}

/// Whether a device may speak.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum StandingView {
    /// It may.
    Enrolled,
    /// Two hold its key: no door opens until it is readmitted.
    Quarantined {
        /// Since when.
        #[schema(value_type = String, format = DateTime)]
        since: Timestamp,
        /// What was noticed.
        reason: String,
    },
    /// No door opens, for good.
    Revoked {
        /// Since when.
        #[schema(value_type = String, format = DateTime)]
        since: Timestamp,
        /// Why.
        reason: String,
    },
}

/// One model on one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeviceModelView {
    /// The model.
    #[schema(value_type = String)]
    pub model: ModelName,
    /// The release that is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<WantedView>,
    /// What it serves now, as it signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<SlotView>,
    /// What it can go back to without a download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<SlotView>,
    /// Where its newest assignment stands; the phase's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "active")]
    pub phase: Option<String>,
    /// The named kind of its failure, when that is how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// What is wanted of a device for one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WantedView {
    /// The release.
    #[schema(value_type = Uuid)]
    pub release: ReleaseId,
    /// SHA-256 of `release.json`.
    #[schema(value_type = String)]
    pub release_digest: Digest,
    /// Digest of the bundle's manifest.
    #[schema(value_type = String)]
    pub bundle: Digest,
    /// The sequence of the desired state that says so.
    pub sequence: u64,
}

/// A slot as the device reported it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SlotView {
    /// The release that it came with.
    #[schema(value_type = Uuid)]
    pub release: ReleaseId,
    /// SHA-256 of `release.json`.
    #[schema(value_type = String)]
    pub release_digest: Digest,
    /// Digest of the bundle's manifest.
    #[schema(value_type = String)]
    pub bundle: Digest,
}

/// Something that a device refused before it could touch anything, as it signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedView {
    /// What it looked like: the protocol's word for the attack.
    #[schema(example = "wrong-key")]
    pub attack: String,
    /// The device's own words, for people.
    pub detail: String,
    /// When the report of it came in, by the cloud's clock.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// Replaces the labels of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetLabels {
    /// All labels it has from now on. At most 32; keys and values have 1 to 63 of `a-z`, `0-9`, `.`, `_`, `-`.
    pub labels: BTreeMap<String, String>,
}

/// A page of devices.
pub type DevicePage = crate::page::Page<DeviceView>;
