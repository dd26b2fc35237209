//! Assignments: one release for one device, followed by that device's own signed reports.

use espalier_protocol::desired::ReleaseRef;
use espalier_protocol::id::{AssignmentId, RolloutId};
use espalier_protocol::report::{Activation, AssignmentProgress, Failure, Installed, Step};
use espalier_protocol::{DeviceClassName, DeviceName, Digest, ModelName};
use jiff::Timestamp;

use crate::observation::{Freshness, Position};

/// One release for one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// Its id.
    pub id: AssignmentId,
    /// The rollout that it belongs to.
    pub rollout: RolloutId,
    /// The stage, from 0.
    pub stage: u32,
    /// The device, of the rollout's tenant.
    pub device: DeviceName,
    /// The class that the bundle was chosen by.
    pub class: DeviceClassName,
    /// The line of work.
    pub model: ModelName,
    /// The release.
    pub release: ReleaseRef,
    /// The bundle for the device's class.
    pub bundle: Digest,
    /// What served when the device was told: where a revert leads.
    pub before: Option<Installed>,
    /// Where the device should get to now.
    pub goal: Goal,
    /// Which try this is; 0 before the first.
    pub attempt: u32,
    /// How far it is.
    pub state: State,
    /// The last report that was taken in for this try.
    pub last: Option<Position>,
}

/// Where the device should get to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Goal {
    /// The release's bundle.
    Install,
    /// Back to what served before.
    Return,
}

/// How far an assignment is.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Its stage is not open.
    Pending,
    /// The device was told, and has an end to report.
    Underway {
        /// Since when it was told.
        sent_at: Timestamp,
        /// How far it said it is.
        step: Underway,
    },
    /// The device serves what it should.
    Active(Activation),
    /// The device gave up; what served before still serves.
    Failed(Failure),
    /// The device went back by itself.
    RolledBack(Failure),
    /// The device was told and did not end in time. It counts as a failure until it speaks again.
    Silent {
        /// Since when it was told.
        sent_at: Timestamp,
    },
    /// The rollout ended, or the device was revoked, before it was told.
    Cancelled,
    /// The rollout was reverted, and has nothing to take the device back to: nothing served before, or a newer
    /// rollout has told it since. It keeps what it runs. Or the device was revoked on its way.
    Withdrawn,
}

/// The steps of a device that is underway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Underway {
    /// Told; nothing heard.
    Sent,
    /// The desired state was verified and accepted.
    Accepted,
    /// Bytes are coming in.
    Downloading {
        /// Bytes that are here.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// All bytes are here and verified.
    Verified,
    /// Loading, and reproducing the golden outputs.
    Trial,
}

/// An assignment's state in one word: what is counted and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    missing_docs,
    reason = "the words are explained at `State` and `Underway`"
)]
pub enum Phase {
    Pending,
    Sent,
    Accepted,
    Downloading,
    Verified,
    Trial,
    Active,
    Failed,
    RolledBack,
    Silent,
    Cancelled,
    Withdrawn,
    Returning,
    Returned,
    ReturnFailed,
    ReturnSilent,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Pending,
        Self::Sent,
        Self::Accepted,
        Self::Downloading,
        Self::Verified,
        Self::Trial,
        Self::Active,
        Self::Failed,
        Self::RolledBack,
        Self::Silent,
        Self::Cancelled,
        Self::Withdrawn,
        Self::Returning,
        Self::Returned,
        Self::ReturnFailed,
        Self::ReturnSilent,
    ];

    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Downloading => "downloading",
            Self::Verified => "verified",
            Self::Trial => "trial",
            Self::Active => "active",
            Self::Failed => "failed",
            Self::RolledBack => "rolled-back",
            Self::Silent => "silent",
            Self::Cancelled => "cancelled",
            Self::Withdrawn => "withdrawn",
            Self::Returning => "returning",
            Self::Returned => "returned",
            Self::ReturnFailed => "return-failed",
            Self::ReturnSilent => "return-silent",
        }
    }

    /// The phase of a word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }
}

/// What a report did to an assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It moved it on.
    Moved,
    /// It changed nothing, for this reason.
    Ignored(Ignored),
}

/// Why a report changed nothing. All of these are ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// Delivered twice.
    Duplicate,
    /// Overtaken by a newer report.
    Late,
    /// About a try that a newer one has replaced.
    OldAttempt,
    /// About a try that was never ordered: an older database was restored, or somebody lies.
    UnknownAttempt,
    /// About an assignment that the device was never told of, or that was closed.
    NotOpen,
    /// The assignment has ended this way already.
    AlreadyEnded,
}

impl Assignment {
    /// Its state in one word.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match (self.goal, &self.state) {
            (_, State::Pending) => Phase::Pending,
            (_, State::Cancelled) => Phase::Cancelled,
            (_, State::Withdrawn) => Phase::Withdrawn,
            (Goal::Return, State::Underway { .. }) => Phase::Returning,
            (Goal::Return, State::Active(_)) => Phase::Returned,
            (Goal::Return, State::Failed(_) | State::RolledBack(_)) => Phase::ReturnFailed,
            (Goal::Return, State::Silent { .. }) => Phase::ReturnSilent,
            (Goal::Install, State::Underway { step, .. }) => step.phase(),
            (Goal::Install, State::Active(_)) => Phase::Active,
            (Goal::Install, State::Failed(_)) => Phase::Failed,
            (Goal::Install, State::RolledBack(_)) => Phase::RolledBack,
            (Goal::Install, State::Silent { .. }) => Phase::Silent,
        }
    }

    /// Whether the device has been told of it, and it still stands.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !matches!(
            self.state,
            State::Pending | State::Cancelled | State::Withdrawn
        )
    }

    /// Takes in what a device reported at `position`.
    pub fn apply(&mut self, progress: &AssignmentProgress, position: Position) -> Applied {
        match self.admit(progress, position) {
            Err(reason) => Applied::Ignored(reason),
            Ok(state) => {
                self.last = Some(position);
                self.state = state;
                Applied::Moved
            }
        }
    }

    fn admit(&self, progress: &AssignmentProgress, position: Position) -> Result<State, Ignored> {
        if !self.is_open() {
            return Err(Ignored::NotOpen);
        }
        if progress.attempt < self.attempt {
            return Err(Ignored::OldAttempt);
        }
        if progress.attempt > self.attempt {
            return Err(Ignored::UnknownAttempt);
        }
        match position.after(self.last) {
            Freshness::New => self.next(&progress.step),
            Freshness::Duplicate => Err(Ignored::Duplicate),
            Freshness::Late => Err(Ignored::Late),
        }
    }

    /// An end is only left for another kind of end: a device that failed may yet succeed, one that serves may
    /// yet go back, and none of them is believed to be on its way again without a new try.
    fn next(&self, step: &Step) -> Result<State, Ignored> {
        let end = match step {
            Step::Active(activation) => State::Active(*activation),
            Step::Failed(failure) => State::Failed(failure.clone()),
            Step::RolledBack(failure) => State::RolledBack(failure.clone()),
            underway => return self.underway(underway),
        };
        let same_kind = std::mem::discriminant(&end) == std::mem::discriminant(&self.state);
        let failed_before = matches!(self.state, State::Failed(_) | State::RolledBack(_));
        let fails_again = matches!(end, State::Failed(_)) && failed_before;
        if same_kind || fails_again {
            Err(Ignored::AlreadyEnded)
        } else {
            Ok(end)
        }
    }

    fn underway(&self, step: &Step) -> Result<State, Ignored> {
        let step = match *step {
            Step::Accepted => Underway::Accepted,
            Step::Downloading { done, total } => Underway::Downloading { done, total },
            Step::Verified => Underway::Verified,
            _ => Underway::Trial,
        };
        match self.state {
            State::Underway { sent_at, .. } | State::Silent { sent_at } => {
                Ok(State::Underway { sent_at, step })
            }
            _ => Err(Ignored::AlreadyEnded),
        }
    }

    /// The device is told to install. Sending again does nothing.
    pub fn send(&mut self, before: Option<Installed>, now: Timestamp) {
        if self.state == State::Pending {
            self.before = before;
            self.begin_attempt(now);
        }
    }

    /// The device is told to go back. Saying so again does nothing.
    pub fn send_back(&mut self, now: Timestamp) {
        if self.goal == Goal::Return || !self.is_open() {
            return;
        }
        match self.before {
            None => self.withdraw(),
            Some(_) => {
                self.goal = Goal::Return;
                self.begin_attempt(now);
            }
        }
    }

    /// The rollout is reverted, and the device is not its to send back. Saying so again does nothing.
    pub fn withdraw(&mut self) {
        if self.goal == Goal::Install && self.is_open() {
            self.state = State::Withdrawn;
        }
    }

    fn begin_attempt(&mut self, now: Timestamp) {
        self.attempt += 1;
        self.last = None;
        self.state = State::Underway {
            sent_at: now,
            step: Underway::Sent,
        };
    }

    /// The device did not end in time.
    pub fn count_as_silent(&mut self) {
        if let State::Underway { sent_at, .. } = self.state {
            self.state = State::Silent { sent_at };
        }
    }

    /// The rollout ended before the device was told.
    pub fn cancel(&mut self) {
        if self.state == State::Pending {
            self.state = State::Cancelled;
        }
    }

    /// The device was revoked: it is told nothing more and believed nothing more, so nobody waits for it. What it ended
    /// with before stands; one on its way back is left to the clock.
    pub fn leave(&mut self) {
        match (self.goal, &self.state) {
            (_, State::Pending) => self.state = State::Cancelled,
            (Goal::Install, State::Underway { .. }) => self.state = State::Withdrawn,
            _ => {}
        }
    }
}

impl Underway {
    const fn phase(self) -> Phase {
        match self {
            Self::Sent => Phase::Sent,
            Self::Accepted => Phase::Accepted,
            Self::Downloading { .. } => Phase::Downloading,
            Self::Verified => Phase::Verified,
            Self::Trial => Phase::Trial,
        }
    }
}
