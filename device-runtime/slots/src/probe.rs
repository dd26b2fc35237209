//! How the store's user tries a bundle and lets it serve, without this room knowing what inference is.

use espalier_protocol::Digest;
use espalier_protocol::report::{Failure, Installed};

use crate::VerifiedBundle;

/// What a trial measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TrialOutcome {
    /// Mean agreement with the full model on the golden inputs (0 to 1; IoU for masks), where it was measured.
    pub golden_agreement: Option<f32>,
    /// Median latency of one golden inference in milliseconds, where it was measured.
    pub golden_latency_ms: Option<f32>,
}

/// The inference side of an update. All three calls may block; they are made away from async threads.
///
/// Bundles that arrive here are verified byte for byte. An implementation keeps the instance that a trial loaded, so that
/// [`serve`](Probe::serve) right after it only switches.
pub trait Probe: Send + Sync {
    /// Loads the bundle beside whatever serves, and reproduces its golden outputs. The caller keeps the time, and gives
    /// each trial a thread of its own, whose priority may be lowered: requests come first.
    ///
    /// # Errors
    /// The failure's kind says what did not work; whatever serves is untouched.
    fn trial(&self, bundle: &VerifiedBundle) -> Result<TrialOutcome, Failure>;

    /// Makes the bundle the one that answers for its model: requests in flight end on the old one, new ones begin on
    /// this one. Called after a trial, after a revert, and once for each model when the agent starts. Called for the bundle
    /// that serves already it loads nothing: answers name the release of `installed` from then on.
    ///
    /// # Errors
    /// When it cannot be loaded; whatever served before still serves.
    fn serve(&self, bundle: &VerifiedBundle, installed: &Installed) -> Result<(), Failure>;

    /// Lets go of the instance that a trial kept, if there is one; what serves stays.
    fn forget(&self, bundle: &Digest);
}
