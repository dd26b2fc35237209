//! Records: kept twice, mended, and never mistaken for absent.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use espalier_slots::Disk;
use espalier_slots::record::{Record, RecordError};
use tempfile::TempDir;

struct Place {
    _folder: TempDir,
    first: PathBuf,
    second: PathBuf,
    record: Record,
}

fn place() -> Place {
    let folder = TempDir::new().unwrap();
    let first = folder.path().join("floors");
    Place {
        second: folder.path().join("floors.copy"),
        record: Record::new(Arc::new(Disk), &first),
        first,
        _folder: folder,
    }
}

#[test]
fn never_written_is_absent() {
    assert_eq!(place().record.read().unwrap(), None);
}

#[test]
fn newest_generation_counts() {
    let place = place();
    place.record.write(b"one").unwrap();
    let old = fs::read(&place.first).unwrap();
    place.record.write(b"two").unwrap();
    // A copy from before, put back beside a newer one.
    fs::write(&place.first, old).unwrap();
    assert_eq!(place.record.read().unwrap().unwrap(), b"two");
    assert_eq!(
        fs::read(&place.first).unwrap(),
        fs::read(&place.second).unwrap()
    );
}

#[test]
fn truncated_copy_is_mended_at_every_length() {
    let place = place();
    place.record.write(b"the floors of this device").unwrap();
    let whole = fs::read(&place.first).unwrap();
    for length in 0..whole.len() {
        for broken in [&place.first, &place.second] {
            fs::write(broken, &whole[..length]).unwrap();
            assert_eq!(
                place.record.read().unwrap().unwrap(),
                b"the floors of this device"
            );
            assert_eq!(fs::read(broken).unwrap(), whole);
        }
    }
}

#[test]
fn both_copies_broken_is_damage() {
    let place = place();
    place.record.write(b"body").unwrap();
    let mut bytes = fs::read(&place.first).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&place.first, &bytes).unwrap();
    fs::write(&place.second, b"").unwrap();
    assert!(matches!(
        place.record.read(),
        Err(RecordError::Damaged { .. })
    ));
}

#[test]
fn one_broken_and_one_missing_is_damage() {
    let place = place();
    place.record.write(b"body").unwrap();
    fs::write(&place.first, b"").unwrap();
    fs::remove_file(&place.second).unwrap();
    assert!(matches!(
        place.record.read(),
        Err(RecordError::Damaged { .. })
    ));
}
