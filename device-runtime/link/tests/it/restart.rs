//! An agent that is killed in any state ends on one good bundle after its next start.

use espalier_protocol::report::{FailureKind, Step};

use crate::agent::Agent;
use crate::engine::{Fleet, bundle, ends};
use crate::mint::{model, name, order};

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
async fn rotten_active_bundle_gives_way_to_the_kept_one() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    for number in 1..=2 {
        let release = fleet.release(u64::from(number), &bundle(number));
        fleet.order(order(u128::from(number), 1, release, &bundle(number)));
        fleet.active(u128::from(number)).await;
    }
    agent.kill();
    let path = fleet
        .device
        .folder
        .path()
        .join("store/bundles")
        .join(bundle(2).digest().to_string())
        .join("graph.onnx");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 4;
    std::fs::write(&path, bytes).unwrap();
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
