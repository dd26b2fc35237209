//! Builds: what the forge makes of a model version for one device class.

use espalier_protocol::id::{BuildId, ModelVersionId};
use espalier_protocol::job::{Evaluation, GateVerdict};
use espalier_protocol::{DeviceClassName, Digest, Tenant};
use jiff::Timestamp;

/// A build.
#[derive(Debug, Clone, PartialEq)]
pub struct Build {
    /// Its id.
    pub id: BuildId,
    /// The owner.
    pub tenant: Tenant,
    /// What it is made from.
    pub model_version: ModelVersionId,
    /// What it is made for.
    pub device_class: DeviceClassName,
    /// How (TOML).
    pub recipe: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// How far it is.
    pub state: BuildState,
}

/// How far a build is.
#[derive(Debug, Clone, PartialEq)]
pub enum BuildState {
    /// Waits for a forge.
    Queued,
    /// A forge works on it.
    Running(Progress),
    /// Done, and good enough to be released.
    Passed(Product),
    /// Not to be had, or not good enough.
    Failed(BuildFailure),
    /// Somebody stopped it.
    Cancelled,
}

/// Where a forge is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The stage's name.
    pub stage: String,
    /// Units done in it.
    pub done: u64,
    /// Units in all; 0 when unknown.
    pub total: u64,
}

impl Progress {
    /// A forge has taken the build and not yet said more.
    #[must_use]
    pub fn started() -> Self {
        Self {
            stage: "start".to_owned(),
            done: 0,
            total: 0,
        }
    }
}

/// A finished bundle with its measurements.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// The bundle.
    pub bundle: BundleFacts,
    /// What the forge measured.
    pub evaluation: Evaluation,
}

/// A bundle by what a release says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleFacts {
    /// The digest of its manifest.
    pub digest: Digest,
    /// The manifest's size in bytes.
    pub manifest_bytes: u64,
    /// All other files together in bytes.
    pub files_bytes: u64,
}

/// Why there is no releasable build.
#[derive(Debug, Clone, PartialEq)]
pub enum BuildFailure {
    /// The forge refused the work, by a stable word and in words for people.
    Refused {
        /// The word: `invalid-model`, `invalid-recipe`, `no-sandbox`, …
        code: String,
        /// The words.
        detail: String,
    },
    /// The bundle was made and measured, and the recipe's gate did not let it pass.
    Gate {
        /// Which conditions did not hold.
        reasons: Vec<String>,
        /// What was made, for those who want to know why.
        product: Box<Product>,
    },
}

/// A step that the build's state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a build that is {state} cannot {verb}")]
pub struct BuildRefusal {
    state: &'static str,
    verb: &'static str,
}

impl BuildState {
    /// The state's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running(_) => "running",
            Self::Passed(_) => "passed",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing will change any more.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Passed(_) | Self::Failed(_) | Self::Cancelled)
    }

    /// A forge says where it is. Taking up a build again after its forge died is the same step.
    ///
    /// # Errors
    /// When the build has ended.
    pub fn progress(self, progress: Progress) -> Result<Self, BuildRefusal> {
        self.unless_final("make progress")
            .map(|_| Self::Running(progress))
    }

    /// The forge is done; its gate's verdict decides which end this is.
    ///
    /// # Errors
    /// When the build has ended before.
    pub fn finish(self, product: Product) -> Result<Self, BuildRefusal> {
        self.unless_final("be finished")?;
        Ok(match product.evaluation.gate.clone() {
            GateVerdict::Passed => Self::Passed(product),
            GateVerdict::Failed { reasons } => Self::Failed(BuildFailure::Gate {
                reasons,
                product: Box::new(product),
            }),
        })
    }

    /// The forge refuses the work.
    ///
    /// # Errors
    /// When the build has ended before.
    pub fn refuse(self, code: String, detail: String) -> Result<Self, BuildRefusal> {
        self.unless_final("be refused")?;
        Ok(Self::Failed(BuildFailure::Refused { code, detail }))
    }

    /// Somebody stops it.
    ///
    /// # Errors
    /// When the build has ended before.
    pub fn cancel(self) -> Result<Self, BuildRefusal> {
        self.unless_final("be cancelled").map(|_| Self::Cancelled)
    }

    fn unless_final(self, verb: &'static str) -> Result<Self, BuildRefusal> {
        if self.is_final() {
            Err(BuildRefusal {
                state: self.name(),
                verb,
            })
        } else {
            Ok(self)
        }
    }
}
