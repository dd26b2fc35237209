//! A cloud's keys and first edition in a scratch folder, and a device that begins to trust it.

use std::collections::BTreeMap;
use std::sync::Arc;

use espalier_protocol::DeviceIdentity;
use espalier_slots::{Anchor, Disk, Store};
use espalier_trust::keys::KeyFolder;
use espalier_trust::tuf::{SignedFile, TrustedRoot};
use espalier_trust::{FirstEdition, Lifetimes, OfflineKeys, OnlineKeys, first_edition};
use jiff::Timestamp;
use ring::rand::SystemRandom;
use tempfile::TempDir;

pub struct Cloud {
    pub scratch: TempDir,
    pub offline: OfflineKeys,
    pub online: OnlineKeys,
    pub first: FirstEdition,
    pub root: TrustedRoot,
}

pub fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

pub fn identity(text: &str) -> DeviceIdentity {
    text.parse().unwrap()
}

pub fn cloud() -> Cloud {
    let scratch = tempfile::tempdir().unwrap();
    let folder = KeyFolder::new(scratch.path().join("keys"));
    folder
        .complete_for_development(&SystemRandom::new())
        .unwrap();
    let offline = OfflineKeys::open(&folder, None).unwrap();
    let online = OnlineKeys::open(&folder, None).unwrap();
    let first = first_edition(&offline, &online, &Lifetimes::default(), now()).unwrap();
    let root = TrustedRoot::read(&first.root.bytes).unwrap();
    Cloud {
        scratch,
        offline,
        online,
        first,
        root,
    }
}

/// What a cloud serves under `tuf/`, by file name.
pub struct Served(BTreeMap<String, Vec<u8>>);

impl Served {
    pub fn first(first: &FirstEdition) -> Self {
        let mut served = Self(BTreeMap::new());
        served
            .add("root", &first.root)
            .add("targets", &first.targets)
            .add("snapshot", &first.snapshot);
        served.replace("timestamp.json", first.timestamp.bytes.clone());
        served
    }

    pub fn add(&mut self, role: &str, file: &SignedFile) -> &mut Self {
        self.0
            .insert(format!("{}.{role}.json", file.version), file.bytes.clone());
        self
    }

    pub fn replace(&mut self, name: &str, bytes: Vec<u8>) -> &mut Self {
        self.0.insert(name.to_owned(), bytes);
        self
    }
}

/// A new device whose claim carried the cloud's first root.
pub fn device(cloud: &Cloud) -> Store {
    let anchor = Anchor {
        identity: identity("acme/press-1"),
        class: "x86-int8".parse().unwrap(),
        tuf_root: String::from_utf8(cloud.first.root.bytes.clone()).unwrap(),
    };
    let folder = tempfile::tempdir_in(cloud.scratch.path()).unwrap().keep();
    Store::create(Arc::new(Disk), &folder.join("store"), anchor).unwrap()
}

/// Walks what is served as a device does, and says what the device then knows of a target.
pub fn verify(device: &Store, served: &Served, target: &str, at: Timestamp) -> Result<u64, String> {
    let mut metadata = device.metadata().map_err(|reason| reason.to_string())?;
    let mut refresh = metadata.refresh(at);
    while let Some(wanted) = refresh.wanted() {
        let bytes = served.0.get(&wanted.file).map(Vec::as_slice);
        refresh.supply(bytes).map_err(|reason| reason.to_string())?;
    }
    metadata
        .target(target, at)
        .map(|target| target.length())
        .map_err(|reason| reason.to_string())
}
