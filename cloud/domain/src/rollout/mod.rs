//! Rollouts: a release on its way to a selection of devices, in stages with gates.

mod enlist;
mod gate;
mod plan;
mod policy;
mod tally;

use espalier_protocol::id::{ReleaseId, RolloutId};
use espalier_protocol::{ModelName, Tenant};
use jiff::Timestamp;

pub use enlist::{Candidate, Enlistment, LeftOut, Member, enlist};
pub use gate::{StopReason, Verdict, judge};
pub use plan::{Facts, Plan, Sent, Step, plan};
pub use policy::{Gate, InvalidPolicy, MAX_STAGES, OnFailure, Policy, Stage, StageSize};
pub use tally::Tally;

/// A release on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// Its id.
    pub id: RolloutId,
    /// The owner.
    pub tenant: Tenant,
    /// What is rolled out.
    pub release: ReleaseId,
    /// The line of work.
    pub model: ModelName,
    /// To whom, and how.
    pub policy: Policy,
    /// When it was drafted.
    pub created_at: Timestamp,
    /// The trace of the call that started it: devices carry it back in their reports.
    pub traceparent: Option<String>,
    /// How far it is.
    pub state: RolloutState,
}

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq)]
pub enum RolloutState {
    /// Not started: nobody is enlisted yet.
    Draft,
    /// Its stages are being opened.
    Running {
        /// The open stage, from 0.
        stage: u32,
        /// Since when it is open.
        since: Timestamp,
        /// Failures that do not count, because somebody saw them and went on.
        excused: Excused,
    },
    /// Nobody else is told; those that were told go on.
    Paused {
        /// The open stage.
        stage: u32,
        /// Since when it is paused.
        since: Timestamp,
        /// Who paused it, and why.
        reason: PauseReason,
        /// Failures that did not count before.
        excused: Excused,
    },
    /// Every stage passed.
    Completed {
        /// When.
        at: Timestamp,
    },
    /// Stopped for good: nobody else is told, and those that have the release keep it.
    Aborted {
        /// When.
        at: Timestamp,
        /// Why.
        reason: StopReason,
    },
    /// Everybody that was told is being sent back to what served before.
    Reverting {
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: StopReason,
    },
    /// Everybody is back, or has had the time for it.
    Reverted {
        /// When.
        at: Timestamp,
        /// Why.
        reason: StopReason,
    },
}

/// Failed devices that no longer count, for each stage from 0: who resumes a rollout that its gate has paused
/// has accepted them, and the gate looks at what comes after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excused(pub Vec<u64>);

impl Excused {
    /// How many of a stage.
    #[must_use]
    pub fn of(&self, stage: u32) -> u64 {
        self.0.get(stage as usize).copied().unwrap_or(0)
    }

    fn all_failures(tallies: &[Tally]) -> Self {
        Self(tallies.iter().map(Tally::failed).collect())
    }
}

/// Why a rollout is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PauseReason {
    /// Somebody wants to look first.
    Operator,
    /// A gate stopped it.
    Gate(StopReason),
}

/// What operators may do to a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Enlist devices and open the first stage.
    Start,
    /// Tell nobody else for now.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Stop for good; who has the release keeps it.
    Abort,
    /// Send everybody back.
    Revert,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Start,
        Self::Pause,
        Self::Resume,
        Self::Abort,
        Self::Revert,
    ];

    /// The verb's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Abort => "abort",
            Self::Revert => "revert",
        }
    }
}

/// A verb that the rollout's state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rollout that is {state} cannot {}; it can {}", .verb.name(), allowed_text(.allowed))]
pub struct RolloutRefusal {
    state: &'static str,
    verb: Verb,
    allowed: &'static [Verb],
}

fn allowed_text(allowed: &[Verb]) -> String {
    match allowed {
        [] => "do nothing more".to_owned(),
        some => some
            .iter()
            .map(|verb| verb.name())
            .collect::<Vec<_>>()
            .join(" or "),
    }
}

impl RolloutState {
    /// The state's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Running { .. } => "running",
            Self::Paused { .. } => "paused",
            Self::Completed { .. } => "completed",
            Self::Aborted { .. } => "aborted",
            Self::Reverting { .. } => "reverting",
            Self::Reverted { .. } => "reverted",
        }
    }

    /// Whether the planner still has something to do with it.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(
            self,
            Self::Running { .. } | Self::Paused { .. } | Self::Reverting { .. }
        )
    }

    /// What operators may do now.
    #[must_use]
    pub const fn allowed(&self) -> &'static [Verb] {
        match self {
            Self::Draft => &[Verb::Start, Verb::Abort],
            Self::Running { .. } => &[Verb::Pause, Verb::Abort, Verb::Revert],
            Self::Paused { .. } => &[Verb::Resume, Verb::Abort, Verb::Revert],
            Self::Completed { .. } | Self::Aborted { .. } => &[Verb::Revert],
            Self::Reverting { .. } | Self::Reverted { .. } => &[],
        }
    }

    /// What the state is after an operator's verb, given the stages' tallies.
    ///
    /// # Errors
    /// [`RolloutRefusal`], with what is allowed instead.
    pub fn after(
        &self,
        verb: Verb,
        tallies: &[Tally],
        now: Timestamp,
    ) -> Result<Self, RolloutRefusal> {
        let allowed = self.allowed();
        if !allowed.contains(&verb) {
            return Err(RolloutRefusal {
                state: self.name(),
                verb,
                allowed,
            });
        }
        let reason = StopReason::Operator;
        Ok(match (verb, self) {
            (Verb::Pause, Self::Running { stage, excused, .. }) => {
                let reason = PauseReason::Operator;
                Self::Paused {
                    stage: *stage,
                    since: now,
                    reason,
                    excused: excused.clone(),
                }
            }
            (
                Verb::Resume,
                Self::Paused {
                    stage,
                    reason,
                    excused,
                    ..
                },
            ) => {
                let excused = match reason {
                    PauseReason::Operator => excused.clone(),
                    PauseReason::Gate(_) => Excused::all_failures(tallies),
                };
                Self::Running {
                    stage: *stage,
                    since: now,
                    excused,
                }
            }
            (Verb::Abort, _) => Self::Aborted { at: now, reason },
            (Verb::Revert, _) => Self::Reverting { since: now, reason },
            _ => Self::Running {
                stage: 0,
                since: now,
                excused: Excused::default(),
            },
        })
    }
}
