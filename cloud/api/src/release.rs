//! Releases: signed, immutable sets of builds.

use espalier_protocol::{
    DeviceClassName, Digest, ModelName,
    id::{BuildId, ModelVersionId, ReleaseId},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::TrustLevel;
use crate::action::AllowedAction;

/// Drafts a release of builds that passed their gates, one per device class, all of one model version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRelease {
    /// The builds.
    #[schema(value_type = Vec<Uuid>)]
    pub builds: Vec<BuildId>,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseView {
    /// The release's id.
    #[schema(value_type = Uuid)]
    pub id: ReleaseId,
    /// The model.
    #[schema(value_type = String)]
    pub model: ModelName,
    /// The full model that its builds are made from.
    #[schema(value_type = Uuid)]
    pub model_version: ModelVersionId,
    /// Grows with each release of the model; devices refuse to install backwards by it.
    pub counter: u64,
    /// SHA-256 of `release.json`.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// When it was drafted.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Whether it is signed.
    #[serde(flatten)]
    pub state: ReleaseState,
    /// The builds.
    pub builds: Vec<ReleaseBuildView>,
    /// What can be done with it now.
    pub actions: Vec<AllowedAction>,
}

/// Whether a release may go to devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ReleaseState {
    /// Not signed; no device would take it.
    Draft,
    /// Named by signed targets.
    Signed {
        /// When the signature was taken.
        #[schema(value_type = String, format = DateTime)]
        signed_at: Timestamp,
        /// The version of the targets that first names it.
        targets_version: u64,
        /// Whether those keys are development keys.
        trust: TrustLevel,
    },
}

/// One build in a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseBuildView {
    /// The build.
    #[schema(value_type = Uuid)]
    pub build: BuildId,
    /// What it is for.
    #[schema(value_type = String)]
    pub device_class: DeviceClassName,
    /// Digest of the bundle's manifest.
    #[schema(value_type = String)]
    pub bundle: Digest,
    /// Bytes of the manifest.
    pub manifest_bytes: u64,
    /// Bytes of all files that the manifest names.
    pub files_bytes: u64,
    /// SHA-256 of the bundle's own signature, `model.sig`, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub signature: Option<Digest>,
}

/// What a signer needs: the exact document, and what the targets must say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SigningRequestView {
    /// The release.
    #[schema(value_type = Uuid)]
    pub release: ReleaseId,
    /// `release.json`, exactly the bytes to be named.
    pub release_json: String,
    /// SHA-256 of `release_json`.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// Bytes of `release_json`.
    pub length: u64,
    /// The target's name.
    #[schema(example = "release.sam.9f86d0….json")]
    pub target_name: String,
    /// The deployer's keys, which the same targets must name as `deployer.json`; exactly the bytes to be named.
    pub deployer_json: String,
    /// The bundles, each of which needs a signature of its own first.
    pub bundles: Vec<BundleToSign>,
}

/// A bundle that waits for its own signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BundleToSign {
    /// What it is for.
    #[schema(value_type = String)]
    pub device_class: DeviceClassName,
    /// `manifest.json`, byte by byte: its SHA-256 is the bundle's digest in the release document.
    pub manifest_json: String,
}

/// The signer's answer: the next targets, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseSignature {
    /// The next signed `targets.json`, exactly as signed.
    pub targets_json: String,
}

/// The bundles' own signatures, which other people's tools verify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BundleSignatures {
    /// The public key (ECDSA P-256, PEM) of whoever signed.
    pub key: String,
    /// The signatures, one for each device class.
    pub bundles: Vec<SignedBundle>,
}

/// A bundle's own signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedBundle {
    /// What the bundle is for.
    #[schema(value_type = String)]
    pub device_class: DeviceClassName,
    /// `model.sig` by the OpenSSF Model Signing specification v1.0, method `key`.
    pub model_sig: String,
}

/// A page of releases.
pub type ReleasePage = crate::page::Page<ReleaseView>;
