//! What the planner does, told as a story and compared with the one that was read and found right.
//!
//! `UPDATE_TRANSCRIPTS=1 cargo test -p espalier-domain` writes them anew; read the diff.

use std::fs;
use std::path::Path;

use espalier_domain::rollout::{Gate, OnFailure, Policy, Stage, StageSize, Verb};
use espalier_domain::{Percent, Selector};

use crate::world::Behaviour::{Fails, Regrets, Serves, Silent};
use crate::world::World;

fn gate(on_failure: OnFailure) -> Gate {
    Gate {
        success: Percent::capped(75),
        failure: Percent::capped(25),
        min_sample: 2,
        timeout_s: 600,
        on_failure,
    }
}

fn canary(count: u32, gate: Gate) -> Policy {
    Policy::canary_then_rest(Selector::All, StageSize::Count(count), gate).unwrap()
}

fn run(world: &mut World, minutes: u32) {
    world.settle();
    (0..minutes).for_each(|_| world.tick());
}

fn compare(name: &str, world: &World) {
    let mut told = world.log.join("\n");
    told.push('\n');
    for assignment in &world.assignments {
        told.push_str(&format!(
            "{} in stage {}: {}\n",
            assignment.device,
            assignment.stage,
            assignment.phase().name()
        ));
    }
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/transcripts/{name}.txt"));
    if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        fs::write(&path, &told).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(told, known, "the transcript `{name}` has changed");
}

#[test]
fn a_good_release_goes_from_canary_to_all() {
    let mut world = World::new(canary(2, gate(OnFailure::Pause)), &[Serves(2); 10]);
    run(&mut world, 10);
    compare("good_release", &world);
}

#[test]
fn a_bad_release_stops_at_the_canary() {
    let mut world = World::new(canary(2, gate(OnFailure::Pause)), &[Fails(1); 10]);
    run(&mut world, 10);
    compare("bad_release_pauses", &world);
}

#[test]
fn a_bad_release_is_taken_back_without_a_person() {
    let mut world = World::new(
        canary(3, gate(OnFailure::Revert)),
        &[Serves(1), Fails(2), Fails(2), Serves(1)],
    );
    run(&mut world, 10);
    compare("bad_release_reverts", &world);
}

#[test]
fn silent_devices_are_failures_after_the_time_limit() {
    let mut world = World::new(
        canary(2, gate(OnFailure::Abort)),
        &[Silent, Serves(1), Serves(1), Serves(1)],
    );
    run(&mut world, 15);
    compare("silent_canary", &world);
}

#[test]
fn a_regression_in_the_canary_stops_the_later_stage() {
    let mut fleet = vec![Regrets(3), Regrets(3), Serves(30)];
    fleet.extend([Serves(30); 5]);
    let mut world = World::new(canary(2, gate(OnFailure::Pause)), &fleet);
    run(&mut world, 12);
    compare("late_regression", &world);
}

#[test]
fn a_regression_is_answered_as_the_canary_says_not_as_the_open_stage_says() {
    let stage = |name: &str, size, on_failure| Stage {
        name: name.to_owned(),
        size,
        gate: gate(on_failure),
    };
    let stages = vec![
        stage("canary", StageSize::Count(2), OnFailure::Revert),
        stage("rest", StageSize::Rest, OnFailure::Pause),
    ];
    let mut fleet = vec![Regrets(3), Regrets(3)];
    fleet.extend([Serves(30); 3]);
    let mut world = World::new(Policy::new(Selector::All, stages).unwrap(), &fleet);
    run(&mut world, 12);
    compare("late_regression_reverts", &world);
}

#[test]
fn who_resumes_has_accepted_the_failures_so_far() {
    let mut world = World::new(
        canary(4, gate(OnFailure::Pause)),
        &[Fails(1), Fails(1), Serves(1), Serves(1), Serves(1)],
    );
    run(&mut world, 3);
    world.act(Verb::Resume);
    run(&mut world, 5);
    compare("resumed_after_failures", &world);
}

#[test]
fn a_pause_tells_nobody_else_and_those_told_go_on() {
    let mut world = World::new(canary(2, gate(OnFailure::Pause)), &[Serves(3); 5]);
    run(&mut world, 1);
    world.act(Verb::Pause);
    run(&mut world, 5);
    world.act(Verb::Resume);
    run(&mut world, 5);
    compare("paused_and_resumed", &world);
}

#[test]
fn an_abort_leaves_what_is_done_and_a_revert_takes_it_back() {
    let mut world = World::new(
        canary(2, gate(OnFailure::Pause)),
        &[Serves(1), Serves(4), Serves(1), Serves(1)],
    );
    run(&mut world, 2);
    world.act(Verb::Abort);
    run(&mut world, 4);
    world.act(Verb::Revert);
    run(&mut world, 6);
    compare("aborted_then_reverted", &world);
}

#[test]
fn a_revert_ends_although_a_device_never_answers() {
    let mut world = World::new(canary(2, gate(OnFailure::Pause)), &[Silent, Serves(1)]);
    run(&mut world, 2);
    world.act(Verb::Revert);
    run(&mut world, 15);
    compare("revert_with_silence", &world);
}

#[test]
fn three_stages_by_share() {
    let share = |percent| StageSize::Percent(Percent::capped(percent));
    let stage = |name: &str, size| Stage {
        name: name.to_owned(),
        size,
        gate: gate(OnFailure::Pause),
    };
    let stages = vec![
        stage("few", share(10)),
        stage("some", share(40)),
        stage("rest", StageSize::Rest),
    ];
    let mut world = World::new(
        Policy::new(Selector::All, stages).unwrap(),
        &[Serves(1); 10],
    );
    run(&mut world, 8);
    compare("three_stages", &world);
}
