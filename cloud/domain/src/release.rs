//! Releases: an immutable set of builds of one model version, one for each device class, signed once.

use std::collections::BTreeMap;

use espalier_protocol::desired::ReleaseRef;
use espalier_protocol::id::{BuildId, ReleaseId};
use espalier_protocol::release::{FORMAT, MAX_BUILDS, ReleaseDocument, ReleasedBuild};
use espalier_protocol::{DeviceClassName, Digest, ModelName};
use jiff::Timestamp;

use crate::build::{Build, BuildState};
use crate::model::ModelVersion;

/// A release. Its document is fixed when it is drafted; signing adds a signature, never a byte.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// What it says.
    pub document: ReleaseDocument,
    /// The digest of the document's bytes.
    pub digest: Digest,
    /// The builds behind it, by class.
    pub builds: BTreeMap<DeviceClassName, BuildId>,
    /// The digests of the bundles' own signatures, by class, as far as there are any.
    pub signatures: BTreeMap<DeviceClassName, Digest>,
    /// When it was drafted.
    pub created_at: Timestamp,
    /// Whether the release keys stand behind it.
    pub state: ReleaseState,
}

/// Whether the release keys stand behind a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseState {
    /// Not yet: no device would take it.
    Draft,
    /// They do.
    Signed {
        /// Since when.
        at: Timestamp,
        /// The edition of the targets that named it first.
        targets_version: u64,
    },
}

impl ReleaseState {
    /// The state's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Signed { .. } => "signed",
        }
    }
}

/// Why a release cannot be drafted, or is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseRefusal {
    /// None.
    #[error("a release needs at least one build")]
    NoBuilds,
    /// Too many.
    #[error("a release has at most {MAX_BUILDS} builds, not {0}")]
    TooManyBuilds(usize),
    /// A build that has not passed its gate.
    #[error("build {id} is {state}; only builds that passed their gate can be released")]
    NotPassed {
        /// Which.
        id: BuildId,
        /// Its state.
        state: &'static str,
    },
    /// A build of another model version.
    #[error("build {0} was made from another model version")]
    OtherModelVersion(BuildId),
    /// Two builds for one class.
    #[error("two builds for device class {0}; a release has one for each")]
    TwoForClass(DeviceClassName),
    /// Not signed.
    #[error(
        "release {0} is not signed; run `espalier release sign {0}` where the release keys are"
    )]
    NotSigned(ReleaseId),
}

/// Writes a release's document from builds that passed.
///
/// `counter` must be higher than every earlier release's of the model; the store hands it out.
///
/// # Errors
/// [`ReleaseRefusal`], naming the build.
pub fn draft(
    id: ReleaseId,
    counter: u64,
    version: &ModelVersion,
    builds: &[Build],
) -> Result<ReleaseDocument, ReleaseRefusal> {
    match builds.len() {
        0 => return Err(ReleaseRefusal::NoBuilds),
        1..=MAX_BUILDS => {}
        more => return Err(ReleaseRefusal::TooManyBuilds(more)),
    }
    let mut by_class = BTreeMap::new();
    for build in builds {
        let released = released(version, build)?;
        let class = released.device_class.clone();
        if by_class.insert(class.clone(), released).is_some() {
            return Err(ReleaseRefusal::TwoForClass(class));
        }
    }
    Ok(ReleaseDocument {
        format: FORMAT,
        id,
        tenant: version.tenant.clone(),
        model: version.model.clone(),
        model_version: version.id,
        counter,
        builds: by_class.into_values().collect(),
    })
}

fn released(version: &ModelVersion, build: &Build) -> Result<ReleasedBuild, ReleaseRefusal> {
    if build.model_version != version.id || build.tenant != version.tenant {
        return Err(ReleaseRefusal::OtherModelVersion(build.id));
    }
    let BuildState::Passed(product) = &build.state else {
        return Err(ReleaseRefusal::NotPassed {
            id: build.id,
            state: build.state.name(),
        });
    };
    Ok(ReleasedBuild {
        device_class: build.device_class.clone(),
        bundle: product.bundle.digest,
        manifest_bytes: product.bundle.manifest_bytes,
        files_bytes: product.bundle.files_bytes,
    })
}

impl Release {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> ReleaseId {
        self.document.id
    }

    /// The line of work.
    #[must_use]
    pub fn model(&self) -> &ModelName {
        &self.document.model
    }

    /// The release as messages name it.
    #[must_use]
    pub fn reference(&self) -> ReleaseRef {
        ReleaseRef {
            id: self.document.id,
            digest: self.digest,
            counter: self.document.counter,
        }
    }

    /// Itself, if it may be rolled out.
    ///
    /// # Errors
    /// [`ReleaseRefusal::NotSigned`].
    pub fn require_signed(&self) -> Result<&Self, ReleaseRefusal> {
        match self.state {
            ReleaseState::Signed { .. } => Ok(self),
            ReleaseState::Draft => Err(ReleaseRefusal::NotSigned(self.id())),
        }
    }

    /// The bundle for a class.
    #[must_use]
    pub fn bundle_for(&self, class: &DeviceClassName) -> Option<Digest> {
        self.document.build_for(class).map(|build| build.bundle)
    }
}
