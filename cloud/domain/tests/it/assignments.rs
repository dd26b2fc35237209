//! Assignments follow devices' reports, in whatever order and however often they come.

use espalier_domain::Phase;
use espalier_domain::assignment::{Applied, Assignment, Goal, Ignored, State};
use espalier_domain::desired::desired_models;
use espalier_domain::observation::Position;
use espalier_protocol::desired::Action;
use espalier_protocol::id::AssignmentId;
use espalier_protocol::report::{Activation, AssignmentProgress, Installed, Step};
use jiff::SignedDuration;
use uuid::Uuid;

use crate::world::{ROLLOUT, before, failure, release, start};

fn pending(number: u128) -> Assignment {
    let release = release(&["x86"]);
    let class = "x86".parse().unwrap();
    Assignment {
        id: AssignmentId(Uuid::from_u128(number)),
        rollout: ROLLOUT,
        stage: 0,
        device: "press-1".parse().unwrap(),
        bundle: release.bundle_for(&class).unwrap(),
        class,
        model: release.model().clone(),
        release: release.reference(),
        before: None,
        goal: Goal::Install,
        attempt: 0,
        state: State::Pending,
        last: None,
    }
}

fn sent() -> Assignment {
    let mut assignment = pending(1);
    assignment.send(Some(before()), start());
    assignment
}

fn at(seq: u64) -> Position {
    Position { boot: 1, seq }
}

fn report(assignment: &mut Assignment, attempt: u32, seq: u64, step: Step) -> Applied {
    let progress = AssignmentProgress {
        assignment: assignment.id,
        attempt,
        step,
    };
    assignment.apply(&progress, at(seq))
}

fn active() -> Step {
    let release = release(&["x86"]).reference();
    let installed = Installed {
        release,
        bundle: release.digest,
    };
    Step::Active(Activation {
        installed,
        bytes_downloaded: 10,
        duration_ms: 5,
        golden_agreement: Some(1.0),
        golden_latency_ms: Some(3.0),
    })
}

#[test]
fn a_whole_update() {
    let mut assignment = sent();
    let steps = [
        (Step::Accepted, Phase::Accepted),
        (Step::Downloading { done: 1, total: 2 }, Phase::Downloading),
        (Step::Downloading { done: 2, total: 2 }, Phase::Downloading),
        (Step::Verified, Phase::Verified),
        (Step::Trial, Phase::Trial),
        (active(), Phase::Active),
    ];
    for (seq, (step, phase)) in (1..).zip(steps) {
        assert_eq!(report(&mut assignment, 1, seq, step), Applied::Moved);
        assert_eq!(assignment.phase(), phase);
    }
}

#[test]
fn duplicates_late_and_foreign_attempts_are_named_and_change_nothing() {
    let mut assignment = sent();
    assert_eq!(report(&mut assignment, 1, 5, Step::Trial), Applied::Moved);
    let before = assignment.clone();
    let ignored = [
        (1, 5, Ignored::Duplicate),
        (1, 4, Ignored::Late),
        (0, 9, Ignored::OldAttempt),
        (2, 9, Ignored::UnknownAttempt),
    ];
    for (attempt, seq, reason) in ignored {
        assert_eq!(
            report(&mut assignment, attempt, seq, active()),
            Applied::Ignored(reason)
        );
        assert_eq!(assignment, before);
    }
}

#[test]
fn a_new_boot_begins_a_new_count() {
    let mut assignment = sent();
    report(&mut assignment, 1, 900, Step::Accepted);
    let progress = AssignmentProgress {
        assignment: assignment.id,
        attempt: 1,
        step: Step::Trial,
    };
    assert_eq!(
        assignment.apply(&progress, Position { boot: 2, seq: 1 }),
        Applied::Moved
    );
}

#[test]
fn nobody_reports_on_what_was_not_ordered() {
    let mut waiting = pending(1);
    assert_eq!(
        report(&mut waiting, 0, 1, active()),
        Applied::Ignored(Ignored::NotOpen)
    );
    waiting.cancel();
    assert_eq!(
        report(&mut waiting, 0, 1, active()),
        Applied::Ignored(Ignored::NotOpen)
    );
    assert_eq!(waiting.phase(), Phase::Cancelled);
}

#[test]
fn an_end_is_left_for_another_kind_of_end_only() {
    let mut assignment = sent();
    report(&mut assignment, 1, 1, Step::Failed(failure()));
    assert_eq!(
        report(&mut assignment, 1, 2, Step::Trial),
        Applied::Ignored(Ignored::AlreadyEnded)
    );
    assert_eq!(
        report(&mut assignment, 1, 3, Step::Failed(failure())),
        Applied::Ignored(Ignored::AlreadyEnded)
    );
    assert_eq!(
        report(&mut assignment, 1, 4, active()),
        Applied::Moved,
        "it may yet succeed"
    );
    assert_eq!(
        report(&mut assignment, 1, 5, active()),
        Applied::Ignored(Ignored::AlreadyEnded)
    );
    assert_eq!(
        report(&mut assignment, 1, 6, Step::RolledBack(failure())),
        Applied::Moved,
        "and yet go back"
    );
    assert_eq!(assignment.phase(), Phase::RolledBack);
}

#[test]
fn a_silent_device_that_speaks_again_is_believed() {
    let mut assignment = sent();
    assignment.count_as_silent();
    assert_eq!(assignment.phase(), Phase::Silent);
    assert_eq!(
        report(&mut assignment, 1, 1, Step::Verified),
        Applied::Moved
    );
    assignment.count_as_silent();
    assert_eq!(report(&mut assignment, 1, 2, active()), Applied::Moved);
    assert_eq!(assignment.phase(), Phase::Active);
    assignment.count_as_silent();
    assert_eq!(assignment.phase(), Phase::Active, "an end is not silence");
}

#[test]
fn telling_twice_is_telling_once() {
    let mut assignment = sent();
    let once = assignment.clone();
    assignment.send(None, start() + SignedDuration::from_hours(1));
    assert_eq!(assignment, once);
    assignment.send_back(start());
    let back = assignment.clone();
    assignment.send_back(start() + SignedDuration::from_hours(1));
    assert_eq!(assignment, back);
    assert_eq!((back.attempt, back.phase()), (2, Phase::Returning));
}

#[test]
fn the_first_attempts_reports_do_not_count_for_the_way_back() {
    let mut assignment = sent();
    report(&mut assignment, 1, 1, Step::Trial);
    assignment.send_back(start());
    assert_eq!(
        report(&mut assignment, 1, 2, active()),
        Applied::Ignored(Ignored::OldAttempt)
    );
    assert_eq!(report(&mut assignment, 2, 3, active()), Applied::Moved);
    assert_eq!(assignment.phase(), Phase::Returned);
}

#[test]
fn who_had_nothing_before_is_not_sent_anywhere() {
    let mut assignment = pending(1);
    assignment.send(None, start());
    assignment.send_back(start());
    assert_eq!(assignment.phase(), Phase::Withdrawn);
    assert!(desired_models([&assignment]).is_empty());
}

#[test]
fn desired_states_follow_the_last_word_on_each_model() {
    let mut first = sent();
    report(&mut first, 1, 1, active());
    let mut second = pending(2);
    assert_eq!(
        desired_models([&first, &second])[0].assignment,
        first.id,
        "who was not told is not meant"
    );
    second.send(Some(before()), start());
    let desired = desired_models([&first, &second]);
    assert_eq!(desired.len(), 1);
    assert_eq!(
        (desired[0].assignment, desired[0].action, desired[0].attempt),
        (second.id, Action::Install, 1)
    );

    second.send_back(start());
    let desired = desired_models([&first, &second]);
    assert_eq!((desired[0].action, desired[0].attempt), (Action::Revert, 2));
    assert_eq!(
        (desired[0].bundle, desired[0].release),
        (before().bundle, before().release)
    );

    let mut other_model = sent();
    other_model.model = "tiles".parse().unwrap();
    assert_eq!(desired_models([&first, &other_model]).len(), 2);
}

#[test]
fn every_phase_has_one_name() {
    for phase in Phase::ALL {
        assert_eq!(Phase::from_name(phase.name()), Some(phase));
    }
    assert_eq!(Phase::from_name("unheard-of"), None);
}
