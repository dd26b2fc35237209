//! New keys for a running fleet: every role in turn, a device that was away meanwhile, and what is refused.

use espalier_api::{
    claim::CreateClaim,
    error::ErrorCode,
    tuf::{PublishTargets, TufTargetsView},
};
use espalier_protocol::{enrol::Role, trust::DEPLOYER_TARGET};
use espalier_trust::{
    draft::RootChange,
    keys::{KeySource, PublicHalf},
    tuf::{RoleHolders, RootPlan, TargetFile, TufRole, read_targets, sign_root, sign_targets},
};
use reqwest::Method;

use crate::{
    ceremony::{
        Believer, hand_in, held, key, next_year, now, replaced, root, server_key, signed_root,
        signed_targets,
    },
    device::{Device, claim},
    stack::{Stack, problem},
};

async fn believer(stack: &Stack, name: &str) -> Believer {
    let claim = claim(stack, &CreateClaim::default()).await;
    Believer::new(Device::enrol(claim, name, Role::Device, None).await)
}

async fn accepted(stack: &Stack, root: &str) {
    let answer = hand_in(stack, root, None).await;
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{status}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_is_replaced_and_a_device_that_was_away_follows() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let keys = stack.folder.path().join("keys");
    let (old_root, old_targets) = (
        held(&keys, "root.key.json", None),
        held(&keys, "targets.key.json", None),
    );
    let (present, away) = (
        believer(&stack, "press-1").await,
        believer(&stack, "press-2").await,
    );
    let (version, first) = away.walk().await;
    assert_eq!(version, 1);
    away.report(1, &first).await;

    for (role, file) in [
        (TufRole::Timestamp, "timestamp.new.key.json"),
        (TufRole::Snapshot, "snapshot.new.key.json"),
    ] {
        let fresh = server_key(&stack, file);
        let current = root(&stack).await;
        let old = current.plan().unwrap().holders(role).keys[0].id();
        let next = signed_root(&current, &replaced(role, old, fresh), &[&old_root]);
        accepted(&stack, &next).await;
        present.walk().await;
    }

    let (new_root, new_targets) = (key(), key());
    let current = root(&stack).await;
    let old = old_root.public_key().id();
    let change = replaced(TufRole::Root, old, PublicHalf::of(&new_root));
    let next = signed_root(&current, &change, &[&old_root, &new_root]);
    accepted(&stack, &next).await;
    assert_eq!(present.walk().await.0, 4);

    let current = root(&stack).await;
    let old = old_targets.public_key().id();
    let change = replaced(TufRole::Targets, old, PublicHalf::of(&new_targets));
    let next = signed_root(&current, &change, &[&new_root]);
    let refused = problem(hand_in(&stack, &next, None).await).await;
    assert_eq!(refused.code, ErrorCode::TargetsNeeded, "{refused:?}");
    assert!(refused.hint.unwrap().contains("keys targets next"));
    assert_eq!(present.walk().await.0, 4, "nothing was published");
    let targets = signed_targets(&stack, &next, &[], &[&new_targets]).await;
    let answer = hand_in(&stack, &next, Some(targets)).await;
    assert!(answer.status().is_success(), "{:?}", problem(answer).await);
    assert_eq!(present.walk().await.0, 5);

    let deployer = server_key(&stack, "deployer.new.key.json");
    let current = String::from_utf8(root(&stack).await.bytes().to_vec()).unwrap();
    let both = [first.keys[0], deployer.key()];
    for names in [&both[..], &both[1..]] {
        let next = signed_targets(&stack, &current, names, &[&new_targets]).await;
        let published = stack.call(Method::POST, "/tuf/targets", Some(&next)).await;
        let status = published.status();
        assert!(
            status.is_success(),
            "{status}: {:?}",
            published.text().await
        );
        let (_, believed) = present.walk().await;
        assert_eq!(believed.keys, names);
        let seq = names.len() as u64;
        assert_eq!(present.report(10 - seq, &believed).await, deployer.id());
    }

    let (version, believed) = away.walk().await;
    assert_eq!((version, believed.keys.len()), (5, 1));
    assert_eq!(away.report(2, &believed).await, deployer.id());

    // And all of it outlives the process.
    let stack = Stack::in_folder(stack.stop().await).await;
    assert_eq!(root(&stack).await.version().get(), 5);
    assert!(
        stack.folder.path().join("keys/5.root.json").exists(),
        "who signs finds the root beside the keys"
    );
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_that_devices_would_refuse_is_refused_here_first() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let keys = stack.folder.path().join("keys");
    let owner = held(&keys, "root.key.json", None);
    let current = root(&stack).await;
    let thief = key();
    let plan = |change: &dyn Fn(&mut RootPlan)| {
        let mut plan = current.plan().unwrap();
        plan.version = plan.version.checked_add(1).unwrap();
        plan.expires = next_year();
        change(&mut plan);
        plan
    };
    let signed = |plan: RootPlan, by: &dyn KeySource| {
        String::from_utf8(sign_root(&plan, &[by]).unwrap().bytes).unwrap()
    };
    let only_the_thief = RoleHolders::one(PublicHalf::of(&thief));
    let stolen = plan(&|plan| plan.root = only_the_thief.clone());
    let skipped = plan(&|plan| plan.version = plan.version.checked_add(1).unwrap());
    let ended = plan(&|plan| plan.expires = now());
    for (root, words) in [
        (signed(stolen, &thief), "not signed by enough holders"),
        (signed(skipped, &owner), "version 2 is next"),
        (signed(ended, &owner), "too soon"),
        ("{}".to_owned(), "no root metadata"),
    ] {
        let refused = problem(hand_in(&stack, &root, None).await).await;
        assert_eq!(refused.code, ErrorCode::InvalidRoot, "{refused:?}");
        assert!(refused.detail.contains(words), "{words}: {refused:?}");
    }
    let mut padded = signed(plan(&|_| ()), &owner);
    padded.push_str(&" ".repeat(600 * 1024));
    let refused = problem(hand_in(&stack, &padded, None).await).await;
    assert_eq!(refused.code, ErrorCode::TooLarge, "{refused:?}");

    let elsewhere = key();
    let old = current.plan().unwrap().timestamp.keys[0].id();
    let change = replaced(TufRole::Timestamp, old, PublicHalf::of(&elsewhere));
    let next = signed_root(&current, &change, &[&owner]);
    let refused = problem(hand_in(&stack, &next, None).await).await;
    assert_eq!(refused.code, ErrorCode::KeyMissing, "{refused:?}");
    let missing = elsewhere.public_key().id().to_string();
    assert!(refused.detail.contains(&missing), "{refused:?}");
    assert!(refused.hint.unwrap().contains("espalier keys generate"));

    let view: TufTargetsView = stack.get("/tuf/targets").await;
    assert_eq!(view.root_version, 1, "nothing of it was published");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_that_silence_the_server_or_smuggle_a_file_are_refused() {
    let Some(stack) = Stack::start().await else {
        return;
    };
    let keys = stack.folder.path().join("keys");
    let owner = held(&keys, "targets.key.json", None);
    let current = String::from_utf8(root(&stack).await.bytes().to_vec()).unwrap();
    let foreign = [key().public_key()];
    let silencing = signed_targets(&stack, &current, &foreign, &[&owner]).await;
    let refused = stack.call(Method::POST, "/tuf/targets", Some(&silencing));
    let refused = problem(refused.await).await;
    assert_eq!(refused.code, ErrorCode::InvalidSignature, "{refused:?}");
    assert!(
        refused.detail.contains("other deployer keys"),
        "{refused:?}"
    );

    // Devices read one format only, however well the list is signed.
    let (own, far) = (held(&keys, "deployer.key.json", None), next_year());
    let list = serde_json::json!({ "format": 2, "keys": [own.public_key()] }).to_string();
    let file = TargetFile::new(DEPLOYER_TARGET, list.as_bytes()).unwrap();
    let view: TufTargetsView = stack.get("/tuf/targets").await;
    let trusted = root(&stack).await;
    let named = read_targets(&trusted, view.targets_json.unwrap().as_bytes()).unwrap();
    let signed = sign_targets(&trusted, Some(&named), &[file], far, &[&owner]).unwrap();
    let unreadable = PublishTargets {
        targets_json: String::from_utf8(signed.bytes).unwrap(),
        deployer_json: Some(list),
    };
    let refused = stack.call(Method::POST, "/tuf/targets", Some(&unreadable));
    let refused = problem(refused.await).await;
    assert_eq!(refused.code, ErrorCode::InvalidSignature, "{refused:?}");
    assert!(refused.detail.contains("could not read"), "{refused:?}");

    let thief = key();
    let change = RootChange::Add {
        role: TufRole::Targets,
        key: PublicHalf::of(&thief),
    };
    let other = signed_root(
        &root(&stack).await,
        &[change],
        &[&held(&keys, "root.key.json", None)],
    );
    let by_a_stranger = signed_targets(&stack, &other, &[], &[&thief]).await;
    let refused = stack.call(Method::POST, "/tuf/targets", Some(&by_a_stranger));
    let refused = problem(refused.await).await;
    assert_eq!(refused.code, ErrorCode::InvalidSignature, "{refused:?}");
    stack.stop().await;
}
