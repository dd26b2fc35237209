//! All slots of one model, and the transitions between their states.

use espalier_protocol::Digest;
use espalier_protocol::desired::{Action, DesiredModel};
use espalier_protocol::report::{Activation, Failure, Installed};
use serde::{Deserialize, Serialize};

use super::serving::{Arrival, Candidate, Serving};
use super::trial::{MAX_TRIAL_STARTS, TrialSlot, WrongState};

/// Failed digests that a model remembers; the oldest is forgotten first.
const MAX_BURNT: usize = 32;

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
    arrival: Option<Arrival>,
    burnt: Vec<Burnt>,
}

/// How an order stands to a model's slots.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// This very try brought what serves: its success is to be said again.
    Arrived(Activation),
    /// The bundle serves already, by another order: that is success, too.
    AlreadyActive,
    /// This very try ended before; its end is to be said again, not repeated.
    Ended(Failure, Ending),
    /// This very try is under way.
    UnderWay,
    /// A revert whose bundle lies in the previous slot.
    Kept,
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
        if self.serves(&order.bundle) {
            return match self.arrival {
                Some(arrival) if arrival.is_of(order) => Standing::Arrived(arrival.activation),
                _ => Standing::AlreadyActive,
            };
        }
        if order.action == Action::Revert {
            let kept = self
                .serving
                .previous()
                .filter(|kept| kept.bundle == order.bundle);
            return match kept {
                Some(_) => Standing::Kept,
                None => Standing::NotKept,
            };
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
    pub fn begin_trial(self) -> Result<Self, WrongState> {
        let (candidate, starts) = match self.trial {
            TrialSlot::Verified { candidate } => (candidate, 1),
            TrialSlot::OnTrial { candidate, starts } if starts < MAX_TRIAL_STARTS => {
                (candidate, starts + 1)
            }
            _ => return self.trial.refuse("begin a trial"),
        };
        Ok(self.with_trial(TrialSlot::OnTrial { candidate, starts }))
    }

    /// The trial was broken off by the agent's orderly end or by a newer order: that start does not count, earlier ones
    /// do.
    ///
    /// # Errors
    /// When nothing is on trial.
    pub fn break_off_trial(self) -> Result<Self, WrongState> {
        let trial = match self.trial {
            TrialSlot::OnTrial { candidate, starts } if starts > 1 => TrialSlot::OnTrial {
                candidate,
                starts: starts - 1,
            },
            TrialSlot::OnTrial { candidate, .. } => TrialSlot::Verified { candidate },
            _ => return self.trial.refuse("break off a trial"),
        };
        Ok(self.with_trial(trial))
    }

    /// The trial succeeded: the candidate becomes active, and what served is kept.
    ///
    /// # Errors
    /// When nothing is on trial.
    pub fn activate(self, activation: Activation) -> Result<Self, WrongState> {
        match self.trial {
            TrialSlot::OnTrial { candidate, .. } => Ok(self.arrived(&candidate, activation)),
            _ => self.trial.refuse("activate"),
        }
    }

    /// What was just activated or reverted to does not serve after all: what served before takes its place again, and the
    /// digest is not tried again in this attempt.
    #[must_use]
    pub fn withdraw(mut self, candidate: Candidate, failure: Failure) -> Self {
        self.burn(candidate.bundle, candidate.attempt);
        self.drop_active()
            .with_trial(TrialSlot::RolledBack { candidate, failure })
    }

    /// The order ends before its trial, or cannot even be begun: its end is kept, so that it is said again and not tried
    /// again.
    ///
    /// # Errors
    /// While a bundle is on trial: then it is rolled back.
    pub fn fail(self, candidate: Candidate, failure: Failure) -> Result<Self, WrongState> {
        match self.trial {
            TrialSlot::OnTrial { .. } => self.trial.refuse("fail"),
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
    /// When another bundle serves, or one is on trial.
    pub fn settle(self, order: &Candidate, activation: Activation) -> Result<Self, WrongState> {
        match self.trial {
            TrialSlot::OnTrial { .. } => self.trial.refuse("settle"),
            _ if !self.serves(&order.bundle) => Err(WrongState {
                verb: "settle",
                state: "holding what does not serve",
            }),
            _ => Ok(self.arrived(order, activation)),
        }
    }

    /// Active and previous change places, because `order` says so.
    ///
    /// # Errors
    /// When another bundle or none is kept, or one is on trial.
    pub fn revert(self, order: &Candidate, activation: Activation) -> Result<Self, WrongState> {
        let kept = self
            .serving
            .previous()
            .is_some_and(|kept| kept.bundle == order.bundle);
        match self.trial {
            TrialSlot::OnTrial { .. } => self.trial.refuse("revert"),
            _ if !kept => Err(WrongState {
                verb: "revert",
                state: "beside another previous bundle, or none",
            }),
            _ => Ok(self.arrived(order, activation)),
        }
    }

    /// A trial that no process is carrying out any more, and no order asks for: the slot is empty again.
    #[must_use]
    pub fn abandon_trial(self) -> Self {
        match self.trial {
            TrialSlot::OnTrial { .. } => self.with_trial(TrialSlot::Empty),
            _ => self,
        }
    }

    /// The active bundle is damaged or cannot be loaded: the kept one takes its place, and nothing is kept.
    #[must_use]
    pub fn drop_active(self) -> Self {
        let serving = match self.serving {
            Serving::ActiveAndPrevious { previous, .. } => Serving::Active { active: previous },
            Serving::Nothing | Serving::Active { .. } => Serving::Nothing,
        };
        Self {
            serving,
            arrival: None,
            ..self
        }
    }

    /// The order that brought what serves, as far as it is known.
    #[must_use]
    pub fn arrival(&self) -> Option<&Arrival> {
        self.arrival.as_ref()
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

    /// What may not be collected: active, previous, one that is on its way, and one whose download failed, so that a new
    /// attempt goes on where it broke off.
    pub fn held(&self) -> impl Iterator<Item = Installed> {
        let on_its_way = match &self.trial {
            TrialSlot::Staging { candidate }
            | TrialSlot::Verified { candidate }
            | TrialSlot::OnTrial { candidate, .. }
            | TrialSlot::Failed { candidate, .. } => Some(candidate.installed()),
            TrialSlot::Empty | TrialSlot::RolledBack { .. } => None,
        };
        let slots = [self.serving.active(), self.serving.previous()];
        slots.into_iter().flatten().chain(on_its_way)
    }

    fn serves(&self, bundle: &Digest) -> bool {
        self.serving
            .active()
            .is_some_and(|active| active.bundle == *bundle)
    }

    fn arrived(self, order: &Candidate, activation: Activation) -> Self {
        Self {
            serving: self.serving.push(order.installed()),
            trial: TrialSlot::Empty,
            arrival: Some(order.arrival(activation)),
            burnt: self.burnt,
        }
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
