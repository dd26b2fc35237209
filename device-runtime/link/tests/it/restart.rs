//! An agent that is killed in any state ends on one good bundle after its next start.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use espalier_protocol::report::{Failure, FailureKind, Step};
use espalier_slots::Disk;

use crate::agent::{Agent, Bench};
use crate::engine::{Fleet, bundle, ends};
use crate::mint::{model, name, order};

/// A fleet whose device serves the second bundle, keeps the first, and is off.
async fn two_installed() -> Fleet {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    for number in 1..=2 {
        let release = fleet.release(u64::from(number), &bundle(number));
        fleet.order(order(u128::from(number), 1, release, &bundle(number)));
        fleet.active(u128::from(number)).await;
    }
    agent.stop().await;
    fleet
}

fn graph_on_disk(fleet: &Fleet, number: u8) -> PathBuf {
    fleet
        .store()
        .join("bundles")
        .join(bundle(number).digest().to_string())
        .join("graph.onnx")
}

/// What the agent said in its second life about the second order, when it was no success.
async fn failure_in_second_life(fleet: &Fleet) -> Failure {
    let failed = |step: &Step| matches!(step, Step::Failed(_) | Step::RolledBack(_));
    match fleet.cloud.step_in_life(2, 2, failed).await {
        Step::Failed(failure) | Step::RolledBack(failure) => failure,
        other => panic!("{other:?}"),
    }
}

async fn both_slots_are_kept(agent: &Agent) {
    let status = agent.status(|status| status.models[0].idle.is_some()).await;
    let slots = &status.models[0];
    assert_eq!(slots.active.unwrap().bundle, bundle(2).digest());
    assert_eq!(slots.previous.unwrap().bundle, bundle(1).digest());
}

/// Starts an agent that was killed in its first life, and waits until the update is over.
async fn again(fleet: &Fleet, number: u128) -> Agent {
    let agent = fleet.device.start();
    fleet.cloud.step_in_life(2, number, ends).await;
    agent
}

#[tokio::test]
async fn killed_while_downloading() {
    let fleet = Fleet::new().await;
    let release = fleet.release(1, &bundle(1));
    let graph = bundle(1).manifest.files[&name("graph.onnx")].sha256;
    // Every try brings a little, so that the kill comes in the middle.
    fleet.cloud.world().faults.break_always.insert(graph, 2_000);
    let agent = fleet.device.start();
    fleet.order(order(1, 1, release, &bundle(1)));
    fleet
        .cloud
        .step(1, |step| matches!(step, Step::Downloading { .. }))
        .await;
    agent.kill();
    let asked = {
        let mut world = fleet.cloud.world();
        world.faults.break_always.clear();
        std::mem::take(&mut world.asked).len()
    };
    assert!(asked > 0);
    let agent = again(&fleet, 1).await;
    assert_eq!(agent.bench.serves(&model()), Some(bundle(1).digest()));
    // Whole files were kept, and so was the manifest.
    assert!(fleet.cloud.world().asked.len() < bundle(1).files.len());
}

#[tokio::test]
async fn killed_on_trial_once_is_tried_again() {
    let fleet = Fleet::new().await;
    let release = fleet.release(1, &bundle(1));
    let agent = fleet.device.start();
    agent.bench.hold();
    fleet.order(order(1, 1, release, &bundle(1)));
    fleet
        .cloud
        .step(1, |step| matches!(step, Step::Trial))
        .await;
    agent.kill();
    let agent = again(&fleet, 1).await;
    assert_eq!(agent.bench.serves(&model()), Some(bundle(1).digest()));
}

#[tokio::test]
async fn killed_on_trial_twice_is_rolled_back_and_the_old_one_serves() {
    let fleet = Fleet::new().await;
    let first = fleet.release(1, &bundle(1));
    let mut agent = fleet.device.start();
    fleet.order(order(1, 1, first, &bundle(1)));
    fleet.active(1).await;
    let second = fleet.release(2, &bundle(2));
    agent.bench.hold();
    fleet.order(order(2, 1, second, &bundle(2)));
    for life in 1..=2 {
        let trial = |step: &Step| matches!(step, Step::Trial);
        fleet.cloud.step_in_life(life, 2, trial).await;
        agent.kill();
        agent = fleet.device.start_held();
    }
    assert_eq!(fleet.failed(2).await.kind, FailureKind::TrialCrashed);
    assert_eq!(agent.bench.serves(&model()), Some(bundle(1).digest()));
    assert!(agent.bench.trials.lock().unwrap().is_empty());
}

#[tokio::test]
async fn killed_after_activation_says_the_same_again() {
    let fleet = Fleet::new().await;
    let release = fleet.release(1, &bundle(1));
    let agent = fleet.device.start();
    fleet.order(order(1, 1, release, &bundle(1)));
    let said = fleet.active(1).await;
    agent.kill();
    let agent = fleet.device.start();
    let again = fleet.cloud.step_in_life(2, 1, ends).await;
    assert_eq!(again, Step::Active(said));
    assert!(agent.bench.trials.lock().unwrap().is_empty());
    assert_eq!(agent.bench.serves(&model()), Some(bundle(1).digest()));
}

#[tokio::test]
async fn a_start_without_a_runtime_keeps_both_slots() {
    let fleet = two_installed().await;
    let bench = Bench::refusing(FailureKind::Unsupported);
    let agent = fleet.device.start_with(bench, Arc::new(Disk));
    let failure = failure_in_second_life(&fleet).await;
    assert_eq!(failure.kind, FailureKind::Unsupported);
    both_slots_are_kept(&agent).await;
    // The runtime is there again: the next order that names the bundle lets it serve, and so does the next start.
    agent.bench.refuse(None);
    let again = fleet.release(3, &bundle(2));
    fleet.order(order(3, 1, again, &bundle(2)));
    fleet.active(3).await;
    agent.serves(bundle(2).digest()).await;
    agent.stop().await;
    let agent = fleet.device.start();
    agent.serves(bundle(2).digest()).await;
}

#[tokio::test]
async fn a_start_on_a_disk_that_does_not_read_keeps_both_slots() {
    let fleet = two_installed().await;
    let graph = graph_on_disk(&fleet, 2);
    let aside = fleet.store().join("aside");
    fs::rename(&graph, &aside).unwrap();
    fs::create_dir(&graph).unwrap();
    let agent = fleet.device.start();
    let failure = failure_in_second_life(&fleet).await;
    assert_eq!(failure.kind, FailureKind::StoreFailed);
    both_slots_are_kept(&agent).await;
    agent.stop().await;
    fs::remove_dir(&graph).unwrap();
    fs::rename(&aside, &graph).unwrap();
    let agent = fleet.device.start();
    agent.serves(bundle(2).digest()).await;
}

#[tokio::test]
async fn rotten_active_bundle_gives_way_to_the_kept_one() {
    let fleet = two_installed().await;
    let path = graph_on_disk(&fleet, 2);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 4;
    fs::write(&path, bytes).unwrap();
    let agent = fleet.device.start();
    let rolled_back = |step: &Step| matches!(step, Step::RolledBack(_));
    let Step::RolledBack(failure) = fleet.cloud.step_in_life(2, 2, rolled_back).await else {
        unreachable!()
    };
    assert_eq!(failure.kind, FailureKind::Corrupt);
    // And the order that still stands brings it back, by fetching what is broken.
    let active = |step: &Step| matches!(step, Step::Active(_));
    fleet.cloud.step_in_life(2, 2, active).await;
    assert_eq!(agent.bench.serves(&model()), Some(bundle(2).digest()));
}

#[tokio::test]
async fn both_bundles_rotten_is_reported_for_both() {
    let fleet = two_installed().await;
    for number in [1, 2] {
        fs::write(graph_on_disk(&fleet, number), b"rot").unwrap();
    }
    let _agent = fleet.device.start();
    let nothing_left = |report: &espalier_protocol::report::Report| {
        let rolled_back = report
            .progress
            .as_ref()
            .is_some_and(|progress| matches!(progress.step, Step::RolledBack(_)));
        report.boot == 2 && rolled_back && report.models[0].active.is_none()
    };
    fleet.cloud.report(nothing_left).await;
}

#[tokio::test]
async fn stopped_in_order_on_trial_is_no_crash() {
    let fleet = Fleet::new().await;
    let release = fleet.release(1, &bundle(1));
    fleet.order(order(1, 1, release, &bundle(1)));
    for life in 1..=3 {
        let agent = fleet.device.start_held();
        let trial = |step: &Step| matches!(step, Step::Trial);
        fleet.cloud.step_in_life(life, 1, trial).await;
        agent.stop().await;
    }
    let agent = fleet.device.start();
    fleet.active(1).await;
    agent.serves(bundle(1).digest()).await;
    assert!(
        !fleet
            .cloud
            .steps()
            .iter()
            .any(|step| matches!(step, Step::RolledBack(_)))
    );
}

#[tokio::test]
async fn damaged_trust_stops_updates_and_not_what_serves() {
    for record in ["floors", "metadata"] {
        let fleet = two_installed().await;
        for copy in [record.to_owned(), format!("{record}.copy")] {
            fs::write(fleet.store().join(copy), b"").unwrap();
        }
        let agent = fleet.device.start();
        agent.serves(bundle(2).digest()).await;
        let third = fleet.release(3, &bundle(3));
        fleet.order(order(3, 1, third, &bundle(3)));
        let held_up = agent.status(|status| status.held_up.is_some()).await;
        assert!(held_up.held_up.unwrap().contains("damaged"), "{record}");
        assert_eq!(agent.bench.serves(&model()), Some(bundle(2).digest()));
    }
}

#[tokio::test]
async fn damaged_desired_state_is_forgotten_and_had_again() {
    let fleet = two_installed().await;
    let copies = ["desired", "desired.copy"].map(|name| fleet.store().join(name));
    for copy in &copies {
        fs::write(copy, b"").unwrap();
    }
    let agent = fleet.device.start();
    agent.serves(bundle(2).digest()).await;
    fleet.cloud.step_in_life(2, 2, ends).await;
    assert!(
        copies
            .iter()
            .all(|copy| fs::metadata(copy).unwrap().len() > 0)
    );
}

#[tokio::test]
async fn restarted_gateway_loses_nothing() {
    let fleet = Fleet::new().await;
    let release = fleet.release(1, &bundle(1));
    let agent = fleet.device.start();
    agent.status(|status| status.connected).await;
    fleet.order(order(1, 1, release, &bundle(1)));
    fleet.active(1).await;
    // The same letter under another count, as from a gateway that began anew.
    fleet.cloud.recount(1 << 40);
    let second = fleet.release(2, &bundle(2));
    fleet.order(order(2, 1, second, &bundle(2)));
    fleet.active(2).await;
    assert_eq!(agent.bench.serves(&model()), Some(bundle(2).digest()));
}
