//! How many devices of a stage are where.

use std::collections::BTreeMap;

use crate::assignment::Phase;

/// Assignments of one stage, counted by phase.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<Phase, u64>);

impl Tally {
    /// How many are in a phase.
    #[must_use]
    pub fn count(&self, phase: Phase) -> u64 {
        self.0.get(&phase).copied().unwrap_or(0)
    }

    /// All counts above zero.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, u64)> + '_ {
        self.0
            .iter()
            .map(|(phase, count)| (*phase, *count))
            .filter(|(_, count)| *count > 0)
    }

    /// All devices of the stage.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Devices that count for the gate: all but those that were revoked before they ended.
    #[must_use]
    pub fn members(&self) -> u64 {
        self.total() - self.sum(&[Phase::Cancelled, Phase::Withdrawn])
    }

    /// Not told yet.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.count(Phase::Pending)
    }

    /// Told, and their end is not known.
    #[must_use]
    pub fn underway(&self) -> u64 {
        self.sum(&[
            Phase::Sent,
            Phase::Accepted,
            Phase::Downloading,
            Phase::Verified,
            Phase::Trial,
        ])
    }

    /// Serving the release.
    #[must_use]
    pub fn succeeded(&self) -> u64 {
        self.count(Phase::Active)
    }

    /// Told, and it came to nothing; silence included.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.sum(&[Phase::Failed, Phase::RolledBack, Phase::Silent])
    }

    /// Their end is known.
    #[must_use]
    pub fn decided(&self) -> u64 {
        self.succeeded() + self.failed()
    }

    /// On their way back.
    #[must_use]
    pub fn returning(&self) -> u64 {
        self.count(Phase::Returning)
    }

    fn sum(&self, phases: &[Phase]) -> u64 {
        phases.iter().map(|phase| self.count(*phase)).sum()
    }
}

impl FromIterator<(Phase, u64)> for Tally {
    fn from_iter<I: IntoIterator<Item = (Phase, u64)>>(counts: I) -> Self {
        let mut tally = BTreeMap::new();
        for (phase, count) in counts {
            *tally.entry(phase).or_insert(0) += count;
        }
        Self(tally)
    }
}

impl FromIterator<Phase> for Tally {
    fn from_iter<I: IntoIterator<Item = Phase>>(phases: I) -> Self {
        phases.into_iter().map(|phase| (phase, 1)).collect()
    }
}
