//! The repository that the cloud writes, read by the verifier of the devices.

use std::num::NonZeroU64;
use std::sync::Arc;

use espalier_protocol::trust::{DEPLOYER_TARGET, TrustLevel};
use espalier_trust::keys::{KeyFile, KeySource, PublicHalf};
use espalier_trust::tuf::{
    RoleHolders, RootPlan, SignedFile, TargetFile, TrustedRoot, TrustedTargets, TufError,
    accept_targets, read_targets, sign_root, sign_snapshot, sign_targets, sign_timestamp,
};
use jiff::SignedDuration;
use ring::rand::SystemRandom;

use crate::fixture::{Cloud, Served, cloud, device, now, verify};

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn release(text: &str) -> TargetFile {
    TargetFile::new(&format!("release-{text}.json"), text.as_bytes()).unwrap()
}

fn only(key: &dyn KeySource) -> RoleHolders {
    RoleHolders::one(PublicHalf::of(key))
}

fn current(cloud: &Cloud) -> TrustedTargets {
    read_targets(&cloud.root, &cloud.first.targets.bytes).unwrap()
}

/// As `espalier release sign` does it, away from the cloud.
fn sign_off_line(cloud: &Cloud, current: &TrustedTargets, file: &TargetFile) -> SignedFile {
    let expires = now() + DAY * 365;
    sign_targets(
        &cloud.root,
        Some(current),
        std::slice::from_ref(file),
        expires,
        &[&*cloud.offline.targets],
    )
    .unwrap()
}

/// As the cloud does it once it has accepted new targets.
fn publish(cloud: &Cloud, served: &mut Served, targets: &SignedFile) {
    let named = read_targets(&cloud.root, &targets.bytes).unwrap();
    let version = targets.version;
    let snapshot = sign_snapshot(
        &cloud.root,
        &named,
        version,
        now() + DAY,
        &*cloud.online.snapshot,
    )
    .unwrap();
    let timestamp = sign_timestamp(
        &cloud.root,
        &snapshot,
        version,
        now() + DAY,
        &*cloud.online.timestamp,
    )
    .unwrap();
    served
        .add("targets", targets)
        .add("snapshot", &snapshot)
        .replace("timestamp.json", timestamp.bytes);
}

#[test]
fn devices_verify_the_first_edition_and_what_is_released_later() {
    let cloud = cloud();
    let device = device(&cloud);
    let mut served = Served::first(&cloud.first);
    let deployer = cloud.first.deployer_json.len() as u64;
    assert_eq!(
        verify(&device, &served, DEPLOYER_TARGET, now()),
        Ok(deployer)
    );

    let file = release("one");
    assert!(verify(&device, &served, file.name(), now()).is_err());
    let signed = sign_off_line(&cloud, &current(&cloud), &file);
    publish(&cloud, &mut served, &signed);
    assert_eq!(verify(&device, &served, file.name(), now()), Ok(3));
    assert_eq!(
        verify(&device, &served, DEPLOYER_TARGET, now()),
        Ok(deployer),
        "the older target still stands"
    );
}

#[test]
fn one_flipped_bit_anywhere_is_refused_by_the_device() {
    let cloud = cloud();
    for name in ["timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let bytes = match name {
            "timestamp.json" => &cloud.first.timestamp.bytes,
            "1.snapshot.json" => &cloud.first.snapshot.bytes,
            _ => &cloud.first.targets.bytes,
        };
        let text = String::from_utf8(bytes.clone()).unwrap();
        let tampered = text.replacen("2026", "2027", 1).replacen("2028", "2029", 1);
        assert_ne!(text, tampered, "{name} states a year");
        let mut served = Served::first(&cloud.first);
        served.replace(name, tampered.into_bytes());
        assert!(
            verify(&device(&cloud), &served, DEPLOYER_TARGET, now()).is_err(),
            "{name}"
        );
    }
}

#[test]
fn an_upload_that_was_tampered_with_is_refused_by_the_cloud() {
    let cloud = cloud();
    let file = release("one");
    let signed = sign_off_line(&cloud, &current(&cloud), &file);
    let accept = |bytes: &[u8], file: &TargetFile| {
        accept_targets(
            &cloud.root,
            Some(&current(&cloud)),
            bytes,
            std::slice::from_ref(file),
            now() + DAY,
        )
    };
    assert!(accept(&signed.bytes, &file).is_ok());

    let digest = file.digest().to_string();
    let other = release("two").digest().to_string();
    let swapped = String::from_utf8(signed.bytes.clone())
        .unwrap()
        .replace(&digest, &other);
    assert!(matches!(
        accept(swapped.as_bytes(), &file),
        Err(TufError::BadSignature { .. })
    ));
    assert!(matches!(
        accept(&signed.bytes, &release("two")),
        Err(TufError::TargetMissing(_))
    ));
    assert!(matches!(
        accept(b"{}", &file),
        Err(TufError::Malformed { .. })
    ));
    assert!(matches!(
        accept(&vec![b' '; 3 * 1024 * 1024], &file),
        Err(TufError::TooLarge { .. })
    ));
}

#[test]
fn targets_by_a_stranger_are_refused() {
    let cloud = cloud();
    let stranger = self::cloud();
    let file = release("one");
    let forged = sign_off_line(&stranger, &current(&stranger), &file);
    let refusal = accept_targets(
        &cloud.root,
        Some(&current(&cloud)),
        &forged.bytes,
        std::slice::from_ref(&file),
        now(),
    );
    assert!(matches!(refusal, Err(TufError::BadSignature { .. })));

    // And the right repository cannot be signed with the wrong keys, nor with a key of another role.
    for key in [&stranger.offline.targets, &cloud.online.snapshot] {
        let refusal = sign_targets(
            &cloud.root,
            None,
            std::slice::from_ref(&file),
            now() + DAY,
            &[&**key],
        );
        assert!(matches!(refusal, Err(TufError::WrongKeys { .. })));
    }
}

#[test]
fn an_edition_that_was_overtaken_or_is_played_again_is_refused() {
    let cloud = cloud();
    let mine = sign_off_line(&cloud, &current(&cloud), &release("mine"));
    let theirs = sign_off_line(&cloud, &current(&cloud), &release("theirs"));
    let accepted = accept_targets(
        &cloud.root,
        Some(&current(&cloud)),
        &theirs.bytes,
        &[release("theirs")],
        now(),
    );
    let accepted = accepted.unwrap();
    let refusal = accept_targets(
        &cloud.root,
        Some(&accepted),
        &mine.bytes,
        &[release("mine")],
        now(),
    );
    assert!(matches!(
        refusal,
        Err(TufError::WrongVersion {
            offered: 2,
            expected: 3
        })
    ));
}

#[test]
fn an_edition_that_forgets_a_release_is_refused() {
    let cloud = cloud();
    let one = sign_off_line(&cloud, &current(&cloud), &release("one"));
    let with_one = read_targets(&cloud.root, &one.bytes).unwrap();
    // Version 3, but made from the first edition: `one` is not in it.
    let skipped = sign_off_line(&cloud, &current(&cloud), &release("skip"));
    let skipped = read_targets(&cloud.root, &skipped.bytes).unwrap();
    let two = sign_off_line(&cloud, &skipped, &release("two"));
    let refusal = accept_targets(
        &cloud.root,
        Some(&with_one),
        &two.bytes,
        &[release("two")],
        now(),
    );
    assert!(matches!(refusal, Err(TufError::TargetChanged(name)) if name == "release-one.json"));
}

#[test]
fn an_edition_that_ends_too_soon_is_refused() {
    let cloud = cloud();
    let file = release("one");
    let signed = sign_off_line(&cloud, &current(&cloud), &file);
    let refusal = accept_targets(
        &cloud.root,
        Some(&current(&cloud)),
        &signed.bytes,
        &[file],
        now() + DAY * 400,
    );
    assert!(matches!(refusal, Err(TufError::Expired { .. })));
}

#[test]
fn target_names_that_leave_their_folder_are_refused() {
    for name in [
        "../etc/passwd",
        "a/b",
        "",
        ".hidden",
        "A",
        "a b",
        "a\u{0}",
        &"x".repeat(201),
    ] {
        assert!(
            matches!(TargetFile::new(name, b""), Err(TufError::BadName(_))),
            "{name:?}"
        );
    }
}

#[test]
fn a_frozen_timestamp_is_noticed_and_renewed_in_time() {
    let cloud = cloud();
    let device = device(&cloud);
    let mut served = Served::first(&cloud.first);
    let later = now() + DAY * 8;
    assert!(
        verify(&device, &served, DEPLOYER_TARGET, later).is_err(),
        "a week without news is a freeze"
    );

    let two = NonZeroU64::new(2).unwrap();
    let targets = current(&cloud);
    let snapshot = sign_snapshot(
        &cloud.root,
        &targets,
        two,
        later + DAY,
        &*cloud.online.snapshot,
    )
    .unwrap();
    let renewed = sign_timestamp(
        &cloud.root,
        &snapshot,
        two,
        later + DAY,
        &*cloud.online.timestamp,
    )
    .unwrap();
    served
        .add("snapshot", &snapshot)
        .replace("timestamp.json", renewed.bytes);
    assert!(verify(&device, &served, DEPLOYER_TARGET, later).is_ok());
}

#[test]
fn one_development_key_marks_the_whole_root() {
    let cloud = cloud();
    assert_eq!(cloud.root.trust(), TrustLevel::Development);

    let key = || -> Arc<dyn KeySource> {
        let file = KeyFile::encrypted("seven quiet pear trees", &SystemRandom::new()).unwrap();
        Arc::new(file.open(Some("seven quiet pear trees")).unwrap())
    };
    let (root, targets, snapshot, timestamp) = (key(), key(), key(), key());
    let plan = |snapshot: &Arc<dyn KeySource>| {
        let plan = RootPlan {
            version: NonZeroU64::MIN,
            expires: now() + DAY,
            root: only(&*root),
            targets: only(&*targets),
            snapshot: only(&**snapshot),
            timestamp: only(&*timestamp),
        };
        TrustedRoot::read(&sign_root(&plan, &[&*root]).unwrap().bytes).unwrap()
    };
    assert_eq!(plan(&snapshot).trust(), TrustLevel::Production);
    assert_eq!(
        plan(&cloud.online.snapshot).trust(),
        TrustLevel::Development
    );
}

#[test]
fn a_root_whose_mark_was_removed_is_refused() {
    let cloud = cloud();
    let mut json: serde_json::Value = serde_json::from_slice(&cloud.first.root.bytes).unwrap();
    json["signed"]
        .as_object_mut()
        .unwrap()
        .remove("x-espalier-trust")
        .unwrap();
    let washed = serde_json::to_vec(&json).unwrap();
    assert!(matches!(
        TrustedRoot::read(&washed),
        Err(TufError::BadSignature { .. })
    ));
}

#[test]
fn two_holders_must_both_sign() {
    let cloud = cloud();
    let (a, b) = (&*cloud.offline.targets, &*cloud.offline.root);
    let two = NonZeroU64::new(2).unwrap();
    let plan = RootPlan {
        version: NonZeroU64::MIN,
        expires: now() + DAY,
        root: only(b),
        targets: RoleHolders::several(vec![PublicHalf::of(a), PublicHalf::of(b)], two),
        snapshot: only(&*cloud.online.snapshot),
        timestamp: only(&*cloud.online.timestamp),
    };
    let root = TrustedRoot::read(&sign_root(&plan, &[b]).unwrap().bytes).unwrap();
    let file = release("one");
    let alone = sign_targets(
        &root,
        None,
        std::slice::from_ref(&file),
        now() + DAY,
        &[a, a],
    );
    assert!(matches!(
        alone,
        Err(TufError::WrongKeys {
            given: 1,
            needed: 2,
            ..
        })
    ));
    let both = sign_targets(
        &root,
        None,
        std::slice::from_ref(&file),
        now() + DAY,
        &[a, b],
    )
    .unwrap();
    assert!(accept_targets(&root, None, &both.bytes, &[file], now()).is_ok());
}

#[test]
fn the_same_metadata_is_the_same_bytes() {
    let cloud = cloud();
    let file = release("one");
    let once = sign_off_line(&cloud, &current(&cloud), &file);
    assert_eq!(once, sign_off_line(&cloud, &current(&cloud), &file));
}
