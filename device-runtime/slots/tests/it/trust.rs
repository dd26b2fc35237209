//! What a device believes: release metadata by TUF.

use std::fs;
use std::num::NonZeroU64;

use espalier_protocol::report::Attack;
use espalier_protocol::trust::{DEPLOYER_TARGET, TrustLevel};
use espalier_slots::Store;
use espalier_slots::trust::{Metadata, TrustError, root_trust};
use jiff::Timestamp;

use crate::mint::{Bundle, Mint, Stolen, class, hours, model, noon};
use crate::store::{at, create};

/// Walks a refresh with the mint's files, each passed through `tamper`.
fn walk(
    metadata: &mut Metadata,
    mint: &Mint,
    now: Timestamp,
    tamper: impl Fn(&str, Vec<u8>) -> Vec<u8>,
) -> Result<(), TrustError> {
    let mut refresh = metadata.refresh(now);
    while let Some(wanted) = refresh.wanted() {
        let bytes = mint
            .file(&wanted.file)
            .map(|bytes| tamper(&wanted.file, bytes));
        refresh.supply(bytes.as_deref())?;
    }
    Ok(())
}

fn honest(metadata: &mut Metadata, mint: &Mint) -> Result<(), TrustError> {
    walk(metadata, mint, noon(), |_, bytes| bytes)
}

pub fn renewed(store: &Store, mint: &Mint) -> Metadata {
    let mut metadata = store.metadata().unwrap();
    honest(&mut metadata, mint).unwrap();
    metadata
}

fn attack(result: Result<(), TrustError>) -> Option<Attack> {
    result.unwrap_err().attack()
}

#[test]
fn honest_repository_is_trusted_and_remembered() {
    let mut mint = Mint::new();
    let release = mint.release(1, &Bundle::new(1, &class(), 10));
    let (_folder, store) = create(&mint);
    drop(renewed(&store, &mint));
    let metadata = store.metadata().unwrap();
    assert_eq!(metadata.versions(), mint.versions());
    let target = metadata
        .target(
            &format!("release.{}.{}.json", model(), release.digest),
            noon(),
        )
        .unwrap();
    assert_eq!(target.digest(), Some(release.digest));
}

#[test]
fn one_flipped_byte_in_any_file_is_refused() {
    let mut mint = Mint::new();
    mint.release(1, &Bundle::new(1, &class(), 10));
    mint.rotate_timestamp_key();
    for tampered in [
        "2.root.json",
        "timestamp.json",
        "3.snapshot.json",
        "2.targets.json",
    ] {
        let (_folder, store) = create(&mint);
        let mut metadata = store.metadata().unwrap();
        let refused = walk(&mut metadata, &mint, noon(), |file, mut bytes| {
            if file == tampered {
                // A digit of the expiry: still well-formed, no longer signed.
                let at = bytes
                    .windows(8)
                    .position(|part| part == b"expires\"")
                    .unwrap()
                    + 12;
                bytes[at] ^= 1;
            }
            bytes
        });
        assert!(attack(refused).is_some(), "{tampered}");
    }
}

#[test]
fn timestamp_by_another_key_is_refused() {
    let mut mint = Mint::new();
    let (_folder, store) = create(&mint);
    let stranger = Mint::new();
    mint.timestamp = stranger.timestamp;
    assert_eq!(
        attack(honest(&mut store.metadata().unwrap(), &mint)),
        Some(Attack::BadSignature)
    );
}

#[test]
fn older_edition_is_a_rollback_also_after_a_restart() {
    let mut mint = Mint::new();
    let (_folder, store) = create(&mint);
    let old = (
        mint.timestamp.clone(),
        mint.snapshot.clone(),
        mint.targets.clone(),
    );
    mint.release(1, &Bundle::new(1, &class(), 10));
    drop(renewed(&store, &mint));
    (mint.timestamp, mint.snapshot, mint.targets) = old;
    assert_eq!(
        attack(honest(&mut store.metadata().unwrap(), &mint)),
        Some(Attack::Rollback)
    );
}

#[test]
fn truncated_store_file_does_not_forget_the_rollback_floor() {
    let mut mint = Mint::new();
    let (folder, store) = create(&mint);
    let old = (
        mint.timestamp.clone(),
        mint.snapshot.clone(),
        mint.targets.clone(),
    );
    mint.release(1, &Bundle::new(1, &class(), 10));
    drop(renewed(&store, &mint));
    (mint.timestamp, mint.snapshot, mint.targets) = old;
    fs::write(at(&folder).join("metadata"), b"").unwrap();
    assert_eq!(
        attack(honest(&mut store.metadata().unwrap(), &mint)),
        Some(Attack::Rollback)
    );
    // With both copies gone the store is damaged; it does not begin anew.
    for name in ["metadata", "metadata.copy"] {
        fs::write(at(&folder).join(name), b"").unwrap();
    }
    assert!(store.metadata().is_err());
}

#[test]
fn expired_metadata_authorise_nothing_and_do_not_block_newer() {
    let mut mint = Mint::new();
    let (_folder, store) = create(&mint);
    let mut metadata = renewed(&store, &mint);
    let later = noon() + hours(24 * 30);
    let vouched = metadata.target(DEPLOYER_TARGET, later).unwrap_err();
    assert_eq!(vouched.attack(), Some(Attack::Frozen));
    assert_eq!(
        attack(walk(&mut metadata, &mint, later, |_, bytes| bytes)),
        Some(Attack::Frozen)
    );
    mint.now = later;
    mint.release(1, &Bundle::new(1, &class(), 10));
    walk(&mut store.metadata().unwrap(), &mint, later, |_, bytes| {
        bytes
    })
    .unwrap();
}

#[test]
fn rotated_root_carries_a_device_over() {
    let mut mint = Mint::new();
    let (_folder, store) = create(&mint);
    drop(renewed(&store, &mint));
    mint.rotate_timestamp_key();
    mint.rotate_timestamp_key();
    drop(renewed(&store, &mint));
    assert_eq!(store.metadata().unwrap().versions().root, 3);
}

#[test]
fn fast_forward_is_mended_by_the_next_root() {
    let mut mint = Mint::new();
    let (_folder, store) = create(&mint);
    mint.sign_online(NonZeroU64::new(1 << 40).unwrap());
    drop(renewed(&store, &mint));
    mint.recover_from_fast_forward();
    let metadata = renewed(&store, &mint);
    assert_eq!(metadata.versions(), mint.versions());
}

#[test]
fn no_single_role_speaks_for_another() {
    let honest = Mint::new();
    for stolen in [
        &[Stolen::Targets][..],
        &[Stolen::Snapshot, Stolen::Timestamp],
        &[Stolen::Deployer],
    ] {
        let (_folder, store) = create(&honest);
        let thief = honest.in_the_hands_of_a_thief(stolen);
        let walked = walk(
            &mut store.metadata().unwrap(),
            &thief,
            noon(),
            |_, bytes| bytes,
        );
        assert_eq!(attack(walked), Some(Attack::BadSignature), "{stolen:?}");
    }
}

#[test]
fn line_that_is_cut_in_the_middle_of_a_walk_makes_a_device_forget_nothing() {
    let mut mint = Mint::new();
    let (_folder, store) = create(&mint);
    drop(renewed(&store, &mint));
    let old = (mint.timestamp.clone(), mint.snapshot.clone());
    mint.rotate_timestamp_key();
    mint.release(1, &Bundle::new(1, &class(), 10));
    let mut metadata = store.metadata().unwrap();
    let mut refresh = metadata.refresh(noon());
    for file in ["2.root.json", "3.root.json", "timestamp.json"] {
        assert_eq!(refresh.wanted().unwrap().file, file);
        refresh.supply(mint.file(file).as_deref()).unwrap();
    }
    refresh.break_off().unwrap();
    drop(metadata);
    let metadata = store.metadata().unwrap();
    assert_eq!(metadata.versions().root, 2);
    assert_eq!(metadata.versions().timestamp, mint.timestamp.version.get());
    drop(metadata);
    (mint.timestamp, mint.snapshot) = old;
    let refused = honest(&mut store.metadata().unwrap(), &mint);
    assert_eq!(attack(refused), Some(Attack::BadSignature));
}

#[test]
fn root_is_remembered_as_soon_as_it_is_accepted() {
    let mut mint = Mint::new();
    let (_folder, store) = create(&mint);
    mint.rotate_timestamp_key();
    let mut metadata = store.metadata().unwrap();
    let root = mint.file("2.root.json");
    metadata.refresh(noon()).supply(root.as_deref()).unwrap();
    // A power cut: nobody ends the walk.
    assert_eq!(store.metadata().unwrap().versions().root, 2);
}

#[test]
fn root_that_the_old_root_did_not_sign_is_refused() {
    let mut mint = Mint::new();
    let (_folder, store) = create(&mint);
    let mut stranger = Mint::new();
    stranger.rotate_timestamp_key();
    mint.roots.push(stranger.roots[1].clone());
    assert_eq!(
        attack(honest(&mut store.metadata().unwrap(), &mint)),
        Some(Attack::BadSignature)
    );
}

#[test]
fn endless_metadata_are_refused() {
    let mint = Mint::new();
    let (_folder, store) = create(&mint);
    let refused = walk(&mut store.metadata().unwrap(), &mint, noon(), |_, bytes| {
        [bytes, vec![b' '; 1 << 20]].concat()
    });
    assert_eq!(attack(refused), Some(Attack::EndlessData));
}

#[test]
fn mixed_editions_are_refused() {
    let mut mint = Mint::new();
    let (_folder, store) = create(&mint);
    let older = [
        ("snapshot.json", mint.snapshot.bytes.clone()),
        ("targets.json", mint.targets.bytes.clone()),
    ];
    mint.release(1, &Bundle::new(1, &class(), 10));
    // Every file is signed by the right key, and one is of the edition before.
    for (role, old) in older {
        let mixed = |file: &str, bytes| match file.ends_with(role) {
            true => old.clone(),
            false => bytes,
        };
        let walked = walk(&mut store.metadata().unwrap(), &mint, noon(), mixed);
        assert_eq!(attack(walked), Some(Attack::MixAndMatch), "{role}");
    }
    drop(renewed(&store, &mint));
}

#[test]
fn development_root_says_so_itself() {
    assert_eq!(
        root_trust(&Mint::new().first_root()).unwrap(),
        TrustLevel::Development
    );
}
