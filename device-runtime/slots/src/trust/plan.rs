//! Where the two signers meet: what the deployer orders must be what the release keys vouch for.

use espalier_protocol::Digest;
use espalier_protocol::desired::DesiredModel;
use espalier_protocol::manifest::Manifest;
use espalier_protocol::release::{ReleaseDocument, ReleasedBuild};
use espalier_protocol::report::{Attack, Failure, FailureKind};
use jiff::Timestamp;

use super::{Floors, Metadata, TrustError};
use crate::Anchor;

/// An order that both signers agree on: the only thing that an update starts from.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedPlan {
    order: DesiredModel,
    document: ReleaseDocument,
    build: ReleasedBuild,
}

/// Why an order is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", failure.detail)]
pub struct PlanRefusal {
    /// How the assignment ends.
    pub failure: Failure,
    /// What it looks like, when it may be an attack.
    pub attack: Option<Attack>,
}

impl PlanRefusal {
    fn new(kind: FailureKind, attack: Attack, detail: impl Into<String>) -> Self {
        Self {
            failure: Failure {
                kind,
                detail: detail.into(),
            },
            attack: Some(attack),
        }
    }

    fn disagree(what: &str) -> Self {
        let detail = format!("the deployer's order and the release disagree about the {what}");
        Self::new(FailureKind::Untrusted, Attack::MixAndMatch, detail)
    }
}

impl From<&TrustError> for PlanRefusal {
    fn from(error: &TrustError) -> Self {
        let kind = match error {
            TrustError::Record(_) | TrustError::Format(_) => FailureKind::StoreFailed,
            _ => FailureKind::Untrusted,
        };
        Self {
            failure: Failure {
                kind,
                detail: error.to_string(),
            },
            attack: error.attack(),
        }
    }
}

/// Brings the deployer's order and the release keys' word together.
///
/// `document` are the bytes of the release document that the order names, from wherever they came.
///
/// # Errors
/// What they do not agree on, by name.
pub fn agree(
    order: &DesiredModel,
    document: &[u8],
    metadata: &Metadata,
    anchor: &Anchor,
    floors: &Floors,
    clock: Timestamp,
) -> Result<VerifiedPlan, PlanRefusal> {
    let name = ReleaseDocument::target_name(&order.model, &order.release.digest);
    let target = metadata
        .target(&name, floors.now(clock))
        .map_err(|error| PlanRefusal::from(&error))?;
    if target.digest() != Some(order.release.digest) || target.length() != document.len() as u64 {
        return Err(PlanRefusal::disagree("release document"));
    }
    if Digest::of(document) != order.release.digest {
        let detail = "the release document's bytes were altered";
        return Err(PlanRefusal::new(
            FailureKind::Corrupt,
            Attack::ArbitrarySoftware,
            detail,
        ));
    }
    let document = ReleaseDocument::parse(document).map_err(|error| {
        PlanRefusal::new(FailureKind::Untrusted, Attack::Malformed, error.to_string())
    })?;
    check_release(order, &document, anchor, floors)?;
    let build = find_build(order, &document, anchor)?;
    Ok(VerifiedPlan {
        order: order.clone(),
        document,
        build,
    })
}

fn check_release(
    order: &DesiredModel,
    document: &ReleaseDocument,
    anchor: &Anchor,
    floors: &Floors,
) -> Result<(), PlanRefusal> {
    if document.tenant != anchor.identity.tenant {
        return Err(PlanRefusal::disagree("tenant"));
    }
    if document.model != order.model {
        return Err(PlanRefusal::disagree("model"));
    }
    if (document.id, document.counter) != (order.release.id, order.release.counter) {
        return Err(PlanRefusal::disagree("release's id and counter"));
    }
    let floor = floors.counter(&order.model);
    if document.counter < floor {
        let detail = format!(
            "release counter {} is below {floor}, which was ordered before",
            document.counter
        );
        return Err(PlanRefusal::new(
            FailureKind::Untrusted,
            Attack::Rollback,
            detail,
        ));
    }
    Ok(())
}

fn find_build(
    order: &DesiredModel,
    document: &ReleaseDocument,
    anchor: &Anchor,
) -> Result<ReleasedBuild, PlanRefusal> {
    let Some(build) = document.build_for(&anchor.class) else {
        let detail = format!("the release has no build for class {}", anchor.class);
        return Err(PlanRefusal::new(
            FailureKind::WrongClass,
            Attack::WrongClass,
            detail,
        ));
    };
    if build.bundle == order.bundle {
        return Ok(build.clone());
    }
    if let Some(other) = document
        .builds
        .iter()
        .find(|other| other.bundle == order.bundle)
    {
        let detail = format!(
            "the ordered bundle is for class {}, and this device is {}",
            other.device_class, anchor.class
        );
        return Err(PlanRefusal::new(
            FailureKind::WrongClass,
            Attack::WrongClass,
            detail,
        ));
    }
    Err(PlanRefusal::disagree("bundle"))
}

impl VerifiedPlan {
    /// The order.
    #[must_use]
    pub fn order(&self) -> &DesiredModel {
        &self.order
    }

    /// The build for this device's class.
    #[must_use]
    pub fn build(&self) -> &ReleasedBuild {
        &self.build
    }

    /// Checks that the bundle's manifest is what the release promised beyond its digest.
    ///
    /// # Errors
    /// What is different: then the release keys signed something that does not belong together.
    pub fn check_manifest(&self, manifest: &Manifest) -> Result<(), PlanRefusal> {
        if manifest.device_class != self.build.device_class {
            let detail = format!("the bundle was made for class {}", manifest.device_class);
            return Err(PlanRefusal::new(
                FailureKind::WrongClass,
                Attack::WrongClass,
                detail,
            ));
        }
        if manifest.model != self.document.model {
            return Err(PlanRefusal::disagree("bundle's model"));
        }
        if manifest.model_version != self.document.model_version {
            return Err(PlanRefusal::disagree("bundle's model version"));
        }
        if manifest.total_bytes() != self.build.files_bytes {
            return Err(PlanRefusal::disagree("bundle's size"));
        }
        Ok(())
    }
}
