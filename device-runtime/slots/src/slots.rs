//! The slot state machine: which bundle of a model serves, which is kept, which is on its way.
//!
//! Every transition consumes the state and returns the next one, and the caller makes it durable *before* it acts on
//! it. After a power cut the state on disk says what to do; see [`TrialSlot::resume`].
//!
//! ```text
//!             stage            verified          begin_trial          activate
//!  Empty ───────────▶ Staging ─────────▶ Verified ─────────▶ OnTrial ─────────▶ Empty, and Active/Previous move up
//!                        │                  │                   │
//!                        └── fail ──────────┴──▶ Failed         └── roll_back ──▶ RolledBack
//! ```

use espalier_protocol::Digest;
use espalier_protocol::desired::{Action, DesiredModel, ReleaseRef};
use espalier_protocol::id::AssignmentId;
use espalier_protocol::report::{Failure, FailureKind, Installed};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A trial that ended the process this often is not begun again.
pub const MAX_TRIAL_STARTS: u8 = 2;
/// Failed digests that a model remembers; the oldest is forgotten first.
const MAX_BURNT: usize = 32;

/// A bundle on its way into a model's slots, and the order that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The assignment that this serves.
    pub assignment: AssignmentId,
    /// Which try of it.
    pub attempt: u32,
    /// The release that the bundle belongs to.
    pub release: ReleaseRef,
    /// The digest of the bundle's manifest.
    pub bundle: Digest,
    /// When the order arrived.
    pub since: Timestamp,
}

impl Candidate {
    /// The candidate that a verified order names.
    #[must_use]
    pub fn of(order: &DesiredModel, since: Timestamp) -> Self {
        Self {
            assignment: order.assignment,
            attempt: order.attempt,
            release: order.release,
            bundle: order.bundle,
            since,
        }
    }

    /// What it is called once it is in a slot.
    #[must_use]
    pub fn installed(&self) -> Installed {
        Installed {
            release: self.release,
            bundle: self.bundle,
        }
    }

    /// Whether it is this very try of this assignment.
    #[must_use]
    pub fn serves(&self, order: &DesiredModel) -> bool {
        (self.assignment, self.attempt) == (order.assignment, order.attempt)
    }
}

/// What a model's active and previous slot hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "serving", rename_all = "kebab-case")]
pub enum Serving {
    /// Nothing was ever activated.
    #[default]
    Nothing,
    /// One bundle serves, and there is none to go back to.
    Active {
        /// What serves.
        active: Installed,
    },
    /// One serves, and the one before it is kept.
    ActiveAndPrevious {
        /// What serves.
        active: Installed,
        /// What a revert goes back to.
        previous: Installed,
    },
}

impl Serving {
    /// What serves.
    #[must_use]
    pub fn active(&self) -> Option<Installed> {
        match *self {
            Self::Nothing => None,
            Self::Active { active } | Self::ActiveAndPrevious { active, .. } => Some(active),
        }
    }

    /// What is kept.
    #[must_use]
    pub fn previous(&self) -> Option<Installed> {
        match *self {
            Self::ActiveAndPrevious { previous, .. } => Some(previous),
            Self::Nothing | Self::Active { .. } => None,
        }
    }

    /// `next` serves, and what served is kept. The same bundle again moves nothing out.
    fn push(self, next: Installed) -> Self {
        match self.active() {
            None => Self::Active { active: next },
            Some(active) if active.bundle == next.bundle => match self.previous() {
                None => Self::Active { active: next },
                Some(previous) => Self::ActiveAndPrevious {
                    active: next,
                    previous,
                },
            },
            Some(previous) => Self::ActiveAndPrevious {
                active: next,
                previous,
            },
        }
    }
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
        /// When the trial counts as hung.
        deadline: Timestamp,
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
            Self::OnTrial {
                candidate, starts, ..
            } if *starts < MAX_TRIAL_STARTS => Resume::Try(*candidate),
            Self::OnTrial {
                candidate, starts, ..
            } => Resume::RollBack(*candidate, crashed(*starts)),
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

/// A digest whose trial failed, and the last attempt that it failed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Burnt {
    bundle: Digest,
    attempt: u32,
}

/// All slots of one model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelSlots {
    /// The active and the previous slot.
    pub serving: Serving,
    /// The trial slot.
    pub trial: TrialSlot,
    burnt: Vec<Burnt>,
}

/// How an order stands to a model's slots.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// The bundle serves already: that is success.
    AlreadyActive(Installed),
    /// This very try ended before; its end is to be said again, not repeated.
    Ended(Failure, Ending),
    /// This very try is under way.
    UnderWay,
    /// A revert whose bundle lies in the previous slot.
    Kept(Installed),
    /// The digest failed its trial in this or a later attempt.
    Burnt,
    /// A revert that finds no such bundle kept.
    NotKept,
    /// To be fetched and tried.
    New,
}

/// How a try ended without success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Before its trial.
    Failed,
    /// In its trial or later.
    RolledBack,
}

/// A transition that the state does not allow. It is a mistake of the caller, never of a person.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the trial slot cannot {verb} while it is {state}")]
pub struct WrongState {
    /// What was asked.
    pub verb: &'static str,
    /// The state's name.
    pub state: &'static str,
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

    fn refuse<T>(&self, verb: &'static str) -> Result<T, WrongState> {
        Err(WrongState {
            verb,
            state: self.name(),
        })
    }
}

impl ModelSlots {
    /// What an order asks of these slots.
    #[must_use]
    pub fn standing(&self, order: &DesiredModel) -> Standing {
        match &self.trial {
            TrialSlot::Failed { candidate, failure } if candidate.serves(order) => {
                return Standing::Ended(failure.clone(), Ending::Failed);
            }
            TrialSlot::RolledBack { candidate, failure } if candidate.serves(order) => {
                return Standing::Ended(failure.clone(), Ending::RolledBack);
            }
            slot if slot
                .candidate()
                .is_some_and(|candidate| candidate.serves(order)) =>
            {
                return Standing::UnderWay;
            }
            _ => {}
        }
        if let Some(active) = self
            .serving
            .active()
            .filter(|active| active.bundle == order.bundle)
        {
            return Standing::AlreadyActive(active);
        }
        if order.action == Action::Revert {
            let kept = self
                .serving
                .previous()
                .filter(|kept| kept.bundle == order.bundle);
            return kept.map_or(Standing::NotKept, Standing::Kept);
        }
        if self.is_burnt(&order.bundle, order.attempt) {
            return Standing::Burnt;
        }
        Standing::New
    }

    /// Takes a new candidate into the trial slot; one that was still being fetched or waited for its trial is given up.
    ///
    /// # Errors
    /// While another bundle is on trial: its end must be seen first.
    pub fn stage(self, candidate: Candidate) -> Result<Self, WrongState> {
        match self.trial {
            TrialSlot::OnTrial { .. } => self.trial.refuse("take another bundle"),
            _ => Ok(self.with_trial(TrialSlot::Staging { candidate })),
        }
    }

    /// All bytes of the candidate are here and verified.
    ///
    /// # Errors
    /// When none is being fetched.
    pub fn verified(self) -> Result<Self, WrongState> {
        match self.trial {
            TrialSlot::Staging { candidate } | TrialSlot::Verified { candidate } => {
                Ok(self.with_trial(TrialSlot::Verified { candidate }))
            }
            _ => self.trial.refuse("become verified"),
        }
    }

    /// The trial is about to begin, for the first time or again after the agent ended in it.
    ///
    /// # Errors
    /// When the candidate is not verified, or its trial was begun too often.
    pub fn begin_trial(self, deadline: Timestamp) -> Result<Self, WrongState> {
        let (candidate, starts) = match self.trial {
            TrialSlot::Verified { candidate } => (candidate, 1),
            TrialSlot::OnTrial {
                candidate, starts, ..
            } if starts < MAX_TRIAL_STARTS => (candidate, starts + 1),
            _ => return self.trial.refuse("begin a trial"),
        };
        Ok(self.with_trial(TrialSlot::OnTrial {
            candidate,
            deadline,
            starts,
        }))
    }

    /// The trial succeeded: the candidate becomes active, and what served is kept.
    ///
    /// # Errors
    /// When nothing is on trial.
    pub fn activate(self) -> Result<Self, WrongState> {
        match self.trial {
            TrialSlot::OnTrial { candidate, .. } => Ok(Self {
                serving: self.serving.push(candidate.installed()),
                trial: TrialSlot::Empty,
                burnt: self.burnt,
            }),
            _ => self.trial.refuse("activate"),
        }
    }

    /// The candidate is given up before its trial.
    ///
    /// # Errors
    /// When nothing is on its way, or the trial began: then it is rolled back.
    pub fn fail(self, failure: Failure) -> Result<Self, WrongState> {
        match self.trial {
            TrialSlot::Staging { candidate } | TrialSlot::Verified { candidate } => {
                Ok(self.with_trial(TrialSlot::Failed { candidate, failure }))
            }
            _ => self.trial.refuse("fail"),
        }
    }

    /// An order that cannot even be begun: its end is kept, so that it is said again and not tried again.
    ///
    /// # Errors
    /// While another bundle is on trial.
    pub fn refuse(self, candidate: Candidate, failure: Failure) -> Result<Self, WrongState> {
        match self.trial {
            TrialSlot::OnTrial { .. } => self.trial.refuse("refuse another bundle"),
            _ => Ok(self.with_trial(TrialSlot::Failed { candidate, failure })),
        }
    }

    /// The trial failed: what served still serves, and the digest is not tried again in this attempt.
    ///
    /// # Errors
    /// When nothing is on trial.
    pub fn roll_back(mut self, failure: Failure) -> Result<Self, WrongState> {
        match self.trial {
            TrialSlot::OnTrial { candidate, .. } => {
                self.burn(candidate.bundle, candidate.attempt);
                Ok(self.with_trial(TrialSlot::RolledBack { candidate, failure }))
            }
            _ => self.trial.refuse("roll back"),
        }
    }

    /// The bundle that was ordered serves already, perhaps by another release: the slot now names this one, and whatever
    /// was on its way is given up.
    ///
    /// # Errors
    /// While a bundle is on trial.
    pub fn settle(self, installed: Installed) -> Result<Self, WrongState> {
        match self.trial {
            TrialSlot::OnTrial { .. } => self.trial.refuse("settle"),
            _ => Ok(Self {
                serving: self.serving.push(installed),
                trial: TrialSlot::Empty,
                burnt: self.burnt,
            }),
        }
    }

    /// Active and previous change places.
    ///
    /// # Errors
    /// When nothing is kept, or a bundle is on trial.
    pub fn revert(self) -> Result<Self, WrongState> {
        match (self.serving, &self.trial) {
            (_, TrialSlot::OnTrial { .. }) => self.trial.refuse("revert"),
            (Serving::ActiveAndPrevious { active, previous }, _) => Ok(Self {
                serving: Serving::ActiveAndPrevious {
                    active: previous,
                    previous: active,
                },
                trial: TrialSlot::Empty,
                burnt: self.burnt,
            }),
            (Serving::Nothing | Serving::Active { .. }, _) => Err(WrongState {
                verb: "revert",
                state: "without a kept bundle",
            }),
        }
    }

    /// The active bundle is damaged or cannot be loaded: the kept one takes its place, and nothing is kept.
    #[must_use]
    pub fn drop_active(self) -> Self {
        let serving = match self.serving {
            Serving::ActiveAndPrevious { previous, .. } => Serving::Active { active: previous },
            Serving::Nothing | Serving::Active { .. } => Serving::Nothing,
        };
        Self { serving, ..self }
    }

    /// The kept bundle is damaged: nothing is kept any more.
    #[must_use]
    pub fn drop_previous(self) -> Self {
        let serving = match self.serving {
            Serving::ActiveAndPrevious { active, .. } => Serving::Active { active },
            other => other,
        };
        Self { serving, ..self }
    }

    /// Bundles that may not be collected: active, previous, and one that is on its way.
    pub fn held(&self) -> impl Iterator<Item = Digest> {
        let on_its_way = match &self.trial {
            TrialSlot::Staging { candidate }
            | TrialSlot::Verified { candidate }
            | TrialSlot::OnTrial { candidate, .. } => Some(candidate.bundle),
            TrialSlot::Empty | TrialSlot::Failed { .. } | TrialSlot::RolledBack { .. } => None,
        };
        let slots = [self.serving.active(), self.serving.previous()];
        slots
            .into_iter()
            .flatten()
            .map(|slot| slot.bundle)
            .chain(on_its_way)
    }

    fn with_trial(self, trial: TrialSlot) -> Self {
        Self { trial, ..self }
    }

    fn is_burnt(&self, bundle: &Digest, attempt: u32) -> bool {
        self.burnt
            .iter()
            .any(|burnt| burnt.bundle == *bundle && attempt <= burnt.attempt)
    }

    fn burn(&mut self, bundle: Digest, attempt: u32) {
        let attempt = self
            .burnt
            .iter()
            .filter(|burnt| burnt.bundle == bundle)
            .fold(attempt, |highest, burnt| highest.max(burnt.attempt));
        self.burnt.retain(|burnt| burnt.bundle != bundle);
        if self.burnt.len() == MAX_BURNT {
            self.burnt.remove(0);
        }
        self.burnt.push(Burnt { bundle, attempt });
    }
}
