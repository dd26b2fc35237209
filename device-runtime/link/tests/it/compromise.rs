//! Some keys are in a thief's hands, who stands between cloud and device: what that gives, and what still holds.

use std::num::NonZeroU64;

use espalier_protocol::report::{Attack, FailureKind};
use espalier_trust::keys::PublicHalf;
use espalier_trust::tuf::{RoleHolders, RootPlan, sign_root};

use crate::engine::{Fleet, bundle, serves, serving_the_first};
use crate::mint::{Bundle, Stolen, key, order};

/// What the thief wants to run.
fn evil() -> Bundle {
    bundle(66)
}

/// The thief takes the cloud's place with these keys, releases his bundle, and orders it.
fn attack(fleet: &Fleet, stolen: &[Stolen]) {
    let thief = fleet.cloud.world().mint.in_the_hands_of_a_thief(stolen);
    fleet.cloud.world().mint = thief;
    let release = fleet.release(9, &evil());
    fleet.order(order(2, 1, release, &evil()));
}

#[tokio::test]
async fn stolen_targets_key_alone_brings_nothing_to_a_device() {
    let (fleet, agent) = serving_the_first().await;
    attack(&fleet, &[Stolen::Targets]);
    fleet.refused(Attack::BadSignature).await;
    serves(&agent, &bundle(1));
}

#[tokio::test]
async fn stolen_snapshot_and_timestamp_keys_name_no_release() {
    let (fleet, agent) = serving_the_first().await;
    attack(&fleet, &[Stolen::Snapshot, Stolen::Timestamp]);
    fleet.refused(Attack::BadSignature).await;
    serves(&agent, &bundle(1));
}

#[tokio::test]
async fn stolen_deployer_key_installs_nothing_that_was_not_released() {
    let (fleet, agent) = serving_the_first().await;
    attack(&fleet, &[Stolen::Deployer]);
    assert_eq!(fleet.failed(2).await.kind, FailureKind::Untrusted);
    fleet.refused(Attack::BadSignature).await;
    serves(&agent, &bundle(1));
}

/// Where two hold root and both must sign, a thief who robbed one of them names nobody.
#[tokio::test]
async fn one_of_two_stolen_root_keys_names_no_other_keys() {
    let (fleet, agent) = serving_the_first().await;
    let [second, third] = [2, 3].map(|version| NonZeroU64::new(version).unwrap());
    let stolen = fleet.cloud.world().mint.root_key.clone();
    {
        let other = key();
        let mint = &mut fleet.cloud.world().mint;
        let both = vec![PublicHalf::of(&*stolen), PublicHalf::of(&other)];
        let plan = RootPlan {
            version: second,
            root: RoleHolders::several(both, second),
            ..mint.trusted().plan().unwrap()
        };
        let root = sign_root(&plan, &[&*stolen, &other]).unwrap();
        mint.roots.push(root);
    }
    let release = fleet.release(2, &bundle(2));
    fleet.order(order(2, 1, release, &bundle(2)));
    fleet.active(2).await;

    let mut thief = fleet.cloud.world().mint.in_the_hands_of_a_thief(&[]);
    let plan = RootPlan {
        version: third,
        root: RoleHolders::one(PublicHalf::of(&*stolen)),
        ..thief.trusted().plan().unwrap()
    };
    thief.roots.push(sign_root(&plan, &[&*stolen]).unwrap());
    fleet.cloud.world().mint = thief;
    let release = fleet.release(9, &evil());
    fleet.order(order(3, 1, release, &evil()));
    fleet.refused(Attack::BadSignature).await;
    serves(&agent, &bundle(2));
}

/// All that the server holds.
#[tokio::test]
async fn server_that_was_taken_over_installs_nothing_that_was_not_released() {
    let (fleet, agent) = serving_the_first().await;
    attack(
        &fleet,
        &[Stolen::Snapshot, Stolen::Timestamp, Stolen::Deployer],
    );
    assert_eq!(fleet.failed(2).await.kind, FailureKind::Untrusted);
    fleet.refused(Attack::BadSignature).await;
    serves(&agent, &bundle(1));
}

#[tokio::test]
async fn fast_forward_by_a_thief_of_the_online_keys_is_mended_by_the_next_root() {
    let (fleet, agent) = serving_the_first().await;
    let far = NonZeroU64::new(1 << 40).unwrap();
    fleet.cloud.world().mint.sign_online(far);
    let release = |number: u128, counter: u64, wanted: &Bundle| {
        order(number, 1, fleet.release(counter, wanted), wanted)
    };
    fleet.order(release(2, 2, &bundle(2)));
    fleet.active(2).await;
    fleet.cloud.world().mint.recover_from_fast_forward();
    fleet.order(release(3, 3, &bundle(3)));
    fleet.active(3).await;
    serves(&agent, &bundle(3));
}
