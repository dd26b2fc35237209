//! How a rollout goes: to whom, in which stages, through which gates.

use serde::{Deserialize, Serialize};

use crate::percent::Percent;
use crate::selector::Selector;

/// Most stages of a rollout.
pub const MAX_STAGES: usize = 20;
/// Longest time that a device may be given, in seconds: 90 days.
const MAX_TIMEOUT_S: u32 = 90 * 24 * 3600;

/// To whom, and how. Only [`Policy::new`] makes one, so that every policy ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Draft", into = "Draft")]
pub struct Policy {
    selector: Selector,
    stages: Vec<Stage>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// A name for people: `canary`, `rest`.
    pub name: String,
    /// How many of the enlisted devices.
    pub size: StageSize,
    /// When it passes, and when it stops the rollout.
    #[serde(default)]
    pub gate: Gate,
}

/// How many of the enlisted devices a stage takes, after the stages before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageSize {
    /// So many.
    Count(u32),
    /// This share of all enlisted devices, rounded up.
    Percent(Percent),
    /// All that are left.
    Rest,
}

/// When a stage passes, and when it stops the rollout.
///
/// The share of failures is taken over the devices whose end is known, not over the whole stage: one percent of
/// ten thousand must not need a hundred broken devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gate {
    /// It passes when this share of the stage's devices serve the release.
    pub success: Percent,
    /// It stops when more than this share of the decided devices failed.
    pub failure: Percent,
    /// Fewest decided devices before failures may stop it, unless the stage has no more.
    pub min_sample: u32,
    /// Seconds that a device has from being told; afterwards its silence is a failure.
    pub timeout_s: u32,
    /// What stopping means.
    pub on_failure: OnFailure,
}

impl Default for Gate {
    /// Careful: nineteen of twenty must serve, one in twenty may fail, an hour of silence is a failure.
    fn default() -> Self {
        Self {
            success: Percent::capped(95),
            failure: Percent::capped(5),
            min_sample: 1,
            timeout_s: 3600,
            on_failure: OnFailure::Pause,
        }
    }
}

/// What stopping means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Wait for a person.
    #[default]
    Pause,
    /// Tell nobody else.
    Abort,
    /// Send everybody back.
    Revert,
}

/// Why a policy is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPolicy {
    /// None, or more than [`MAX_STAGES`].
    #[error("a rollout has 1 to {MAX_STAGES} stages, not {0}")]
    StageCount(usize),
    /// The last stage leaves devices behind, or an earlier one leaves none.
    #[error("stage `{0}`: the last stage, and only the last, must be `rest`")]
    Rest(String),
    /// A stage of nobody.
    #[error("stage `{0}` is for nobody; give it a count or a percentage above 0")]
    Empty(String),
    /// The shares are more than a whole.
    #[error("the stages' percentages are more than 100 in all")]
    MoreThanAll,
    /// A time limit that never comes or is over at once.
    #[error("stage `{stage}`: the timeout must be between 1 s and 90 days, not {seconds} s")]
    Timeout {
        /// Which stage.
        stage: String,
        /// What was asked.
        seconds: u32,
    },
    /// A gate that passes with nobody.
    #[error(
        "stage `{0}`: the success share must be above 0, else the stage passes before anybody serves"
    )]
    NoSuccess(String),
    /// A name that is none.
    #[error("`{0}` is no stage name: 1 to 40 characters")]
    Name(String),
}

impl Policy {
    /// A policy from its parts.
    ///
    /// # Errors
    /// The first part that does not fit.
    pub fn new(selector: Selector, stages: Vec<Stage>) -> Result<Self, InvalidPolicy> {
        if !(1..=MAX_STAGES).contains(&stages.len()) {
            return Err(InvalidPolicy::StageCount(stages.len()));
        }
        stages.iter().try_for_each(Stage::check)?;
        check_rest(&stages)?;
        let shares = stages.iter().map(|stage| match stage.size {
            StageSize::Percent(share) => u32::from(share.hundredths()),
            _ => 0,
        });
        if shares.sum::<u32>() > u32::from(Percent::ALL.hundredths()) {
            return Err(InvalidPolicy::MoreThanAll);
        }
        Ok(Self { selector, stages })
    }

    /// The usual two stages: a few first, then the rest.
    ///
    /// # Errors
    /// As [`Policy::new`].
    pub fn canary_then_rest(
        selector: Selector,
        canary: StageSize,
        gate: Gate,
    ) -> Result<Self, InvalidPolicy> {
        let stage = |name: &str, size| Stage {
            name: name.to_owned(),
            size,
            gate,
        };
        Self::new(
            selector,
            vec![stage("canary", canary), stage("rest", StageSize::Rest)],
        )
    }

    /// Which devices are meant.
    #[must_use]
    pub fn selector(&self) -> &Selector {
        &self.selector
    }

    /// The stages, never empty.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The number of the last stage.
    #[must_use]
    pub fn last_stage(&self) -> u32 {
        u32::try_from(self.stages.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The gate of a stage; of the last one for a number beyond it.
    #[must_use]
    pub fn gate(&self, stage: u32) -> Gate {
        let index = (stage.min(self.last_stage())) as usize;
        self.stages
            .get(index)
            .map_or_else(Gate::default, |stage| stage.gate)
    }
}

fn check_rest(stages: &[Stage]) -> Result<(), InvalidPolicy> {
    let last = stages.len() - 1;
    let misplaced =
        |(index, stage): &(usize, &Stage)| (stage.size == StageSize::Rest) != (*index == last);
    match stages.iter().enumerate().find(misplaced) {
        Some((_, stage)) => Err(InvalidPolicy::Rest(stage.name.clone())),
        None => Ok(()),
    }
}

impl Stage {
    fn check(&self) -> Result<(), InvalidPolicy> {
        if self.name.is_empty() || self.name.chars().count() > 40 {
            return Err(InvalidPolicy::Name(self.name.chars().take(40).collect()));
        }
        if matches!(
            self.size,
            StageSize::Count(0) | StageSize::Percent(Percent::ZERO)
        ) {
            return Err(InvalidPolicy::Empty(self.name.clone()));
        }
        if !(1..=MAX_TIMEOUT_S).contains(&self.gate.timeout_s) {
            return Err(InvalidPolicy::Timeout {
                stage: self.name.clone(),
                seconds: self.gate.timeout_s,
            });
        }
        if self.gate.success == Percent::ZERO {
            return Err(InvalidPolicy::NoSuccess(self.name.clone()));
        }
        Ok(())
    }
}

/// A policy as it is written, before it is checked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    selector: Selector,
    stages: Vec<Stage>,
}

impl TryFrom<Draft> for Policy {
    type Error = InvalidPolicy;

    fn try_from(draft: Draft) -> Result<Self, InvalidPolicy> {
        Self::new(draft.selector, draft.stages)
    }
}

impl From<Policy> for Draft {
    fn from(policy: Policy) -> Self {
        Self {
            selector: policy.selector,
            stages: policy.stages,
        }
    }
}
