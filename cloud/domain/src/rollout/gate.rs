//! The gate: what a stage's tally says about going on.

use serde::{Deserialize, Serialize};

use super::policy::Gate;
use super::tally::Tally;

/// What a stage's tally says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not enough is known.
    Wait,
    /// The next stage may open.
    Pass,
    /// Something is wrong.
    Stop(StopReason),
}

/// Why a rollout was stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum StopReason {
    /// Somebody wanted it.
    Operator,
    /// More of the decided devices failed than may.
    TooManyFailed {
        /// Which stage.
        stage: u32,
        /// How many failed.
        failed: u64,
        /// Of how many decided.
        decided: u64,
    },
    /// So many failed that the success share cannot be reached any more.
    TooFewSucceeded {
        /// Which stage.
        stage: u32,
        /// How many serve the release.
        succeeded: u64,
        /// How many had to.
        needed: u64,
    },
}

/// Judges one stage by its tally. A stage without devices passes, and one whose devices were all revoked.
///
/// `excused` failures are left out, as if their devices were not in the stage.
#[must_use]
pub fn judge(stage: u32, gate: &Gate, tally: &Tally, excused: u64) -> Verdict {
    let excused = excused.min(tally.failed());
    let failed = tally.failed() - excused;
    let decided = tally.decided() - excused;
    let total = tally.members() - excused;
    // A small stage can never give the sample; then all that it has is the sample.
    let sample = u64::from(gate.min_sample.max(1)).min(total);
    if failed > 0 && decided >= sample && gate.failure.exceeded_by(failed, decided) {
        return Verdict::Stop(StopReason::TooManyFailed {
            stage,
            failed,
            decided,
        });
    }
    let (succeeded, needed) = (tally.succeeded(), gate.success.of_rounded_up(total));
    if total - failed < needed {
        return Verdict::Stop(StopReason::TooFewSucceeded {
            stage,
            succeeded,
            needed,
        });
    }
    let all_told = tally.pending() == 0;
    if all_told && succeeded >= needed && decided >= sample {
        Verdict::Pass
    } else {
        Verdict::Wait
    }
}
