use std::collections::BTreeMap;

use espalier_api::rollout::{
    ActivationView, AssignmentDetail, AssignmentGoal, AssignmentView, BytesView, FailureView,
    LeftOutView, OnFailure, PhaseCounts, RolloutState, RolloutView, StageProgress, StageSize,
    StageSpec, StageView,
};
use espalier_domain::{
    assignment::{Assignment, Goal, Phase, State, Underway},
    release::Release,
    rollout::{
        OnFailure as KnownOnFailure, PauseReason, Rollout, RolloutState as Known, Stage,
        StageSize as KnownSize, StopReason, Tally, Verb, Verdict, judge,
    },
};
use espalier_protocol::{DeviceName, id::RolloutId, report::Failure};
use jiff::Timestamp;

use super::{action, word};

/// A rollout as clients see it, from its stages' tallies. One that is overtaken has nobody to send back.
#[must_use]
pub fn rollout(
    rollout: Rollout,
    release: &Release,
    tallies: &[Tally],
    left_out: Vec<(DeviceName, String)>,
    overtaken_by: Option<RolloutId>,
    now: Timestamp,
) -> RolloutView {
    let none = Tally::default();
    let tally = |stage: usize| tallies.get(stage).unwrap_or(&none);
    let stages = rollout.policy.stages().iter().enumerate();
    let actions = Verb::ALL.into_iter().map(|verb| {
        let refusal = rollout.state.after(verb, tallies, now).err();
        let refusal = refusal.map(|refusal| format!("{refusal}."));
        let overtaken = overtaken_by.filter(|_| verb == Verb::Revert);
        action(verb.name(), refusal.or(overtaken.map(overtaken_words)))
    });
    RolloutView {
        id: rollout.id,
        release: rollout.release,
        release_digest: release.digest,
        model: rollout.model.clone(),
        selector: rollout.policy.selector().to_string(),
        created_at: rollout.created_at,
        state: state(&rollout.state),
        stages: stages
            .map(|(place, stage)| stage_view(place, stage, tally(place), &rollout.state))
            .collect(),
        counts: counts(tallies),
        left_out: left_out
            .into_iter()
            .map(|(device, reason)| LeftOutView {
                device,
                reason: format!("{reason}."),
            })
            .collect(),
        actions: actions.collect(),
    }
}

/// Why a rollout whose devices a newer one has told since cannot be reverted.
#[must_use]
pub fn overtaken_words(newer: RolloutId) -> String {
    format!(
        "Every device that it told has been told by rollout {newer} since: only that one can send them back."
    )
}

fn state(state: &Known) -> RolloutState {
    match state {
        Known::Draft => RolloutState::Draft,
        Known::Running { stage, since, .. } => RolloutState::Running {
            stage: *stage,
            since: *since,
        },
        Known::Paused {
            stage,
            since,
            reason,
            ..
        } => RolloutState::Paused {
            stage: *stage,
            since: *since,
            reason: pause(reason),
        },
        Known::Completed { at } => RolloutState::Completed { at: *at },
        Known::Aborted { at, reason } => RolloutState::Aborted {
            at: *at,
            reason: stop(reason),
        },
        Known::Reverting { since, reason } => RolloutState::Reverting {
            since: *since,
            reason: stop(reason),
        },
        Known::Reverted { at, reason } => RolloutState::Reverted {
            at: *at,
            reason: stop(reason),
        },
    }
}

fn pause(reason: &PauseReason) -> String {
    match reason {
        PauseReason::Operator => "An operator paused it.".to_owned(),
        PauseReason::Gate(reason) => stop(reason),
    }
}

fn stop(reason: &StopReason) -> String {
    match reason {
        StopReason::Operator => "An operator wanted it.".to_owned(),
        StopReason::TooManyFailed {
            stage,
            failed,
            decided,
        } => {
            format!(
                "In stage {}, {failed} of {decided} devices failed: more than the gate allows.",
                stage + 1
            )
        }
        StopReason::TooFewSucceeded {
            stage,
            succeeded,
            needed,
        } => {
            format!(
                "In stage {}, {needed} devices had to succeed, and only {succeeded} still can or did.",
                stage + 1
            )
        }
    }
}

fn stage_view(place: usize, stage: &Stage, tally: &Tally, state: &Known) -> StageView {
    StageView {
        spec: spec(stage),
        progress: progress(place, stage, tally, state),
        counts: counts(std::slice::from_ref(tally)),
    }
}

/// What a stage's words in a request were.
fn spec(stage: &Stage) -> StageSpec {
    StageSpec {
        name: stage.name.clone(),
        size: match stage.size {
            KnownSize::Count(count) => StageSize::Count(count),
            KnownSize::Percent(share) => StageSize::Percent(share.into()),
            KnownSize::Rest => StageSize::Rest,
        },
        success_percent: stage.gate.success.into(),
        failure_percent: stage.gate.failure.into(),
        min_sample: stage.gate.min_sample,
        timeout_seconds: stage.gate.timeout_s,
        on_failure: match stage.gate.on_failure {
            KnownOnFailure::Pause => OnFailure::Pause,
            KnownOnFailure::Abort => OnFailure::Abort,
            KnownOnFailure::Revert => OnFailure::Revert,
        },
    }
}

fn progress(place: usize, stage: &Stage, tally: &Tally, state: &Known) -> StageProgress {
    let number = u32::try_from(place).unwrap_or(u32::MAX);
    let excused = match state {
        Known::Running { excused, .. } | Known::Paused { excused, .. } => excused.of(number),
        _ => 0,
    };
    let opened = match state {
        Known::Draft => false,
        Known::Running { stage: open, .. } | Known::Paused { stage: open, .. } => number <= *open,
        Known::Completed { .. } => true,
        Known::Aborted { .. } | Known::Reverting { .. } | Known::Reverted { .. } => {
            tally.total() > tally.pending() + tally.count(Phase::Cancelled)
        }
    };
    match (opened, judge(number, &stage.gate, tally, excused)) {
        (false, _) => StageProgress::Waiting,
        (true, _) if matches!(state, Known::Reverting { .. } | Known::Reverted { .. }) => {
            StageProgress::Reverted
        }
        (true, Verdict::Wait) => StageProgress::Open,
        (true, Verdict::Pass) => StageProgress::Passed,
        (true, Verdict::Stop(_)) => StageProgress::Failed,
    }
}

fn counts(tallies: &[Tally]) -> PhaseCounts {
    let sum = |count: fn(&Tally) -> u64| tallies.iter().map(count).sum();
    let mut phases = BTreeMap::new();
    for (phase, count) in tallies.iter().flat_map(Tally::iter) {
        *phases.entry(phase.name().to_owned()).or_insert(0) += count;
    }
    PhaseCounts {
        total: sum(Tally::total),
        pending: sum(Tally::pending),
        underway: sum(Tally::underway),
        active: sum(Tally::succeeded),
        failed: sum(Tally::failed),
        returning: sum(Tally::returning),
        phases,
    }
}

/// An assignment as clients see it.
#[must_use]
pub fn assignment(assignment: Assignment) -> AssignmentView {
    AssignmentView {
        id: assignment.id,
        device: assignment.device.clone(),
        stage: assignment.stage,
        goal: match assignment.goal {
            Goal::Install => AssignmentGoal::Install,
            Goal::Return => AssignmentGoal::Return,
        },
        attempt: assignment.attempt,
        phase: assignment.phase().name().to_owned(),
        detail: detail(assignment.state),
    }
}

fn detail(state: State) -> AssignmentDetail {
    match state {
        State::Pending => AssignmentDetail::Untold,
        State::Underway { sent_at, step } => AssignmentDetail::Underway {
            sent_at,
            bytes: bytes(step),
        },
        State::Active(activation) => AssignmentDetail::Active(ActivationView {
            bytes_downloaded: activation.bytes_downloaded,
            duration_ms: activation.duration_ms,
            golden_agreement: activation.golden_agreement,
            golden_latency_ms: activation.golden_latency_ms,
        }),
        State::Failed(failure) | State::RolledBack(failure) => {
            AssignmentDetail::Failed(failed(failure))
        }
        State::Silent { sent_at } => AssignmentDetail::Silent { sent_at },
        State::Cancelled | State::Withdrawn => AssignmentDetail::Closed,
    }
}

fn bytes(step: Underway) -> Option<BytesView> {
    match step {
        Underway::Downloading { done, total } => Some(BytesView { done, total }),
        _ => None,
    }
}

fn failed(failure: Failure) -> FailureView {
    FailureView {
        kind: word(failure.kind),
        detail: failure.detail,
    }
}
