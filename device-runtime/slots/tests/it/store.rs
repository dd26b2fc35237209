//! The store as a whole: made in one step, opened whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use espalier_slots::record::{Record, RecordError};
use espalier_slots::trust::TrustError;
use espalier_slots::{Anchor, Disk, ReadOnly, Store, StoreError};
use tempfile::TempDir;

use crate::mint::{Mint, class, device, model};

pub fn anchor(mint: &Mint) -> Anchor {
    Anchor {
        identity: device(),
        class: class(),
        tuf_root: mint.first_root(),
    }
}

pub fn create(mint: &Mint) -> (TempDir, Store) {
    let folder = TempDir::new().unwrap();
    let store = Store::create(Arc::new(Disk), &at(&folder), anchor(mint)).unwrap();
    (folder, store)
}

pub fn at(folder: &TempDir) -> PathBuf {
    folder.path().join("store")
}

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(Arc::new(Disk), path)
}

#[test]
fn no_folder_is_absent_and_never_empty() {
    let folder = TempDir::new().unwrap();
    assert!(matches!(open(&at(&folder)), Err(StoreError::Absent(_))));
}

#[test]
fn second_creation_is_refused() {
    let mint = Mint::new();
    let (folder, _store) = create(&mint);
    let again = Store::create(Arc::new(Disk), &at(&folder), anchor(&mint));
    assert!(matches!(again, Err(StoreError::Present(_))));
}

#[test]
fn creation_that_was_cut_off_is_begun_again() {
    let mint = Mint::new();
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("store.new/bundles")).unwrap();
    Store::create(Arc::new(Disk), &at(&folder), anchor(&mint)).unwrap();
    assert!(open(&at(&folder)).is_ok());
}

#[test]
fn root_that_does_not_sign_itself_is_refused() {
    let mint = Mint::new();
    let folder = TempDir::new().unwrap();
    let mut anchor = anchor(&mint);
    anchor.tuf_root = anchor.tuf_root.replacen("2027", "2028", 1);
    let refused = Store::create(Arc::new(Disk), &at(&folder), anchor);
    assert!(matches!(
        refused,
        Err(StoreError::Trust(TrustError::Refused { .. }))
    ));
    assert!(matches!(open(&at(&folder)), Err(StoreError::Absent(_))));
}

#[test]
fn missing_record_is_damage_and_never_a_first_boot() {
    for record in ["anchor", "slots"] {
        let (folder, store) = create(&Mint::new());
        drop(store);
        fs::remove_file(at(&folder).join(record)).unwrap();
        fs::remove_file(at(&folder).join(format!("{record}.copy"))).unwrap();
        let opened = open(&at(&folder));
        assert!(
            matches!(opened, Err(StoreError::Record(RecordError::Damaged { .. }))),
            "{record}"
        );
    }
}

#[test]
fn missing_floors_are_damage_and_what_serves_is_still_known() {
    let (folder, store) = create(&Mint::new());
    drop(store);
    for name in ["floors", "floors.copy"] {
        fs::remove_file(at(&folder).join(name)).unwrap();
    }
    let store = open(&at(&folder)).unwrap();
    let damaged =
        |error: &StoreError| matches!(error, StoreError::Record(RecordError::Damaged { .. }));
    assert!(store.floors().is_err_and(|error| damaged(&error)));
    let raised = store.raise_floors(|floors| floors);
    assert!(
        raised.is_err_and(|error| damaged(&error)),
        "forgotten floors were replaced"
    );
}

#[test]
fn damaged_desired_state_is_written_over_by_the_one_that_comes_again() {
    let (folder, store) = create(&Mint::new());
    store.keep_desired(b"signed").unwrap();
    for name in ["desired", "desired.copy"] {
        fs::write(at(&folder).join(name), b"").unwrap();
    }
    assert!(store.desired().is_err());
    store.keep_desired(b"signed").unwrap();
    assert_eq!(store.desired().unwrap().unwrap(), b"signed");
}

#[test]
fn store_that_is_only_looked_at_is_not_even_mended() {
    let (folder, store) = create(&Mint::new());
    drop(store);
    let broken = at(&folder).join("slots.copy");
    fs::write(&broken, b"half a rec").unwrap();
    let store = Store::open(Arc::new(ReadOnly(Arc::new(Disk))), &at(&folder)).unwrap();
    assert!(store.slots().is_empty());
    assert_eq!(fs::read(&broken).unwrap(), b"half a rec");
    assert!(store.keep_desired(b"signed").is_err());
}

#[test]
fn metadata_of_a_newer_version_are_not_guessed_at() {
    let (folder, store) = create(&Mint::new());
    let record = Record::new(Arc::new(Disk), at(&folder).join("metadata"));
    let body = String::from_utf8(record.read().unwrap().unwrap()).unwrap();
    let newer = body.replacen("\"format\":1", "\"format\":2", 1);
    record.write(newer.as_bytes()).unwrap();
    let refused = store.metadata().unwrap_err();
    assert!(
        matches!(refused, StoreError::Trust(TrustError::Format(2))),
        "{refused}"
    );
}

#[test]
fn missing_metadata_is_damage_and_never_a_first_boot() {
    let (folder, store) = create(&Mint::new());
    for name in ["metadata", "metadata.copy"] {
        fs::write(at(&folder).join(name), b"").unwrap();
    }
    assert!(store.metadata().is_err());
}

#[test]
fn counter_floor_never_sinks() {
    let (_folder, store) = create(&Mint::new());
    store
        .raise_floors(|floors| floors.with_counter(model(), 7))
        .unwrap();
    store
        .raise_floors(|floors| floors.with_counter(model(), 2))
        .unwrap();
    assert_eq!(store.floors().unwrap().counter(&model()), 7);
}
