//! What a device keeps and walks: TUF metadata from a door that may be anybody's, and records from its own disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use espalier_protocol::ModelName;
use espalier_slots::record::{Kept, Record};
use espalier_slots::trust::{Floors, Metadata, TrustError};
use espalier_slots::{Anchor, ModelSlots, Store};

use crate::fixture::{cloud, now};
use crate::memory::Memory;
use crate::same;

const STORE: &str = "/device/store";

/// Whose place the bytes take.
enum Place {
    /// A file of the walk, by what its name ends with.
    File(&'static str),
    /// The record with all that is trusted, as after a fault of the disk.
    Record,
    /// The root of a claim.
    Claim,
}

/// The first byte says whose place the others take.
fn placed(bytes: &[u8]) -> Option<(Place, &[u8])> {
    let (place, offered) = bytes.split_first()?;
    let place = match place % 6 {
        0 => Place::File("root.json"),
        1 => Place::File("timestamp.json"),
        2 => Place::File("snapshot.json"),
        3 => Place::File("targets.json"),
        4 => Place::Record,
        _ => Place::Claim,
    };
    Some((place, offered))
}

/// One hostile file on a device's walk from the first edition to the second: it is refused or harmless, and afterwards
/// an honest walk ends where it always does.
pub fn on_a_device(bytes: &[u8]) {
    match placed(bytes) {
        Some((Place::File(name), offered)) => hostile_file(name, offered),
        Some((Place::Record, offered)) => hostile_record(offered),
        Some((Place::Claim, offered)) => hostile_claim(offered),
        None => {}
    }
}

fn hostile_file(name: &'static str, offered: &[u8]) {
    let mut metadata = device(&KNOWS_THE_FIRST.copy());
    let before = metadata.versions();
    let _refused = walk(&mut metadata, |file| match file.ends_with(name) {
        true => Some(offered),
        false => honest(file),
    });
    let after = metadata.versions();
    // A newer role lets go of those that it speaks of, until they are fetched: 0.
    let kept = |before: u64, after: u64| after == 0 || after >= before;
    assert!(
        after.root >= before.root
            && kept(before.timestamp, after.timestamp)
            && kept(before.snapshot, after.snapshot)
            && kept(before.targets, after.targets),
        "a file rolled back what was trusted"
    );
    walk(&mut metadata, honest).expect("a hostile file blocks no honest one");
    knows_the_second(&metadata);
}

fn hostile_record(offered: &[u8]) {
    let disk = KNOWS_THE_FIRST.copy();
    let path = Path::new(STORE).join("metadata");
    Record::new(Arc::new(disk.clone()), path)
        .write(offered)
        .expect("memory takes a record");
    let store = Store::open(Arc::new(disk), Path::new(STORE)).expect("slots alone open a store");
    if let Ok(mut metadata) = store.metadata() {
        honest_walk_ends_well_or_is_refused(&mut metadata);
    }
}

/// Whoever wrote the disk or the claim may have another root; under ours a walk ends where it always does.
fn honest_walk_ends_well_or_is_refused(metadata: &mut Metadata) {
    if walk(metadata, honest).is_ok() {
        knows_the_second(metadata);
    }
}

fn hostile_claim(offered: &[u8]) {
    let Ok(root) = std::str::from_utf8(offered) else {
        return;
    };
    let disk = Memory::default();
    if let Ok(store) = Store::create(Arc::new(disk), Path::new(STORE), anchor(root)) {
        let mut metadata = store.metadata().expect("a store that was made is read");
        honest_walk_ends_well_or_is_refused(&mut metadata);
    }
}

fn knows_the_second(metadata: &Metadata) {
    let versions = metadata.versions();
    assert_eq!(
        (versions.timestamp, versions.snapshot, versions.targets),
        (2, 2, 2),
        "an honest walk ends at the second edition"
    );
    let target = &cloud().release_target;
    let known = metadata
        .target(target.name(), now())
        .expect("the second edition names the release");
    assert_eq!(known.digest(), Some(target.digest()));
}

fn anchor(root: &str) -> Anchor {
    const NAMED: &str = "a constant is a name";
    Anchor {
        identity: "acme/press-7".parse().expect(NAMED),
        class: "x86-int8".parse().expect(NAMED),
        tuf_root: root.to_owned(),
    }
}

/// The metadata of a device with this disk.
pub fn device(disk: &Memory) -> Metadata {
    let store = Store::open(Arc::new(disk.clone()), Path::new(STORE)).expect("a whole store opens");
    store.metadata().expect("its metadata are whole")
}

/// The disk of a device that has walked to the first edition.
static KNOWS_THE_FIRST: LazyLock<Memory> = LazyLock::new(|| {
    let first = &cloud().first;
    let walked = walked(
        &first.timestamp.bytes,
        &first.snapshot.bytes,
        &first.targets.bytes,
    );
    walked.expect("the first edition holds")
});

/// The disk of a device that began with the first root, and has walked to these files.
pub fn walked(timestamp: &[u8], snapshot: &[u8], targets: &[u8]) -> Result<Memory, TrustError> {
    let disk = Memory::default();
    let root = std::str::from_utf8(&cloud().first.root.bytes).expect("metadata are text");
    let store = Store::create(Arc::new(disk.clone()), Path::new(STORE), anchor(root))
        .expect("a device begins with the first root");
    let mut metadata = store.metadata().expect("a new store is whole");
    walk(&mut metadata, |file| match file {
        "timestamp.json" => Some(timestamp),
        "1.snapshot.json" => Some(snapshot),
        "1.targets.json" => Some(targets),
        _ => None,
    })?;
    Ok(disk)
}

/// What the cloud serves now.
fn honest(file: &str) -> Option<&'static [u8]> {
    let cloud = cloud();
    match file {
        "timestamp.json" => Some(&cloud.timestamp.bytes),
        "2.snapshot.json" => Some(&cloud.snapshot.bytes),
        "2.targets.json" => Some(&cloud.targets.bytes),
        _ => None,
    }
}

fn walk<'a>(
    metadata: &mut Metadata,
    serve: impl Fn(&str) -> Option<&'a [u8]>,
) -> Result<(), TrustError> {
    let mut refresh = metadata.refresh(now());
    while let Some(wanted) = refresh.wanted() {
        refresh.supply(serve(&wanted.file))?;
    }
    Ok(())
}

/// Whether a device that knows the first edition follows this root to the second one.
pub fn is_followed(root: &[u8]) -> bool {
    let mut metadata = device(&KNOWS_THE_FIRST.copy());
    let _the_rest = walk(&mut metadata, |file| match file {
        "2.root.json" => Some(root),
        _ => honest(file),
    });
    metadata.versions().root == 2
}

/// Whether a device that knows the first edition takes these files for the second.
pub fn is_taken(timestamp: &[u8], snapshot: &[u8], targets: &[u8]) -> bool {
    let mut metadata = device(&KNOWS_THE_FIRST.copy());
    let walked = walk(&mut metadata, |file| match file {
        "timestamp.json" => Some(timestamp),
        "2.snapshot.json" => Some(snapshot),
        "2.targets.json" => Some(targets),
        _ => None,
    });
    walked.is_ok() && metadata.versions().targets == 2
}

/// A durable record as a broken disk gives it back: whole, or damage, and never anything between.
pub fn record(bytes: &[u8]) {
    let disk = Memory::default();
    let path = Path::new("/record");
    let record = Record::new(Arc::new(disk.clone()), path);
    disk.put(path, bytes);
    match record.read() {
        Ok(Some(body)) => {
            assert!(
                bytes.ends_with(&body),
                "a record gave what it does not hold"
            );
            // The other copy was mended from it.
            disk.put(path, b"torn");
            assert_eq!(record.read().ok().flatten(), Some(body));
        }
        Ok(None) => panic!("a record that is there was taken for one that was never written"),
        Err(_) => {
            record.write(b"better").expect("damage is written over");
            assert_eq!(
                record.read().ok().flatten().as_deref(),
                Some(&b"better"[..])
            );
        }
    }
    kept::<BTreeMap<ModelName, ModelSlots>>(bytes);
    kept::<Floors>(bytes);
    anchor_on_disk(bytes);
}

/// What a store says that its device is.
fn anchor_on_disk(body: &[u8]) {
    let disk = KNOWS_THE_FIRST.copy();
    Record::new(Arc::new(disk.clone()), Path::new(STORE).join("anchor"))
        .write(body)
        .expect("memory takes a record");
    if let Ok(store) = Store::open(Arc::new(disk), Path::new(STORE)) {
        same::in_json(store.anchor(), usize::MAX, |body| {
            serde_json::from_slice(body)
        });
    }
}

/// A whole record whose body is not what it should be.
fn kept<T: serde::Serialize + serde::de::DeserializeOwned>(body: &[u8]) {
    let disk: Arc<Memory> = Arc::default();
    let path = Path::new("/kept");
    Record::new(disk.clone(), path)
        .write(body)
        .expect("memory takes a record");
    let kept = Kept::<T>::new(disk, path);
    if let Ok(Some(value)) = kept.read() {
        kept.write(&value)
            .expect("a value that was read is written");
        let again = kept.require().expect("a value that we wrote is read");
        let text = |value: &T| serde_json::to_string(value).ok();
        assert_eq!(text(&value), text(&again), "a value changed on its way");
    }
}
