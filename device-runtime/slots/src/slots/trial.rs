//! The trial slot, and what to do in each of its states after a power cut.

use espalier_protocol::report::{Failure, FailureKind};
use serde::{Deserialize, Serialize};

use super::serving::Candidate;

/// A trial that ended the process this often is not begun again.
pub const MAX_TRIAL_STARTS: u8 = 2;

/// A transition that the state does not allow. It is a mistake of the caller, never of a person.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the trial slot cannot {verb} while it is {state}")]
pub struct WrongState {
    /// What was asked.
    pub verb: &'static str,
    /// The state's name.
    pub state: &'static str,
}

/// A model's trial slot: the bundle on its way, or how the last one ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum TrialSlot {
    /// Nothing is on its way.
    #[default]
    Empty,
    /// Its bytes are being fetched.
    Staging {
        /// What is on its way.
        candidate: Candidate,
    },
    /// All its bytes are here and verified.
    Verified {
        /// What is on its way.
        candidate: Candidate,
    },
    /// It is being loaded and must reproduce its golden outputs.
    OnTrial {
        /// What is on its way.
        candidate: Candidate,
        /// How often the trial was begun: more than once means that it ended the process.
        starts: u8,
    },
    /// It was given up before its trial.
    Failed {
        /// What was on its way.
        candidate: Candidate,
        /// Why.
        failure: Failure,
    },
    /// Its trial failed, or it was taken back; what served before still serves.
    RolledBack {
        /// What was on its way.
        candidate: Candidate,
        /// Why.
        failure: Failure,
    },
}

/// What to do with a trial slot after the agent started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// Nothing.
    Rest,
    /// Go on fetching: files that are whole are kept, a partial one is continued.
    Fetch(Candidate),
    /// Begin the trial, or begin it again.
    Try(Candidate),
    /// The trial ended the process too often: roll back.
    RollBack(Candidate, Failure),
    /// Say again how it ended; the report may have been lost.
    Report(Candidate),
}

impl TrialSlot {
    /// The bundle in the slot, also one that failed.
    #[must_use]
    pub fn candidate(&self) -> Option<&Candidate> {
        match self {
            Self::Empty => None,
            Self::Staging { candidate }
            | Self::Verified { candidate }
            | Self::OnTrial { candidate, .. }
            | Self::Failed { candidate, .. }
            | Self::RolledBack { candidate, .. } => Some(candidate),
        }
    }

    /// What to do in this state after a power cut, or any other end of the agent.
    #[must_use]
    pub fn resume(&self) -> Resume {
        match self {
            Self::Empty => Resume::Rest,
            Self::Staging { candidate } => Resume::Fetch(*candidate),
            Self::Verified { candidate } => Resume::Try(*candidate),
            Self::OnTrial { candidate, starts } if *starts < MAX_TRIAL_STARTS => {
                Resume::Try(*candidate)
            }
            Self::OnTrial { candidate, starts } => Resume::RollBack(*candidate, crashed(*starts)),
            Self::Failed { candidate, .. } | Self::RolledBack { candidate, .. } => {
                Resume::Report(*candidate)
            }
        }
    }
}

fn crashed(starts: u8) -> Failure {
    Failure {
        kind: FailureKind::TrialCrashed,
        detail: format!("the agent ended {starts} times while it tried the bundle"),
    }
}

impl TrialSlot {
    /// The state's name, for logs and status.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Staging { .. } => "staging",
            Self::Verified { .. } => "verified",
            Self::OnTrial { .. } => "on trial",
            Self::Failed { .. } => "failed",
            Self::RolledBack { .. } => "rolled back",
        }
    }

    pub(super) fn refuse<T>(&self, verb: &'static str) -> Result<T, WrongState> {
        Err(WrongState {
            verb,
            state: self.name(),
        })
    }
}
