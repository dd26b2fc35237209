//! The planner: a pure function of policy, facts and time. It decides; whoever executes a plan has no choice left.

use espalier_protocol::id::AssignmentId;
use jiff::{SignedDuration, Timestamp};

use super::gate::{StopReason, Verdict, judge};
use super::policy::{OnFailure, Policy};
use super::tally::Tally;
use super::{Excused, PauseReason, RolloutState};

/// What the planner looks at: small, whatever the size of the fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The rollout's state.
    pub state: RolloutState,
    /// The stages' tallies, by number; a stage that is not there has no devices.
    pub tallies: Vec<Tally>,
    /// Some devices of the open stage that were not told yet, in order.
    pub pending: Vec<AssignmentId>,
    /// Some devices that were told and have not ended, those told first first.
    pub underway: Vec<Sent>,
}

/// A device that was told and has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its assignment.
    pub assignment: AssignmentId,
    /// Its stage.
    pub stage: u32,
    /// When it was told.
    pub at: Timestamp,
}

/// What is to be done now, in order, in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The steps; none when there is only waiting to do.
    pub steps: Vec<Step>,
    /// When to look again even if nothing happens: the next silence that becomes a failure.
    pub look_again: Option<Timestamp>,
}

/// One step. Executing it again changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Count these as failed by silence.
    CountSilent(Vec<AssignmentId>),
    /// Tell these devices.
    Send(Vec<AssignmentId>),
    /// Cancel what was not told, in all stages.
    CancelPending,
    /// Send back everybody that was told.
    SendBack,
    /// Change the rollout's state.
    Become(RolloutState),
}

/// Plans the next steps of a rollout.
///
/// Calling it again after the plan was executed gives the steps after these, until there are none: then the
/// rollout waits for reports, for the clock, or for a person.
#[must_use]
pub fn plan(policy: &Policy, facts: &Facts, now: Timestamp) -> Plan {
    let overdue = overdue(policy, facts, now);
    if !overdue.is_empty() {
        return Plan {
            steps: vec![Step::CountSilent(overdue)],
            look_again: None,
        };
    }
    let steps = match &facts.state {
        RolloutState::Running { stage, excused, .. } => run(policy, facts, *stage, excused, now),
        RolloutState::Reverting { reason, .. } => revert(facts, reason, now),
        RolloutState::Aborted { .. } => cancel_pending(facts),
        RolloutState::Draft
        | RolloutState::Paused { .. }
        | RolloutState::Completed { .. }
        | RolloutState::Reverted { .. } => Vec::new(),
    };
    Plan {
        steps,
        look_again: next_deadline(policy, facts),
    }
}

fn run(policy: &Policy, facts: &Facts, stage: u32, excused: &Excused, now: Timestamp) -> Vec<Step> {
    if let Some((on_failure, reason)) = failing(policy, facts, stage, excused) {
        return stop(on_failure, stage, reason, excused, now);
    }
    if !facts.pending.is_empty() {
        return vec![Step::Send(facts.pending.clone())];
    }
    match judge_stage(policy, facts, stage, excused) {
        Verdict::Pass if stage < policy.last_stage() => {
            let excused = excused.clone();
            vec![Step::Become(RolloutState::Running {
                stage: stage + 1,
                since: now,
                excused,
            })]
        }
        Verdict::Pass if all_decided(facts) => {
            vec![Step::Become(RolloutState::Completed { at: now })]
        }
        // The last stage is good enough, and some devices are not done: they are waited for, so that a
        // completed rollout has no loose ends.
        Verdict::Pass | Verdict::Wait | Verdict::Stop(_) => Vec::new(),
    }
}

/// Every open stage is watched, not only the last opened one: a regression that shows later still stops, as the
/// stage that it shows in says.
fn failing(
    policy: &Policy,
    facts: &Facts,
    open: u32,
    excused: &Excused,
) -> Option<(OnFailure, StopReason)> {
    (0..=open).find_map(|stage| match judge_stage(policy, facts, stage, excused) {
        Verdict::Stop(reason) => Some((policy.gate(stage).on_failure, reason)),
        Verdict::Pass | Verdict::Wait => None,
    })
}

fn judge_stage(policy: &Policy, facts: &Facts, stage: u32, excused: &Excused) -> Verdict {
    let nobody = Tally::default();
    let tally = facts.tallies.get(stage as usize).unwrap_or(&nobody);
    judge(stage, &policy.gate(stage), tally, excused.of(stage))
}

fn stop(
    on_failure: OnFailure,
    stage: u32,
    reason: StopReason,
    excused: &Excused,
    now: Timestamp,
) -> Vec<Step> {
    match on_failure {
        OnFailure::Pause => {
            let reason = PauseReason::Gate(reason);
            vec![Step::Become(RolloutState::Paused {
                stage,
                since: now,
                reason,
                excused: excused.clone(),
            })]
        }
        OnFailure::Abort => {
            vec![
                Step::CancelPending,
                Step::Become(RolloutState::Aborted { at: now, reason }),
            ]
        }
        OnFailure::Revert => vec![
            Step::CancelPending,
            Step::SendBack,
            Step::Become(RolloutState::Reverting { since: now, reason }),
        ],
    }
}

fn revert(facts: &Facts, reason: &StopReason, now: Timestamp) -> Vec<Step> {
    let told = |tally: &Tally| tally.underway() + tally.decided() > 0;
    let mut steps = cancel_pending(facts);
    if facts.tallies.iter().any(told) {
        steps.push(Step::SendBack);
    }
    if steps.is_empty() && facts.tallies.iter().all(|tally| tally.returning() == 0) {
        steps.push(Step::Become(RolloutState::Reverted {
            at: now,
            reason: reason.clone(),
        }));
    }
    steps
}

fn cancel_pending(facts: &Facts) -> Vec<Step> {
    match facts.tallies.iter().any(|tally| tally.pending() > 0) {
        true => vec![Step::CancelPending],
        false => Vec::new(),
    }
}

fn overdue(policy: &Policy, facts: &Facts, now: Timestamp) -> Vec<AssignmentId> {
    let late = facts
        .underway
        .iter()
        .filter(|sent| deadline(policy, sent) <= now);
    late.map(|sent| sent.assignment).collect()
}

fn next_deadline(policy: &Policy, facts: &Facts) -> Option<Timestamp> {
    facts
        .underway
        .iter()
        .map(|sent| deadline(policy, sent))
        .min()
}

/// A time beyond what the calendar holds never comes.
fn deadline(policy: &Policy, sent: &Sent) -> Timestamp {
    let patience = SignedDuration::from_secs(i64::from(policy.gate(sent.stage).timeout_s));
    sent.at.checked_add(patience).unwrap_or(Timestamp::MAX)
}

fn all_decided(facts: &Facts) -> bool {
    facts
        .tallies
        .iter()
        .all(|tally| tally.pending() + tally.underway() == 0)
}
