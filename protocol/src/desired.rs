//! What the cloud wants of one device, signed by the deployer key and retained on `down/desired`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    DeviceClassName, DeviceIdentity, Digest, ModelName,
    envelope::Message,
    id::{AssignmentId, ReleaseId},
};

/// The whole desired state of a device; a newer sequence replaces it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DesiredState {
    /// For whom. Another device refuses it.
    pub device: DeviceIdentity,
    /// Strictly growing for each device; replayed and reordered states are refused by it.
    pub sequence: u64,
    /// When it was signed: also a signed floor for devices without a clock.
    pub issued_at: Timestamp,
    /// After this it must not start anything; what is installed keeps serving.
    pub expires_at: Timestamp,
    /// The class that the cloud has on record.
    pub class: DeviceClassName,
    /// What each model should run.
    pub models: Vec<DesiredModel>,
    /// The TUF metadata that speaks of these releases, so that the device fetches just that.
    pub tuf: TufVersions,
    /// W3C trace context of the operator's call, carried back in reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl Message for DesiredState {
    const TYPE: &'static str = "application/vnd.espalier.desired.v1+cbor";
}

/// What one model should run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredModel {
    /// The line of work.
    pub model: ModelName,
    /// The assignment that this serves.
    pub assignment: AssignmentId,
    /// Grows with each try: a digest that failed is not tried again without a new number.
    pub attempt: u32,
    /// The release.
    pub release: ReleaseRef,
    /// The bundle for the device's class: the digest of its manifest.
    pub bundle: Digest,
    /// How to get there.
    pub action: Action,
}

/// A release by what cannot change about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReleaseRef {
    /// Its id.
    pub id: ReleaseId,
    /// The digest of its document.
    pub digest: Digest,
    /// Its counter.
    pub counter: u64,
}

/// How a device gets to its desired bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Download what is missing, try it, and switch.
    Install,
    /// Switch to the kept slot; download only if it is gone.
    Revert,
}

/// Versions of the TUF metadata to fetch; the timestamp role is always fetched as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TufVersions {
    /// The newest root.
    pub root: u64,
    /// The newest timestamp.
    pub timestamp: u64,
    /// The newest snapshot.
    pub snapshot: u64,
    /// The newest top-level targets.
    pub targets: u64,
}
