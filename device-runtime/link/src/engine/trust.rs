//! Fetching what trust needs: TUF metadata, the deployer's keys, release documents.

use std::sync::Arc;

use espalier_protocol::Digest;
use espalier_protocol::desired::{DesiredModel, TufVersions};
use espalier_protocol::release::{MAX_RELEASE_BYTES, ReleaseDocument};
use espalier_protocol::report::{Attack, Failure, FailureKind, Refusal};
use espalier_protocol::trust::{DEPLOYER_TARGET, DeployerKeys};
use espalier_slots::StoreError;
use espalier_slots::trust::{
    MAX_METADATA_BYTES, Metadata, PlanRefusal, Sought, TrustError, VerifiedPlan, agree,
};

use super::core::{Core, Deployer};
use crate::door::DoorError;

/// The largest list of deployer keys in bytes; stops endless data.
const MAX_DEPLOYER_BYTES: u64 = 16 * 1024;

/// The version of that list that this code reads.
const DEPLOYER_FORMAT: u32 = 1;

/// Why trust could not be established.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrustFailure {
    /// The other side gave nothing.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// What it gave is not believed.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A document is not what was promised.
    #[error("{what} is not what the release keys promise")]
    Altered {
        /// Which document.
        what: &'static str,
    },
    /// The metadata name a document by digests that documents are not kept by.
    #[error("the release keys name no SHA-256 of {what}")]
    NoDigest {
        /// Which document.
        what: &'static str,
    },
    /// A document that the metadata name is not there (yet).
    #[error("{what} is not there")]
    Absent {
        /// Which document.
        what: &'static str,
    },
    /// A document is of a newer version.
    #[error(
        "{what} has format {found}, and this version knows {DEPLOYER_FORMAT}: update the agent"
    )]
    Format {
        /// Which document.
        what: &'static str,
        /// The format found.
        found: u32,
    },
    /// A document is not understood.
    #[error("{what} cannot be read: {detail}")]
    Malformed {
        /// Which document.
        what: &'static str,
        /// Why.
        detail: String,
    },
}

impl TrustFailure {
    /// Whether trying again later may help.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Door(error) => error.is_passing(),
            // The writer of the repository may be between two files.
            Self::Absent { .. }
            | Self::Trust(TrustError::Absent { .. } | TrustError::TooManyRoots(_)) => true,
            Self::Trust(_)
            | Self::Store(_)
            | Self::Altered { .. }
            | Self::NoDigest { .. }
            | Self::Format { .. }
            | Self::Malformed { .. } => false,
        }
    }

    /// What it looks like, when it may be an attack.
    pub(super) fn attack(&self) -> Option<Attack> {
        match self {
            Self::Trust(error) => error.attack(),
            Self::Door(DoorError::TooLarge { .. }) => Some(Attack::EndlessData),
            Self::Altered { .. } => Some(Attack::ArbitrarySoftware),
            Self::Malformed { .. } | Self::NoDigest { .. } => Some(Attack::Malformed),
            Self::Door(_) | Self::Store(_) | Self::Absent { .. } | Self::Format { .. } => None,
        }
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.attack().map(|attack| Refusal {
            attack,
            detail: self.to_string(),
        })
    }

    /// How an order ends that needed it.
    pub(super) fn failure(&self) -> Failure {
        let kind = match self {
            Self::Door(_) | Self::Absent { .. } => FailureKind::DownloadFailed,
            Self::Store(_) | Self::Trust(TrustError::Record(_) | TrustError::Format(_)) => {
                FailureKind::StoreFailed
            }
            Self::Format { .. } => FailureKind::Unsupported,
            Self::Trust(_)
            | Self::Altered { .. }
            | Self::NoDigest { .. }
            | Self::Malformed { .. } => FailureKind::Untrusted,
        };
        Failure {
            kind,
            detail: self.to_string(),
        }
    }
}

impl From<TrustFailure> for PlanRefusal {
    fn from(failure: TrustFailure) -> Self {
        Self {
            failure: failure.failure(),
            attack: failure.attack(),
        }
    }
}

impl Core {
    /// Renews the metadata, then reads the deployer's keys that they vouch for.
    pub(super) async fn renew_trust(&self) -> Result<(), TrustFailure> {
        let mut metadata = self.metadata.lock().await;
        let metadata = self.opened(&mut metadata)?;
        let now = self.floors()?.now(self.now());
        let mut refresh = metadata.refresh(now);
        while let Some(wanted) = refresh.wanted() {
            match self.door.metadata(&wanted.file, wanted.limit).await {
                Ok(bytes) => refresh.supply(bytes.as_deref())?,
                Err(error) => {
                    refresh.break_off()?;
                    return Err(error.into());
                }
            }
        }
        tracing::info!(versions = ?metadata.versions(), "the release metadata are up to date");
        self.renew_deployer(metadata).await
    }

    fn opened<'a>(
        &self,
        metadata: &'a mut Option<Metadata>,
    ) -> Result<&'a mut Metadata, StoreError> {
        match metadata {
            Some(metadata) => Ok(metadata),
            None => Ok(metadata.insert(self.store().metadata()?)),
        }
    }

    /// Makes sure that the metadata are at least those that a desired state speaks of.
    pub(super) async fn renew_trust_to(&self, wanted: &TufVersions) -> Result<(), TrustFailure> {
        let reached = {
            let mut metadata = self.metadata.lock().await;
            let metadata = self.opened(&mut metadata)?;
            let now = self.floors()?.now(self.now());
            reaches(&metadata.versions(), wanted)
                && metadata.undelegated(DEPLOYER_TARGET, now).is_ok()
        };
        if reached {
            Ok(())
        } else {
            self.renew_trust().await
        }
    }

    /// The deployer's keys, from what is stored, or after renewing.
    pub(super) async fn known_deployer(&self) -> Result<Arc<Deployer>, TrustFailure> {
        if let Some(deployer) = self.deployer() {
            return Ok(deployer);
        }
        let stored = {
            let mut metadata = self.metadata.lock().await;
            let metadata = self.opened(&mut metadata)?;
            self.renew_deployer(metadata).await
        };
        if stored.is_err() {
            self.renew_trust().await?;
        }
        self.deployer().ok_or(TrustFailure::Absent {
            what: DEPLOYER_TARGET,
        })
    }

    async fn renew_deployer(&self, metadata: &Metadata) -> Result<(), TrustFailure> {
        let what = DEPLOYER_TARGET;
        let now = self.floors()?.now(self.now());
        let target = metadata.undelegated(what, now)?;
        let document = target.digest().ok_or(TrustFailure::NoDigest { what })?;
        let bytes = self.document(&document, MAX_DEPLOYER_BYTES, what).await?;
        let keys: DeployerKeys =
            serde_json::from_slice(&bytes).map_err(|error| TrustFailure::Malformed {
                what,
                detail: error.to_string(),
            })?;
        if keys.format != DEPLOYER_FORMAT {
            let found = keys.format;
            return Err(TrustFailure::Format { what, found });
        }
        let fresh_until = metadata.fresh_until().ok_or(TrustError::Incomplete)?;
        self.set_deployer(Deployer {
            keys,
            document,
            fresh_until,
        });
        Ok(())
    }

    /// The plan for an order, when both signers agree on it.
    pub(super) async fn plan(&self, order: &DesiredModel) -> Result<VerifiedPlan, PlanError> {
        let bytes = self
            .document(
                &order.release.digest,
                MAX_RELEASE_BYTES as u64,
                "the release document",
            )
            .await?;
        let mut metadata = self.metadata.lock().await;
        let metadata = self.opened(&mut metadata)?;
        let name = ReleaseDocument::target_name(&order.model, &order.release.digest);
        self.reach(metadata, &name).await?;
        let store = self.store();
        let floors = store.floors()?;
        agree(order, &bytes, metadata, store.anchor(), &floors, self.now())
            .map_err(PlanError::Refused)
    }

    /// Fetches the delegated roles that may vouch for a target. Whether one of them does is not judged here.
    async fn reach(&self, metadata: &mut Metadata, name: &str) -> Result<(), TrustFailure> {
        let now = self.floors()?.now(self.now());
        while let Ok(Sought::Needs(role)) = metadata.seek(name, now) {
            let bytes = self.door.metadata(role.file(), MAX_METADATA_BYTES).await?;
            metadata.supply(role, bytes.as_deref(), now)?;
        }
        Ok(())
    }

    /// A small document by its digest: kept from before, or fetched and kept.
    async fn document(
        &self,
        digest: &Digest,
        limit: u64,
        what: &'static str,
    ) -> Result<Vec<u8>, TrustFailure> {
        let content = self.store().content().clone();
        if let Some(bytes) = content.document(digest)? {
            return Ok(bytes);
        }
        let bytes = self
            .door
            .blob(digest, limit)
            .await?
            .ok_or(TrustFailure::Absent { what })?;
        if Digest::of(&bytes) != *digest {
            return Err(TrustFailure::Altered { what });
        }
        content.keep_document(&bytes)?;
        Ok(bytes.into())
    }
}

/// Why there is no plan.
#[derive(Debug)]
pub(super) enum PlanError {
    /// Trying again later may help.
    Passing(TrustFailure),
    /// It will not.
    Refused(PlanRefusal),
}

impl From<TrustFailure> for PlanError {
    fn from(failure: TrustFailure) -> Self {
        if failure.is_passing() {
            Self::Passing(failure)
        } else {
            Self::Refused(failure.into())
        }
    }
}

impl From<StoreError> for PlanError {
    fn from(error: StoreError) -> Self {
        TrustFailure::from(error).into()
    }
}

fn reaches(have: &TufVersions, wanted: &TufVersions) -> bool {
    have.root >= wanted.root
        && have.timestamp >= wanted.timestamp
        && have.snapshot >= wanted.snapshot
        && have.targets >= wanted.targets
}
