//! What holds for every fleet: seeded, so that a failure can be run again.

use espalier_domain::rollout::{Gate, OnFailure, Policy, RolloutState, Stage, StageSize, Verb};
use espalier_domain::{Percent, Selector};
use proptest::prelude::*;

use crate::world::{Behaviour, World};

fn behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        6 => (1_u32..5).prop_map(Behaviour::Serves),
        2 => (1_u32..5).prop_map(Behaviour::Fails),
        1 => (1_u32..4).prop_map(Behaviour::Regrets),
        1 => Just(Behaviour::Silent),
    ]
}

fn gate() -> impl Strategy<Value = Gate> {
    let on_failure = prop_oneof![
        Just(OnFailure::Pause),
        Just(OnFailure::Abort),
        Just(OnFailure::Revert)
    ];
    (1_u8..=100, 0_u8..=100, 0_u32..5, 120_u32..600, on_failure).prop_map(
        |(success, failure, min_sample, timeout_s, on_failure)| Gate {
            success: Percent::capped(success),
            failure: Percent::capped(failure),
            min_sample,
            timeout_s,
            on_failure,
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    let size = prop_oneof![
        (1_u32..8).prop_map(StageSize::Count),
        (1_u8..=33).prop_map(|share| StageSize::Percent(Percent::capped(share))),
    ];
    let stage = (size, gate()).prop_map(|(size, gate)| Stage {
        name: "some".to_owned(),
        size,
        gate,
    });
    (proptest::collection::vec(stage, 0..3), gate()).prop_map(|(mut stages, gate)| {
        stages.push(Stage {
            name: "rest".to_owned(),
            size: StageSize::Rest,
            gate,
        });
        Policy::new(Selector::All, stages).unwrap()
    })
}

/// Devices that may be told once stage `open` is open.
fn allowed(policy: &Policy, open: u32, fleet: u64) -> u64 {
    let open = policy.stages().iter().take(open as usize + 1);
    let shares = open.map(|stage| match stage.size {
        StageSize::Count(count) => u64::from(count),
        StageSize::Percent(share) => share.of_rounded_up(fleet),
        StageSize::Rest => fleet,
    });
    shares.sum::<u64>().min(fleet)
}

fn open_stage(state: &RolloutState) -> Option<u32> {
    match state {
        RolloutState::Running { stage, .. } | RolloutState::Paused { stage, .. } => Some(*stage),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// A person resumes whatever a gate pauses: the hardest case for ending at all.
    #[test]
    fn every_run_ends_and_is_never_more_exposed_than_its_stages_allow(
        policy in policy(),
        fleet in proptest::collection::vec(behaviour(), 1..40),
    ) {
        let mut world = World::new(policy, &fleet);
        let mut highest = 0;
        world.settle();
        for _ in 0..600 {
            highest = highest.max(open_stage(&world.state).unwrap_or(0));
            let allowed = allowed(&world.policy, highest, fleet.len() as u64);
            prop_assert!(world.exposed() as u64 <= allowed, "{} told, {allowed} allowed", world.exposed());
            if matches!(world.state, RolloutState::Paused { .. }) {
                world.act(Verb::Resume);
            }
            if !world.state.is_live() {
                break;
            }
            world.tick();
        }
        prop_assert!(!world.state.is_live(), "still {}:\n{}", world.state.name(), world.log.join("\n"));
        let pending = world.tallies().iter().map(|tally| tally.pending()).sum::<u64>();
        prop_assert_eq!(pending, 0, "nobody is left waiting");
    }

    #[test]
    fn a_revert_at_any_moment_ends_with_nobody_underway(
        policy in policy(),
        fleet in proptest::collection::vec(behaviour(), 1..30),
        minute in 0_usize..12,
    ) {
        let mut world = World::new(policy, &fleet);
        world.settle();
        for _ in 0..minute {
            world.tick();
        }
        if world.state.allowed().contains(&Verb::Revert) {
            world.act(Verb::Revert);
        }
        for _ in 0..30 {
            world.tick();
        }
        if let RolloutState::Reverted { .. } = world.state {
            for tally in world.tallies() {
                prop_assert_eq!(tally.pending() + tally.underway() + tally.succeeded() + tally.returning(), 0);
            }
        } else {
            prop_assert!(!matches!(world.state, RolloutState::Reverting { .. }), "{}", world.log.join("\n"));
        }
    }

    #[test]
    fn the_same_fleet_gives_the_same_story(
        policy in policy(),
        fleet in proptest::collection::vec(behaviour(), 1..20),
    ) {
        let story = |policy: Policy| {
            let mut world = World::new(policy, &fleet);
            world.settle();
            for _ in 0..15 {
                world.tick();
            }
            (world.log, world.state, world.assignments)
        };
        prop_assert_eq!(story(policy.clone()), story(policy));
    }
}
