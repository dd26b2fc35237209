//! The LAN door: a gateway between children that want the same bytes and a cloud that may fail.

use std::fs;

use actix_web::web::Bytes;
use espalier_protocol::Digest;

use crate::cloud::{Cloud, Manner};
use crate::gateway::{Gateway, at_least};
use crate::mint::name;

const ROOMY: u64 = 1 << 30;

/// So many bytes that depend on `seed`.
fn bytes(seed: u32, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_digests_leave_nothing_behind() {
    let cloud = Cloud::open();
    let gateway = Gateway::running(&cloud, ROOMY).await;
    let child = gateway.child(&cloud, "press-1").await;
    // More than may be on their way at once: each that ended must have given its place back.
    for made_up in 0..80_u32 {
        let digest = Digest::of(&made_up.to_be_bytes());
        assert_eq!(child.refused(digest).await, 404);
    }
    assert_eq!(gateway.shelf(), (Vec::new(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn transfer_that_broke_off_goes_on_from_there() {
    let cloud = Cloud::open();
    let mut gateway = Gateway::running(&cloud, ROOMY).await;
    let child = gateway.child(&cloud, "press-1").await;
    let blobs = [bytes(1, 1_000_000), bytes(2, 1_000_000)];
    let digests = blobs.clone().map(|blob| cloud.keep(&blob));
    for digest in digests {
        cloud.give(digest, Manner::BrokenOnce(300_000));
    }

    let first = child.read(digests[0], 0).await;
    assert!(!first.whole && blobs[0].starts_with(&first.bytes));
    let have = first.bytes.len() as u64;
    let rest = child.read(digests[0], have).await;
    assert!(rest.whole);
    assert_eq!(rest.begins, have);
    assert!([first.bytes, rest.bytes].concat() == blobs[0]);

    // The same with an agent that was killed between.
    assert!(!child.read(digests[1], 0).await.whole);
    gateway.restart_after(|_| ()).await;
    let child = gateway.child(&cloud, "press-2").await;
    assert!(child.take(digests[1]).await == blobs[1]);

    for digest in digests {
        let asked = cloud.asked_for(digest);
        assert!(
            matches!(asked[..], [0, again] if again > 0 && again <= 300_000),
            "{asked:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn children_read_what_is_still_on_its_way_and_it_is_fetched_once() {
    let cloud = Cloud::open();
    let gateway = Gateway::running(&cloud, ROOMY).await;
    let blob = bytes(1, 1_000_000);
    let digest = cloud.keep(&blob);
    cloud.give(digest, Manner::Held(500_000));
    let (one, two) = (
        gateway.child(&cloud, "press-1").await,
        gateway.child(&cloud, "press-2").await,
    );
    // The one who made the gateway fetch it leaves.
    let (_, mut abandoned) = one.0.blob_from(&digest, 0).await.unwrap();
    at_least(&mut abandoned, 1).await;
    drop(abandoned);

    let (_, mut stream) = one.0.blob_from(&digest, 0).await.unwrap();
    let mut from_start = at_least(&mut stream, 300_000).await;
    let (begins, mut later) = two.0.blob_from(&digest, 200_000).await.unwrap();
    assert_eq!(begins, 200_000);
    let mut from_there = at_least(&mut later, 200_000).await;

    cloud.go_on();
    let missing = blob.len() - from_start.len();
    from_start.extend(at_least(&mut stream, missing).await);
    let missing = blob.len() - 200_000 - from_there.len();
    from_there.extend(at_least(&mut later, missing).await);
    assert!(from_start == blob && from_there == blob[200_000..]);
    assert!(two.take(digest).await == blob);
    assert_eq!(cloud.asked_for(digest), [0]);
    assert_eq!(gateway.shelf(), (vec![digest.to_string()], 1_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_than_the_name_says_never_come_to_their_end() {
    let cloud = Cloud::open();
    let gateway = Gateway::running(&cloud, ROOMY).await;
    let child = gateway.child(&cloud, "press-1").await;
    for size in [10, 200_000] {
        let digest = Digest::of(b"something else");
        cloud.keep_as(digest, &bytes(1, size));
        let got = child.read(digest, 0).await;
        assert!(!got.whole && got.bytes.len() < size, "{}", got.bytes.len());
        assert_eq!(gateway.shelf(), (Vec::new(), 0));
    }
    let digest = Digest::of(b"something else");
    cloud.keep_as(digest, b"something else");
    assert_eq!(child.take(digest).await, b"something else");
    assert_eq!(cloud.asked_for(digest), [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_asked_for_the_longest_makes_room() {
    const BUDGET: u64 = 250_000;
    let cloud = Cloud::open();
    let gateway = Gateway::running(&cloud, BUDGET).await;
    let child = gateway.child(&cloud, "press-1").await;
    let [a, b, c] = [1, 2, 3].map(|seed| cloud.keep(&bytes(seed, 100_000)));
    for digest in [a, b, a, c] {
        child.take(digest).await;
    }
    let mut kept = vec![a.to_string(), c.to_string()];
    kept.sort();
    assert_eq!(gateway.shelf(), (kept, 200_000));
    child.take(b).await;
    assert_eq!(cloud.asked_for(a), [0]);
    assert_eq!(cloud.asked_for(b), [0, 0]);

    // What broke off counts too, and goes first.
    let broken = cloud.keep(&bytes(4, 200_000));
    cloud.give(broken, Manner::BrokenOnce(150_000));
    assert!(!child.read(broken, 0).await.whole);
    let (names, total) = gateway.shelf();
    assert!(total > 0 && total <= BUDGET, "{names:?}");
    child.take(a).await;
    child.take(b).await;
    let mut kept = vec![a.to_string(), b.to_string()];
    kept.sort();
    assert_eq!(gateway.shelf(), (kept, 200_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn blob_that_cannot_fit_is_refused_before_a_byte_of_it() {
    let cloud = Cloud::open();
    let small = Gateway::running(&cloud, 250_000).await;
    let child = small.child(&cloud, "press-1").await;
    let kept = cloud.keep(&bytes(1, 100_000));
    child.take(kept).await;
    let large = cloud.keep(&bytes(2, 300_000));
    assert_eq!(child.refused(large).await, 507);

    // A disk is smaller than what this cloud announces.
    cloud.give(large, Manner::Announced(1 << 50));
    let roomy = Gateway::running(&cloud, 1 << 60).await;
    let other = roomy.child(&cloud, "press-2").await;
    other.take(kept).await;
    assert_eq!(other.refused(large).await, 507);
    for gateway in [&small, &roomy] {
        assert_eq!(gateway.shelf(), (vec![kept.to_string()], 100_000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blob_that_rotted_on_the_disk_is_fetched_again() {
    let cloud = Cloud::open();
    let mut gateway = Gateway::running(&cloud, ROOMY).await;
    let child = gateway.child(&cloud, "press-1").await;
    let blobs = [bytes(1, 100_000), bytes(2, 100_000)];
    let [rotten, sound] = blobs.clone().map(|blob| cloud.keep(&blob));
    child.take(rotten).await;
    child.take(sound).await;
    let flip = |cache: &std::path::PathBuf| {
        let path = cache.join(rotten.to_string());
        let mut bytes = fs::read(&path).unwrap();
        bytes[50_000] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    gateway.restart_after(flip).await;
    let child = gateway.child(&cloud, "press-2").await;
    assert!(child.take(rotten).await == blobs[0]);
    assert!(child.take(sound).await == blobs[1]);
    assert_eq!(cloud.asked_for(rotten), [0, 0]);
    assert_eq!(cloud.asked_for(sound), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_as_large_as_a_device_takes_passes() {
    let cloud = Cloud::open();
    let gateway = Gateway::running(&cloud, ROOMY).await;
    let child = gateway.child(&cloud, "press-1").await;
    cloud.keep_metadata("9.targets.json", bytes(1, 4 << 20));
    let passed = child.0.metadata("9.targets.json", 4 << 20).await.unwrap();
    assert_eq!(passed.unwrap().len(), 4 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_pass_unread_and_children_ask_for_themselves_alone() {
    let cloud = Cloud::open();
    let gateway = Gateway::running(&cloud, ROOMY).await;
    let child = gateway.child(&cloud, "press-1").await;
    let said = Bytes::from_static(b"signed by the child");
    let ask = async |whose: &str| child.0.renew(&name(whose), said.clone()).await.unwrap();
    assert_eq!(
        ask("acme/press-1").await,
        (409, Bytes::from_static(b"not yet"))
    );
    assert_eq!(ask("acme/press-2").await.0, 403);
    assert_eq!(ask("acme/gate-1").await.0, 403);
    assert_eq!(cloud.renewals(), [("acme/press-1".to_owned(), said)]);
}
