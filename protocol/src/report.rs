//! What a device measured and did, signed by its own key. The planner believes nothing else.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    DeviceClassName, DeviceIdentity, Digest, Incarnation, ModelName, desired::ReleaseRef,
    envelope::Message, id::AssignmentId, inventory::Inventory,
};

/// A device's signed word, sent on `up/report`, at least once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Who speaks; must be the signer.
    pub device: DeviceIdentity,
    /// Grows with each start of the agent.
    pub boot: u64,
    /// Grows with each report of a boot. (boot, seq) orders reports and makes them idempotent.
    pub seq: u64,
    /// Which start this is: two with the same `boot` are two agents that hold one key. Early agents do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
    /// Random, so that no two reports are the same bytes.
    #[serde(with = "serde_bytes")]
    pub nonce: Vec<u8>,
    /// The device's clock; it may be wrong.
    pub at: Timestamp,
    /// The class that the device was enrolled with.
    pub class: DeviceClassName,
    /// The highest desired state that was accepted; 0 before the first.
    pub desired_sequence: u64,
    /// What each model runs now.
    pub models: Vec<ModelState>,
    /// What happened to an assignment, if that is why the report was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<AssignmentProgress>,
    /// Messages and metadata that were refused since the last report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refusal>,
    /// Facts, in the first reports of a boot, until one of them is in the outbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inventory: Option<Inventory>,
    /// The trace context of the desired state that is being served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl Message for Report {
    const TYPE: &'static str = "application/vnd.espalier.report.v1+cbor";
}

/// What one model runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelState {
    /// The line of work.
    pub model: ModelName,
    /// What serves now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Installed>,
    /// What is kept for a revert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Installed>,
}

/// A bundle in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// The release that it came with.
    pub release: ReleaseRef,
    /// The digest of its manifest.
    pub bundle: Digest,
}

/// What happened to an assignment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssignmentProgress {
    /// Which one.
    pub assignment: AssignmentId,
    /// Which try.
    pub attempt: u32,
    /// How far it is.
    pub step: Step,
}

/// The steps of an update on a device, in order; the last three end it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// The desired state was verified and accepted.
    Accepted,
    /// Bytes are coming in.
    Downloading {
        /// Bytes that are here.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// All bytes are here and verified.
    Verified,
    /// Loading, and reproducing the golden outputs.
    Trial,
    /// Serving.
    Active(Activation),
    /// Not begun, or given up; what served before still serves.
    Failed(Failure),
    /// Was serving or on trial, and the previous bundle serves again.
    RolledBack(Failure),
}

/// The measurements of a successful update.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Activation {
    /// What serves.
    pub installed: Installed,
    /// Bytes that were fetched for it, headers not counted; 0 for a revert.
    pub bytes_downloaded: u64,
    /// Milliseconds from the desired state's arrival to serving.
    pub duration_ms: u64,
    /// Mean agreement with the full model on golden inputs (IoU for masks), where measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub golden_agreement: Option<f32>,
    /// Median latency of a golden inference in milliseconds, where measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub golden_latency_ms: Option<f32>,
}

/// Why an update ended without success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind, for rules and counting.
    pub kind: FailureKind,
    /// The words, for people; at most [`MAX_DETAIL_BYTES`].
    pub detail: String,
}

/// The longest detail of a failure in bytes.
pub const MAX_DETAIL_BYTES: usize = 1024;

/// The kinds of failure, each with its own answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// A signature, digest or chain did not hold.
    Untrusted,
    /// The release has no build for this class, or names one for another.
    WrongClass,
    /// The bytes could not be fetched.
    DownloadFailed,
    /// The bytes came, and were not the promised ones.
    Corrupt,
    /// The disk is full or would be.
    NoSpace,
    /// The disk failed.
    StoreFailed,
    /// ONNX Runtime refused the graphs.
    LoadFailed,
    /// The golden outputs were not reproduced.
    GoldenMismatch,
    /// The trial did not end in time.
    TrialTimeout,
    /// The trial ended the process, or used too much.
    TrialCrashed,
    /// The digest failed before and no new attempt was ordered.
    AlreadyFailed,
    /// A revert found no kept slot and could not fetch one.
    NothingToRevert,
    /// The runtime is missing or too old, or the device has less memory than the bundle needs.
    Unsupported,
}

/// Something that was refused before it could touch anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What it looked like.
    pub attack: Attack,
    /// The words, for people; at most [`MAX_DETAIL_BYTES`].
    pub detail: String,
}

/// What a refused message or file looked like. The names follow TUF 1.0.34 §1.5 and Uptane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attack {
    /// Signed by a key that may not.
    WrongKey,
    /// The signature does not fit.
    BadSignature,
    /// Not a message of the protocol.
    Malformed,
    /// Larger than it may be.
    EndlessData,
    /// A desired state that was accepted before a newer one.
    Replay,
    /// A desired state that comes after a newer one.
    Reordered,
    /// For another device.
    WrongDevice,
    /// For another class.
    WrongClass,
    /// A desired state past its expiry.
    Stale,
    /// Metadata past their expiry, and no newer ones: somebody keeps news back.
    Frozen,
    /// Older metadata, or a lower release counter, than was seen before.
    Rollback,
    /// The two signers disagree, or metadata that do not belong together.
    MixAndMatch,
    /// Bytes whose digest is not the promised one.
    ArbitrarySoftware,
    /// The cloud heard from a start that this device never made: another one holds its key.
    ClonedIdentity,
}

/// The cloud's signed word that one report is stored, sent on `down/ack`. It says nothing of earlier ones: a later
/// report may be stored while an earlier one was lost on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// For whom.
    pub device: DeviceIdentity,
    /// The boot of the stored report.
    pub boot: u64,
    /// Its sequence.
    pub seq: u64,
}

impl Message for Ack {
    const TYPE: &'static str = "application/vnd.espalier.ack.v1+cbor";
}
