//! What serves, what is kept, and what is on its way to take their place.

use espalier_protocol::Digest;
use espalier_protocol::desired::{DesiredModel, ReleaseRef};
use espalier_protocol::id::AssignmentId;
use espalier_protocol::report::{Activation, Installed};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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

    pub(super) fn arrival(&self, activation: Activation) -> Arrival {
        Arrival {
            assignment: self.assignment,
            attempt: self.attempt,
            activation,
        }
    }

    /// Whether it is this very try of this assignment.
    #[must_use]
    pub fn serves(&self, order: &DesiredModel) -> bool {
        (self.assignment, self.attempt) == (order.assignment, order.attempt)
    }
}

/// The order that brought what serves, and what was measured then: kept so that it can be said again in the same words.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Arrival {
    /// The assignment.
    pub assignment: AssignmentId,
    /// Which try of it.
    pub attempt: u32,
    /// What was measured.
    pub activation: Activation,
}

impl Arrival {
    pub(super) fn is_of(&self, order: &DesiredModel) -> bool {
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
    pub(super) fn push(self, next: Installed) -> Self {
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
