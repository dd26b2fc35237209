//! What is offered to a device that it must refuse, named as the attack that it looks like.

use std::sync::Arc;

use espalier_protocol::Digest;
use espalier_protocol::report::{Ack, Attack, FailureKind, Step};
use espalier_trust::Deployer;

use crate::engine::{Fleet, bundle, serves, serving_the_first};
use crate::mint::{Bundle, device, hours, id, key, model, name, noon, order};

#[tokio::test]
async fn bundle_for_another_class_is_refused_before_a_byte_of_it_is_fetched() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    let own = fleet.release(1, &bundle(1));
    fleet.order(order(1, 1, own, &bundle(1)));
    fleet.active(1).await;
    let foreign = Bundle::new(2, &name("arm-fp16"), 200_000);
    let release = fleet.release(2, &foreign);
    fleet.order(order(2, 1, release, &foreign));
    assert_eq!(fleet.failed(2).await.kind, FailureKind::WrongClass);
    fleet.refused(Attack::WrongClass).await;
    serves(&agent, &bundle(1));
    let graph = foreign.manifest.files[&name("graph.onnx")].sha256;
    let asked = &fleet.cloud.world().asked;
    let its_own = |blob: &Digest| [foreign.digest(), graph].contains(blob);
    assert!(!asked.iter().any(|(blob, _)| its_own(blob)));
}

#[tokio::test]
async fn flipped_bit_in_a_bundle_is_refused_and_named() {
    let (fleet, agent) = serving_the_first().await;
    let second = fleet.release(2, &bundle(2));
    let graph = bundle(2).manifest.files[&name("graph.onnx")].sha256;
    fleet.cloud.world().faults.flip = Some(graph);
    fleet.order(order(2, 1, second, &bundle(2)));
    assert_eq!(fleet.failed(2).await.kind, FailureKind::Corrupt);
    fleet.refused(Attack::ArbitrarySoftware).await;
    serves(&agent, &bundle(1));
}

#[tokio::test]
async fn flipped_bit_in_a_manifest_is_refused_and_named() {
    let (fleet, agent) = serving_the_first().await;
    let second = fleet.release(2, &bundle(2));
    fleet.cloud.world().faults.flip = Some(bundle(2).digest());
    fleet.order(order(2, 1, second, &bundle(2)));
    assert_eq!(fleet.failed(2).await.kind, FailureKind::Corrupt);
    fleet.refused(Attack::ArbitrarySoftware).await;
    serves(&agent, &bundle(1));
}

#[tokio::test]
async fn flipped_bit_in_a_release_document_is_refused_and_named() {
    let (fleet, agent) = serving_the_first().await;
    let second = fleet.release(2, &bundle(2));
    fleet.cloud.world().faults.flip = Some(second.digest);
    fleet.order(order(2, 1, second, &bundle(2)));
    assert_eq!(fleet.failed(2).await.kind, FailureKind::Untrusted);
    fleet.refused(Attack::ArbitrarySoftware).await;
    serves(&agent, &bundle(1));
}

#[tokio::test]
async fn desired_state_by_a_wrong_key_changes_nothing() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    let first = fleet.release(1, &bundle(1));
    fleet.order(order(1, 1, first, &bundle(1)));
    fleet.active(1).await;
    let second = fleet.release(2, &bundle(2));
    let desired = fleet
        .cloud
        .world()
        .mint
        .desired(2, vec![order(2, 1, second, &bundle(2))]);
    fleet.cloud.send_desired(
        Deployer::new(Arc::new(key()))
            .sign_desired(&desired)
            .unwrap(),
    );
    fleet.refused(Attack::WrongKey).await;
    serves(&agent, &bundle(1));
    // The same sequence, well signed, is still welcome.
    fleet.order(order(2, 1, second, &bundle(2)));
    fleet.active(2).await;
}

#[tokio::test]
async fn rotated_deployer_key_is_learned_from_the_release_keys() {
    let fleet = Fleet::new().await;
    let _agent = fleet.device.start();
    let first = fleet.release(1, &bundle(1));
    fleet.order(order(1, 1, first, &bundle(1)));
    fleet.active(1).await;
    {
        let mut world = fleet.cloud.world();
        world.mint.deployer = Deployer::new(Arc::new(key()));
        let keys = [world.mint.deployer.public_key()];
        let (target, bytes) = espalier_trust::deployer_target(&keys).unwrap();
        world.mint.keep(bytes);
        world.mint.add_target(target);
    }
    let second = fleet.release(2, &bundle(2));
    fleet.order(order(2, 1, second, &bundle(2)));
    fleet.active(2).await;
}

#[tokio::test]
async fn replayed_desired_state_is_named_and_redelivery_is_not() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    let first = fleet.release(1, &bundle(1));
    let old = {
        let world = fleet.cloud.world();
        world
            .mint
            .sign(&world.mint.desired(1, vec![order(1, 1, first, &bundle(1))]))
    };
    fleet.order(order(1, 1, first, &bundle(1)));
    fleet.active(1).await;
    let second = fleet.release(2, &bundle(2));
    fleet.order(order(2, 1, second, &bundle(2)));
    fleet.active(2).await;
    // After a restart the device reads the newest one again, from its disk and from its gateway.
    agent.kill();
    let agent = fleet.device.start();
    let arrived = |step: &Step| matches!(step, Step::Active(_));
    fleet.cloud.step_in_life(2, 2, arrived).await;
    fleet.cloud.send_desired(old);
    fleet.refused(Attack::Replay).await;
    serves(&agent, &bundle(2));
    let reports = &fleet.cloud.world().reports;
    let mut named = reports.iter().flat_map(|report| &report.refused);
    assert!(named.all(|refusal| refusal.attack == Attack::Replay));
    let of_the_first = reports
        .iter()
        .filter_map(|report| report.progress.as_ref())
        .filter(|progress| progress.assignment.0 == id(1) && arrived(&progress.step));
    assert_eq!(of_the_first.count(), 1, "the replayed order was followed");
}

#[tokio::test]
async fn desired_state_that_comes_after_a_newer_one_is_named() {
    let (fleet, agent) = serving_the_first().await;
    let second = fleet.release(2, &bundle(2));
    let [older, newer] = [2, 3].map(|sequence| {
        let world = fleet.cloud.world();
        let wanted = order(u128::from(sequence), 1, second, &bundle(2));
        world.mint.sign(&world.mint.desired(sequence, vec![wanted]))
    });
    fleet.cloud.send_desired(newer);
    fleet.active(3).await;
    fleet.cloud.send_desired(older);
    fleet.refused(Attack::Reordered).await;
    serves(&agent, &bundle(2));
}

#[tokio::test]
async fn desired_state_for_another_device_is_named() {
    let (fleet, agent) = serving_the_first().await;
    let second = fleet.release(2, &bundle(2));
    let envelope = {
        let world = fleet.cloud.world();
        let mut desired = world.mint.desired(2, vec![order(2, 1, second, &bundle(2))]);
        desired.device = name("acme/press-8");
        world.mint.sign(&desired)
    };
    fleet.cloud.send_desired(envelope);
    fleet.refused(Attack::WrongDevice).await;
    serves(&agent, &bundle(1));
}

#[tokio::test]
async fn stale_desired_state_is_named() {
    let (fleet, agent) = serving_the_first().await;
    let second = fleet.release(2, &bundle(2));
    let envelope = {
        let world = fleet.cloud.world();
        let mut desired = world.mint.desired(2, vec![order(2, 1, second, &bundle(2))]);
        desired.expires_at = noon() - hours(1);
        world.mint.sign(&desired)
    };
    fleet.cloud.send_desired(envelope);
    fleet.refused(Attack::Stale).await;
    serves(&agent, &bundle(1));
}

#[tokio::test]
async fn two_orders_for_one_model_are_named_and_neither_is_followed() {
    let (fleet, agent) = serving_the_first().await;
    let orders = [2, 3].map(|seed| {
        let release = fleet.release(seed, &bundle(seed as u8));
        order(u128::from(seed), 1, release, &bundle(seed as u8))
    });
    let envelope = {
        let world = fleet.cloud.world();
        world.mint.sign(&world.mint.desired(2, orders.to_vec()))
    };
    fleet.cloud.send_desired(envelope);
    fleet.refused(Attack::Malformed).await;
    serves(&agent, &bundle(1));
}

#[tokio::test]
async fn bundle_of_another_release_is_named_as_mix_and_match() {
    let (fleet, agent) = serving_the_first().await;
    let second = fleet.release(2, &bundle(2));
    fleet.release(3, &bundle(3));
    fleet.order(order(2, 1, second, &bundle(3)));
    assert_eq!(fleet.failed(2).await.kind, FailureKind::Untrusted);
    fleet.refused(Attack::MixAndMatch).await;
    serves(&agent, &bundle(1));
}

#[tokio::test]
async fn bundle_of_which_a_file_is_held_back_never_serves() {
    let (fleet, agent) = serving_the_first().await;
    let second = fleet.release(2, &bundle(2));
    let graph = bundle(2).manifest.files[&name("graph.onnx")].sha256;
    fleet.cloud.world().mint.blobs.remove(&graph);
    fleet.order(order(2, 1, second, &bundle(2)));
    assert_eq!(fleet.failed(2).await.kind, FailureKind::DownloadFailed);
    serves(&agent, &bundle(1));
}

#[tokio::test]
async fn file_without_an_end_is_cut_and_named() {
    let (fleet, agent) = serving_the_first().await;
    let second = fleet.release(2, &bundle(2));
    let graph = bundle(2).manifest.files[&name("graph.onnx")].sha256;
    fleet.cloud.world().faults.endless = Some(graph);
    fleet.order(order(2, 1, second, &bundle(2)));
    assert_eq!(fleet.failed(2).await.kind, FailureKind::Corrupt);
    fleet.refused(Attack::EndlessData).await;
    serves(&agent, &bundle(1));
}

#[tokio::test]
async fn metadata_without_an_end_are_cut_and_named() {
    let (fleet, agent) = serving_the_first().await;
    let second = fleet.release(2, &bundle(2));
    let padding = vec![b' '; 8 * 1024 * 1024];
    fleet.cloud.world().mint.timestamp.bytes.extend(padding);
    fleet.order(order(2, 1, second, &bundle(2)));
    fleet.refused(Attack::EndlessData).await;
    serves(&agent, &bundle(1));
}

#[tokio::test]
async fn lower_release_counter_is_refused_as_rollback() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    let old = fleet.release(1, &bundle(1));
    let new = fleet.release(2, &bundle(2));
    fleet.order(order(1, 1, new, &bundle(2)));
    fleet.active(1).await;
    fleet.order(order(2, 1, old, &bundle(1)));
    assert_eq!(fleet.failed(2).await.kind, FailureKind::Untrusted);
    fleet.refused(Attack::Rollback).await;
    serves(&agent, &bundle(2));
}

#[tokio::test]
async fn gateway_that_serves_old_metadata_is_named() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    let first = fleet.release(1, &bundle(1));
    let old = {
        let world = fleet.cloud.world();
        (
            world.mint.timestamp.clone(),
            world.mint.snapshot.clone(),
            world.mint.targets.clone(),
        )
    };
    fleet.order(order(1, 1, first, &bundle(1)));
    fleet.active(1).await;
    let second = fleet.release(2, &bundle(2));
    fleet.order(order(2, 1, second, &bundle(2)));
    fleet.active(2).await;
    let third = fleet.release(3, &bundle(3));
    let envelope = {
        let mut world = fleet.cloud.world();
        let envelope = world
            .mint
            .sign(&world.mint.desired(3, vec![order(3, 1, third, &bundle(3))]));
        (
            world.mint.timestamp,
            world.mint.snapshot,
            world.mint.targets,
        ) = old;
        envelope
    };
    fleet.cloud.send_desired(envelope);
    assert_eq!(fleet.failed(3).await.kind, FailureKind::Untrusted);
    fleet.refused(Attack::Rollback).await;
    serves(&agent, &bundle(2));
}

#[tokio::test]
async fn garbage_never_reaches_the_slots() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    fleet.release(1, &bundle(1));
    for garbage in [vec![], vec![0xff; 100], vec![0x9f; 70_000]] {
        fleet.cloud.send_desired(garbage);
        fleet.cloud.send_ack(vec![1, 2, 3]);
    }
    fleet.refused(Attack::EndlessData).await;
    assert!(agent.handle.status.borrow().models.is_empty());
    assert_eq!(agent.bench.serves(&model()), None::<Digest>);
}

#[tokio::test]
async fn answer_to_a_start_that_was_never_made_names_a_cloned_identity() {
    let (fleet, agent) = serving_the_first().await;
    let mine = fleet.cloud.report(|_| true).await.boot;
    let answer = |boot| Ack {
        device: device(),
        boot,
        seq: 1,
    };
    let signed = |ack: &Ack| fleet.cloud.world().mint.sign_ack(ack);
    fleet.cloud.send_ack(signed(&answer(mine + 1)));
    fleet.refused(Attack::ClonedIdentity).await;
    serves(&agent, &bundle(1));
}
