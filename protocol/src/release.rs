//! The release document: which bundle each device class gets. A TUF target, so the release keys say
//! that it exists; the digest of its bytes is the release's digest.

use serde::{Deserialize, Serialize};

use crate::{
    DeviceClassName, Digest, ModelName, Tenant,
    id::{ModelVersionId, ReleaseId},
    manifest::MAX_MANIFEST_BYTES,
};

/// The version of the format that this code writes.
pub const FORMAT: u32 = 1;
/// The largest release document in bytes; stops endless data.
pub const MAX_RELEASE_BYTES: usize = 64 * 1024;
/// The most builds in a release.
pub const MAX_BUILDS: usize = 64;

/// `release.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseDocument {
    /// The version of this format.
    pub format: u32,
    /// The release's id.
    pub id: ReleaseId,
    /// The owner: a device refuses another tenant's release.
    pub tenant: Tenant,
    /// The line of work.
    pub model: ModelName,
    /// The full model that all builds were made from.
    pub model_version: ModelVersionId,
    /// Grows with every release of a model; a device never goes below the highest that it was told
    /// to run.
    pub counter: u64,
    /// One build for each device class.
    pub builds: Vec<ReleasedBuild>,
}

/// One build of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedBuild {
    /// What it was made for.
    pub device_class: DeviceClassName,
    /// The SHA-256 of the bundle's `manifest.json`.
    pub bundle: Digest,
    /// The manifest's size in bytes.
    pub manifest_bytes: u64,
    /// All other files together in bytes: what the disk must hold.
    pub files_bytes: u64,
}

/// Why a release document is refused.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Larger than [`MAX_RELEASE_BYTES`].
    #[error("the release document has {0} bytes: at most {MAX_RELEASE_BYTES} are allowed")]
    TooLarge(usize),
    /// Not the JSON of a release document.
    #[error("the release document cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A version from the future.
    #[error("the release document has format {0}: this version knows {FORMAT}; update the agent")]
    Format(u32),
    /// None, too many, or two for one class.
    #[error("the release document must list 1 to {MAX_BUILDS} builds, one for each device class")]
    Builds,
    /// A manifest larger than a manifest may be.
    #[error("the release document gives class {0} a manifest of an impossible size")]
    ManifestSize(DeviceClassName),
}

impl ReleaseDocument {
    /// The name of the TUF target that holds a release document. Flat, because tools disagree on
    /// how consistent snapshots name targets with folders; with the model in front, so that the
    /// release keys can delegate `release.MODEL.*.json` to the team whose model it is.
    #[must_use]
    pub fn target_name(model: &ModelName, digest: &Digest) -> String {
        format!("release.{model}.{digest}.json")
    }

    /// Reads and checks a document's bytes.
    ///
    /// # Errors
    /// Whatever makes it unusable, by name; see [`ReleaseError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReleaseError> {
        if bytes.len() > MAX_RELEASE_BYTES {
            return Err(ReleaseError::TooLarge(bytes.len()));
        }
        let document: Self = serde_json::from_slice(bytes)?;
        document.check()?;
        Ok(document)
    }

    /// The build for a class, where there is one.
    #[must_use]
    pub fn build_for(&self, class: &DeviceClassName) -> Option<&ReleasedBuild> {
        self.builds
            .iter()
            .find(|build| &build.device_class == class)
    }

    fn check(&self) -> Result<(), ReleaseError> {
        if self.format != FORMAT {
            return Err(ReleaseError::Format(self.format));
        }
        let classes: std::collections::BTreeSet<_> =
            self.builds.iter().map(|b| &b.device_class).collect();
        if !(1..=MAX_BUILDS).contains(&self.builds.len()) || classes.len() != self.builds.len() {
            return Err(ReleaseError::Builds);
        }
        let fits = |bytes: u64| (1..=MAX_MANIFEST_BYTES as u64).contains(&bytes);
        match self.builds.iter().find(|build| !fits(build.manifest_bytes)) {
            Some(build) => Err(ReleaseError::ManifestSize(build.device_class.clone())),
            None => Ok(()),
        }
    }
}
