//! The key ceremony by files: what several holders sign one after another, and what is refused on the way.

use std::num::NonZeroU64;
use std::sync::Arc;

use espalier_protocol::trust::{KeyId, TrustLevel};
use espalier_trust::draft::{Document, DraftError, RootChange, RootDraft, TargetsDraft};
use espalier_trust::keys::{KeyFile, KeySource, PublicHalf, SoftwareKey};
use espalier_trust::tuf::{
    ChainError, PlanError, RoleHolders, RootPlan, TrustedRoot, TufError, TufRole, accept_root,
    accept_targets, read_targets, sign_root,
};
use jiff::{SignedDuration, Timestamp};
use ring::rand::SystemRandom;

use crate::fixture::{Cloud, cloud, now};

const DAY: SignedDuration = SignedDuration::from_hours(24);
const PASSPHRASE: &str = "seven quiet pear trees";

fn key() -> SoftwareKey {
    let file = KeyFile::development(&SystemRandom::new()).unwrap();
    file.open(None).unwrap()
}

fn sealed() -> SoftwareKey {
    let file = KeyFile::encrypted(PASSPHRASE, &SystemRandom::new()).unwrap();
    file.open(Some(PASSPHRASE)).unwrap()
}

fn half(key: &dyn KeySource) -> PublicHalf {
    PublicHalf::of(key)
}

fn id(key: &dyn KeySource) -> KeyId {
    key.public_key().id()
}

fn number(n: u64) -> NonZeroU64 {
    NonZeroU64::new(n).unwrap()
}

fn year(from: Timestamp) -> Timestamp {
    from + DAY * 365
}

fn add(role: TufRole, key: &dyn KeySource) -> RootChange {
    RootChange::Add {
        role,
        key: half(key),
    }
}

fn revoke(role: TufRole, key: &dyn KeySource) -> RootChange {
    RootChange::Revoke {
        role,
        key: id(key).to_string()[..12].to_owned(),
    }
}

fn threshold(role: TufRole, n: u64) -> RootChange {
    RootChange::Threshold {
        role,
        threshold: number(n),
    }
}

fn draft(current: &TrustedRoot, changes: &[RootChange]) -> Result<RootDraft, DraftError> {
    RootDraft::next(current.clone(), changes, year(now()), now())
}

/// As the next holder gets it.
fn carried(draft: &RootDraft) -> RootDraft {
    RootDraft::read(&draft.to_bytes().unwrap()).unwrap()
}

/// Three holders of root, of whom two must sign.
struct Board {
    root: TrustedRoot,
    holders: [SoftwareKey; 3],
}

fn board(cloud: &Cloud) -> Board {
    let holders = [key(), key(), key()];
    let changes = [
        add(TufRole::Root, &holders[0]),
        add(TufRole::Root, &holders[1]),
        add(TufRole::Root, &holders[2]),
        revoke(TufRole::Root, &*cloud.offline.root),
        threshold(TufRole::Root, 2),
    ];
    let mut draft = draft(&cloud.root, &changes).unwrap();
    draft.sign(&*cloud.offline.root).unwrap();
    draft.sign(&holders[0]).unwrap();
    draft.sign(&holders[2]).unwrap();
    let root = draft.finished().unwrap().unwrap();
    Board {
        root: accept_root(&cloud.root, &root.bytes, now()).unwrap(),
        holders,
    }
}

#[test]
fn two_of_three_holders_make_a_root_by_files() {
    let cloud = cloud();
    let Board { root, holders } = board(&cloud);
    let fresh = key();
    let changes = [
        add(TufRole::Timestamp, &fresh),
        revoke(TufRole::Timestamp, &*cloud.online.timestamp),
    ];
    let mut first = draft(&root, &changes).unwrap();
    assert_eq!(first.requirements().unwrap()[0].missing(), 2);
    first.sign(&holders[1]).unwrap();
    assert!(first.finished().unwrap().is_none(), "one is not enough");

    let mut second = carried(&first);
    assert_eq!(second.fingerprint().unwrap(), first.fingerprint().unwrap());
    assert_eq!(second.requirements().unwrap()[0].signed, [id(&holders[1])]);
    second.sign(&holders[2]).unwrap();
    let made = second.finished().unwrap().unwrap();
    let next = accept_root(&root, &made.bytes, now()).unwrap();
    assert_eq!(next.version(), number(3));
    assert_eq!(
        next.plan().unwrap().timestamp,
        RoleHolders::one(half(&fresh))
    );
}

#[test]
fn draft_says_what_changes_and_who_must_sign() {
    let cloud = cloud();
    let (fresh, old) = (key(), &*cloud.offline.targets);
    let changes = [add(TufRole::Targets, &fresh), revoke(TufRole::Targets, old)];
    let says = draft(&cloud.root, &changes).unwrap().says().join("\n");
    let digits = |key: &dyn KeySource| id(key).to_string()[..16].to_owned();
    for words in [
        "root version 2, after version 1".to_owned(),
        format!("adds {}", digits(&fresh)),
        format!("revokes {}", digits(old)),
        "development keys".to_owned(),
        format!(
            "must sign: 1 of {} (root version 1)",
            digits(&*cloud.offline.root)
        ),
    ] {
        assert!(says.contains(&words), "{words} is not in:\n{says}");
    }
}

#[test]
fn root_that_only_new_keys_signed_is_refused() {
    let cloud = cloud();
    let thief = key();
    let mut plan = cloud.root.plan().unwrap();
    plan.version = number(2);
    plan.root = RoleHolders::one(half(&thief));
    let root = sign_root(&plan, &[&thief]).unwrap();
    assert!(matches!(
        accept_root(&cloud.root, &root.bytes, now()),
        Err(ChainError::NotByTheOld { .. })
    ));
}

#[test]
fn root_that_its_own_keys_did_not_sign_is_refused() {
    let cloud = cloud();
    let mut next = draft(
        &cloud.root,
        &[
            add(TufRole::Root, &key()),
            revoke(TufRole::Root, &*cloud.offline.root),
        ],
    )
    .unwrap();
    next.sign(&*cloud.offline.root).unwrap();
    assert!(next.finished().unwrap().is_none());
    let json: serde_json::Value = serde_json::from_slice(&next.to_bytes().unwrap()).unwrap();
    let half_signed = serde_json::to_vec(&json["next"]).unwrap();
    assert!(matches!(
        accept_root(&cloud.root, &half_signed, now()),
        Err(ChainError::NotByTheNew { .. })
    ));
}

#[test]
fn skipped_and_repeated_versions_are_refused() {
    let cloud = cloud();
    let plan = |version| RootPlan {
        version: number(version),
        ..cloud.root.plan().unwrap()
    };
    for version in [1, 3] {
        let root = sign_root(&plan(version), &[&*cloud.offline.root]).unwrap();
        assert!(matches!(
            accept_root(&cloud.root, &root.bytes, now()),
            Err(ChainError::WrongVersion { expected: 2, .. })
        ));
    }
}

/// A root from a draft says any version that its maker likes: nothing follows the last one, and nothing panics.
#[test]
fn nothing_follows_the_last_version() {
    let cloud = cloud();
    let plan = RootPlan {
        version: NonZeroU64::MAX,
        ..cloud.root.plan().unwrap()
    };
    let last = sign_root(&plan, &[&*cloud.offline.root]).unwrap();
    let last = TrustedRoot::read(&last.bytes).unwrap();
    for offered in [last.bytes(), cloud.root.bytes()] {
        assert!(matches!(
            accept_root(&last, offered, now()),
            Err(ChainError::WrongVersion { .. })
        ));
    }
    let drafted = draft(&last, &[]).unwrap().to_bytes().unwrap();
    let read = RootDraft::read(&drafted);
    assert!(matches!(
        read,
        Err(DraftError::Chain(ChainError::WrongVersion { .. }))
    ));
}

#[test]
fn threshold_is_not_lowered_by_fewer_than_it_asks_for() {
    let cloud = cloud();
    let Board { root, holders } = board(&cloud);
    let lowered = draft(&root, &[threshold(TufRole::Root, 1)]).unwrap();
    let mut lowered = carried(&lowered);
    lowered.sign(&holders[0]).unwrap();
    assert!(lowered.finished().unwrap().is_none());
    let [old, new] = &lowered.requirements().unwrap()[..] else {
        panic!("there are an old and a new side");
    };
    assert_eq!((old.missing(), new.missing()), (1, 0));

    let plan = RootPlan {
        version: number(3),
        root: RoleHolders::several(holders.iter().map(|key| half(key)).collect(), number(1)),
        ..root.plan().unwrap()
    };
    let alone = sign_root(&plan, &[&holders[0]]).unwrap();
    assert!(matches!(
        accept_root(&root, &alone.bytes, now()),
        Err(ChainError::NotByTheOld { .. })
    ));
}

#[test]
fn expired_root_is_refused() {
    let cloud = cloud();
    assert!(matches!(
        RootDraft::next(cloud.root.clone(), &[], now(), now()),
        Err(DraftError::Chain(ChainError::Expired { .. }))
    ));
    let mut renewed = draft(&cloud.root, &[]).unwrap();
    renewed.sign(&*cloud.offline.root).unwrap();
    let made = renewed.finished().unwrap().unwrap();
    assert!(accept_root(&cloud.root, &made.bytes, year(now())).is_ok());
    assert!(matches!(
        accept_root(&cloud.root, &made.bytes, year(now()) + DAY),
        Err(ChainError::Expired { .. })
    ));
}

#[test]
fn draft_that_was_changed_between_two_signers_is_refused() {
    let cloud = cloud();
    let Board { root, holders } = board(&cloud);
    let mut first = draft(&root, &[]).unwrap();
    first.sign(&holders[0]).unwrap();
    let carried: serde_json::Value = serde_json::from_slice(&first.to_bytes().unwrap()).unwrap();
    let read = |json: &serde_json::Value| RootDraft::read(&serde_json::to_vec(json).unwrap());
    assert!(read(&carried).is_ok());

    let mut later = carried.clone();
    later["next"]["signed"]["expires"] = "2040-01-01T00:00:00Z".into();
    assert!(matches!(
        read(&later),
        Err(DraftError::ChangedAfter { key }) if key == id(&holders[0])
    ));

    // Without the signature that would give it away, the words still do.
    later["next"]["signatures"] = serde_json::json!([]);
    assert!(matches!(read(&later), Err(DraftError::OtherWords)));

    let mut soothing = carried.clone();
    soothing["says"][0] = "nothing changes, sign on".into();
    assert!(matches!(read(&soothing), Err(DraftError::OtherWords)));

    let mut foreign = carried;
    foreign["next"]["signatures"][0]["keyid"] = "00".repeat(32).into();
    assert!(matches!(read(&foreign), Err(DraftError::Stranger)));
}

#[test]
fn who_has_no_say_or_has_spoken_adds_nothing() {
    let cloud = cloud();
    let mut next = draft(&cloud.root, &[]).unwrap();
    assert!(matches!(
        next.sign(&*cloud.offline.targets),
        Err(DraftError::NotAsked { .. })
    ));
    next.sign(&*cloud.offline.root).unwrap();
    assert!(matches!(
        next.sign(&*cloud.offline.root),
        Err(DraftError::SignedAlready { .. })
    ));
}

#[test]
fn role_that_nobody_could_sign_for_is_refused() {
    let cloud = cloud();
    let refused = |changes: &[RootChange]| draft(&cloud.root, changes).unwrap_err();
    let targets = &*cloud.offline.targets;
    assert!(matches!(
        refused(&[revoke(TufRole::Targets, targets)]),
        DraftError::Plan(PlanError::TooFew {
            role: TufRole::Targets,
            keys: 0,
            ..
        })
    ));
    assert!(matches!(
        refused(&[threshold(TufRole::Targets, 2)]),
        DraftError::Plan(PlanError::TooFew { .. })
    ));
    assert!(matches!(
        refused(&[
            add(TufRole::Targets, targets),
            threshold(TufRole::Targets, 2)
        ]),
        DraftError::Plan(PlanError::Twice { .. })
    ));
    assert!(matches!(
        refused(&[add(TufRole::Root, targets)]),
        DraftError::Plan(PlanError::TwoRoles { .. })
    ));
    let second = add(TufRole::Snapshot, &key());
    assert!(matches!(
        refused(&[second, threshold(TufRole::Snapshot, 2)]),
        DraftError::Plan(PlanError::SignsAlone(TufRole::Snapshot))
    ));
    assert!(matches!(
        refused(&[revoke(TufRole::Root, targets)]),
        DraftError::UnknownKey { .. }
    ));
    let short = RootChange::Revoke {
        role: TufRole::Root,
        key: id(&*cloud.offline.root).to_string()[..7].to_owned(),
    };
    assert!(matches!(refused(&[short]), DraftError::Ambiguous { .. }));
}

#[test]
fn chain_keeps_the_trust_that_it_began_with() {
    let keys = [sealed(), sealed(), sealed(), sealed()];
    let [root, targets, snapshot, timestamp] = &keys;
    let plan = RootPlan {
        version: number(1),
        expires: year(now()),
        root: RoleHolders::one(half(root)),
        targets: RoleHolders::one(half(targets)),
        snapshot: RoleHolders::one(half(snapshot)),
        timestamp: RoleHolders::one(half(timestamp)),
    };
    let mut first = RootDraft::first(plan.clone(), now()).unwrap();
    first.sign(root).unwrap();
    let first = first.finished().unwrap().unwrap();
    let production = TrustedRoot::read(&first.bytes).unwrap();
    assert_eq!(production.trust(), TrustLevel::Production);
    assert!(matches!(
        draft(&production, &[add(TufRole::Targets, &key())]),
        Err(DraftError::DevelopmentKey { .. })
    ));
    let mut weaker = RootPlan {
        version: number(2),
        ..plan
    };
    weaker.targets = RoleHolders::one(half(&key()));
    let weaker = sign_root(&weaker, &[root]).unwrap();
    assert!(matches!(
        accept_root(&production, &weaker.bytes, now()),
        Err(ChainError::OtherTrust { .. })
    ));

    // And keys that once lay in the clear make no production chain, whoever holds the roles later.
    let cloud = cloud();
    let development = draft(
        &cloud.root,
        &[
            add(TufRole::Targets, targets),
            revoke(TufRole::Targets, &*cloud.offline.targets),
        ],
    );
    assert_eq!(development.unwrap().trust(), TrustLevel::Development);
}

#[test]
fn targets_that_outlived_their_key_are_signed_anew_by_two_holders() {
    let cloud = cloud();
    let new: [Arc<SoftwareKey>; 2] = [Arc::new(key()), Arc::new(key())];
    let changes = [
        add(TufRole::Targets, &*new[0]),
        add(TufRole::Targets, &*new[1]),
        revoke(TufRole::Targets, &*cloud.offline.targets),
        threshold(TufRole::Targets, 2),
    ];
    let mut root = draft(&cloud.root, &changes).unwrap();
    root.sign(&*cloud.offline.root).unwrap();
    let root = root.finished().unwrap().unwrap();
    let root = accept_root(&cloud.root, &root.bytes, now()).unwrap();
    let old = &cloud.first.targets.bytes;
    assert!(read_targets(&root, old).is_err(), "their key is revoked");

    let previous = Some(cloud.root.clone());
    let next =
        |previous| TargetsDraft::next(root.clone(), previous, Some(old), Vec::new(), year(now()));
    assert!(matches!(
        next(None),
        Err(DraftError::Tuf(TufError::BadSignature { .. }))
    ));
    let mut first = next(previous).unwrap();
    first.sign(&*new[0]).unwrap();
    assert!(first.finished().unwrap().is_none());
    let mut second = TargetsDraft::read(&first.to_bytes().unwrap()).unwrap();
    assert_eq!(second.says(), first.says());
    second.sign(&*new[1]).unwrap();
    let signed = second.finished().unwrap().unwrap();
    let current = read_targets(&cloud.root, old).unwrap();
    let accepted = accept_targets(&root, Some(&current), &signed.bytes, &[], now()).unwrap();
    assert_eq!(accepted.file_names(), current.file_names());
}

#[test]
fn targets_that_show_something_else_than_they_sign_are_refused() {
    let cloud = cloud();
    let document = |text: &str| Document {
        name: "release.sam.json".to_owned(),
        text: text.to_owned(),
    };
    let made = |text| {
        let current = Some(&cloud.first.targets.bytes[..]);
        let documents = vec![document(text)];
        TargetsDraft::next(cloud.root.clone(), None, current, documents, year(now())).unwrap()
    };
    let json = |draft: &TargetsDraft| -> serde_json::Value {
        serde_json::from_slice(&draft.to_bytes().unwrap()).unwrap()
    };
    let (honest, other) = (json(&made("honest")), json(&made("other")));
    let mut mixed = other.clone();
    mixed["documents"] = honest["documents"].clone();
    mixed["says"] = honest["says"].clone();
    let mut forgetful = honest.clone();
    let targets = forgetful["next"]["signed"]["targets"].as_object_mut();
    targets.unwrap().remove("deployer.json").unwrap();
    let mut hidden = honest.clone();
    hidden["documents"] = serde_json::json!({});
    for changed in [mixed, forgetful, hidden] {
        let read = TargetsDraft::read(&serde_json::to_vec(&changed).unwrap());
        assert!(matches!(read, Err(DraftError::OtherWords)), "{read:?}");
    }
    assert!(TargetsDraft::read(&serde_json::to_vec(&honest).unwrap()).is_ok());
}
