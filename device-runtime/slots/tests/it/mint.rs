//! A whole cloud in a value: real keys, a real TUF repository, releases of small bundles, signed desired states.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::str::FromStr;

use espalier_protocol::desired::{Action, DesiredModel, DesiredState, ReleaseRef, TufVersions};
use espalier_protocol::id::{AssignmentId, ModelVersionId, ReleaseId};
use espalier_protocol::manifest::{
    FileEntry, Golden, GoldenTolerance, Manifest, Requirements, Serving, TensorGraph,
};
use espalier_protocol::release::{ReleaseDocument, ReleasedBuild};
use espalier_protocol::report::Ack;
use espalier_protocol::{BundlePath, DeviceClassName, DeviceIdentity, Digest, ModelName};
use espalier_trust::keys::{KeyFile, KeySource, PublicHalf, SoftwareKey};
use espalier_trust::tuf::{
    RoleHolders, RootPlan, SignedFile, TargetFile, TrustedRoot, read_targets, sign_root,
    sign_snapshot, sign_targets, sign_timestamp,
};
use espalier_trust::{Deployer, deployer_target};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use uuid::Uuid;

/// When the tests take place.
pub fn noon() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

pub fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

pub fn name<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub fn device() -> DeviceIdentity {
    name("acme/press-7")
}

pub fn class() -> DeviceClassName {
    name("x86-int8")
}

pub fn model() -> ModelName {
    name("tile-defect")
}

pub fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// One key in memory.
pub fn key() -> SoftwareKey {
    KeyFile::development(&ring::rand::SystemRandom::new())
        .unwrap()
        .open(None)
        .unwrap()
}

/// A bundle in memory: a manifest and the files that it lists.
#[derive(Clone)]
pub struct Bundle {
    pub manifest: Manifest,
    pub files: BTreeMap<BundlePath, Vec<u8>>,
}

impl Bundle {
    /// A bundle for `class` whose graph has `size` bytes that depend on `seed`.
    pub fn new(seed: u8, class: &DeviceClassName, size: usize) -> Self {
        let graph: Vec<u8> = (0..size)
            .map(|i| (i as u8).wrapping_mul(31) ^ seed)
            .collect();
        let files: BTreeMap<BundlePath, Vec<u8>> = [
            ("graph.onnx", graph),
            ("golden/000/input.png", vec![seed; 32]),
            ("golden/000/request.json", b"{}".to_vec()),
            ("golden/000/own.json", vec![seed; 16]),
            ("golden/000/full.json", b"[]".to_vec()),
        ]
        .into_iter()
        .map(|(path, bytes)| (name(path), bytes))
        .collect();
        let manifest = Manifest {
            format: 1,
            model: model(),
            model_version: ModelVersionId(id(1)),
            device_class: class.clone(),
            serving: Serving::Tensor(TensorGraph {
                graph: name("graph.onnx"),
            }),
            requires: Requirements {
                onnxruntime: "1.20".into(),
                opset: 17,
                memory_bytes: 1,
            },
            golden: vec![Golden {
                input: name("golden/000/input.png"),
                request: name("golden/000/request.json"),
                own: name("golden/000/own.json"),
                full: name("golden/000/full.json"),
            }],
            golden_tolerance: GoldenTolerance {
                min_iou: 0.9,
                max_abs: 0.01,
            },
            files: files
                .iter()
                .map(|(path, bytes)| (path.clone(), entry(bytes)))
                .collect(),
        };
        Self { manifest, files }
    }

    pub fn manifest_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.manifest).unwrap()
    }

    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest_bytes())
    }
}

pub fn entry(bytes: &[u8]) -> FileEntry {
    FileEntry {
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
    }
}

/// The keys of a repository and its current edition.
pub struct Mint {
    pub root_key: Arc<SoftwareKey>,
    pub targets_key: Arc<SoftwareKey>,
    pub snapshot_key: Arc<SoftwareKey>,
    pub timestamp_key: Arc<SoftwareKey>,
    pub deployer: Deployer,
    pub roots: Vec<SignedFile>,
    /// The root that a thief made for himself; devices never see it.
    own_root: Option<SignedFile>,
    pub targets: SignedFile,
    pub snapshot: SignedFile,
    pub timestamp: SignedFile,
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    pub now: Timestamp,
    /// How long a timestamp is believed.
    pub life: SignedDuration,
}

/// A key that a thief may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stolen {
    Targets,
    Snapshot,
    Timestamp,
    Deployer,
}

fn only(key: &dyn KeySource) -> RoleHolders {
    RoleHolders::one(PublicHalf::of(key))
}

impl Mint {
    pub fn new() -> Self {
        let now = noon();
        let [root_key, targets_key, snapshot_key, timestamp_key] =
            std::array::from_fn(|_| Arc::new(key()));
        let deployer = Deployer::new(Arc::new(key()));
        let first = NonZeroU64::MIN;
        let plan = RootPlan {
            version: first,
            expires: now + hours(24 * 365),
            root: only(&*root_key),
            targets: only(&*targets_key),
            snapshot: only(&*snapshot_key),
            timestamp: only(&*timestamp_key),
        };
        let root = sign_root(&plan, &[&*root_key]).unwrap();
        let (target, bytes) = deployer_target(&[deployer.public_key()]).unwrap();
        let placeholder = root.clone();
        let mut mint = Self {
            root_key,
            targets_key,
            snapshot_key,
            timestamp_key,
            deployer,
            roots: vec![root],
            own_root: None,
            targets: placeholder.clone(),
            snapshot: placeholder.clone(),
            timestamp: placeholder,
            blobs: BTreeMap::new(),
            now,
            life: hours(24 * 7),
        };
        mint.targets = sign_targets(
            &mint.trusted(),
            None,
            &[target],
            now + hours(24 * 365),
            &[&*mint.targets_key],
        )
        .unwrap();
        mint.keep(bytes);
        mint.sign_online(first);
        mint
    }

    pub fn trusted(&self) -> TrustedRoot {
        let root = self.own_root.as_ref().or(self.roots.last());
        TrustedRoot::read(&root.unwrap().bytes).unwrap()
    }

    /// The same repository in the hands of a thief who holds these keys, and has some of his own for the others. Devices
    /// still follow the honest roots; all else is signed by him, in editions above the honest ones.
    pub fn in_the_hands_of_a_thief(&self, stolen: &[Stolen]) -> Self {
        let hold = |role, honest: &Arc<SoftwareKey>| match stolen.contains(&role) {
            true => honest.clone(),
            false => Arc::new(key()),
        };
        let mut thief = Self::new();
        thief.targets_key = hold(Stolen::Targets, &self.targets_key);
        thief.snapshot_key = hold(Stolen::Snapshot, &self.snapshot_key);
        thief.timestamp_key = hold(Stolen::Timestamp, &self.timestamp_key);
        if stolen.contains(&Stolen::Deployer) {
            thief.deployer = self.deployer.clone();
        }
        thief.own_root = Some(thief.sign_next_root());
        thief.roots = self.roots.clone();
        thief.blobs.extend(self.blobs.clone());
        thief.overtake(self);
        thief
    }

    /// Signs empty news until the editions are above another's.
    fn overtake(&mut self, other: &Self) {
        let (target, bytes) = deployer_target(&[self.deployer.public_key()]).unwrap();
        self.keep(bytes);
        self.targets = sign_targets(
            &self.trusted(),
            None,
            std::slice::from_ref(&target),
            self.now + hours(24 * 365),
            &[&*self.targets_key],
        )
        .unwrap();
        while self.targets.version <= other.targets.version {
            self.add_target(target.clone());
        }
        self.sign_online(other.timestamp.version.checked_add(1).unwrap());
    }

    pub fn first_root(&self) -> String {
        String::from_utf8(self.roots[0].bytes.clone()).unwrap()
    }

    pub fn keep(&mut self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.blobs.insert(digest, bytes);
        digest
    }

    /// Signs snapshot and timestamp for the present targets.
    pub fn sign_online(&mut self, version: NonZeroU64) {
        let root = self.trusted();
        let named = read_targets(&root, &self.targets.bytes).unwrap();
        let expires = self.now + self.life;
        self.snapshot =
            sign_snapshot(&root, &named, version, expires, &*self.snapshot_key).unwrap();
        self.timestamp = sign_timestamp(
            &root,
            &self.snapshot,
            version,
            expires,
            &*self.timestamp_key,
        )
        .unwrap();
    }

    /// Signs the next edition of everything below the root, with one more target.
    pub fn add_target(&mut self, file: TargetFile) {
        let root = self.trusted();
        let current = read_targets(&root, &self.targets.bytes).unwrap();
        self.targets = sign_targets(
            &root,
            Some(&current),
            &[file],
            self.now + hours(24 * 365),
            &[&*self.targets_key],
        )
        .unwrap();
        self.sign_online(self.timestamp.version.checked_add(1).unwrap());
    }

    /// The next root, with a new timestamp key, signed by old and new root keys (the same one here).
    pub fn rotate_timestamp_key(&mut self) {
        self.timestamp_key = Arc::new(key());
        self.publish_next_root();
        self.sign_online(self.timestamp.version.checked_add(1).unwrap());
    }

    /// New snapshot and timestamp keys, and editions that begin anew: how a fast-forward is mended (TUF 1.0.34 §5.3.11).
    pub fn recover_from_fast_forward(&mut self) {
        self.snapshot_key = Arc::new(key());
        self.timestamp_key = Arc::new(key());
        self.publish_next_root();
        self.sign_online(NonZeroU64::MIN);
    }

    fn publish_next_root(&mut self) {
        let root = self.sign_next_root();
        self.roots.push(root);
    }

    /// The root that follows, naming the keys at hand.
    fn sign_next_root(&self) -> SignedFile {
        let plan = RootPlan {
            version: self.roots.last().unwrap().version.checked_add(1).unwrap(),
            expires: self.now + hours(24 * 365),
            root: only(&*self.root_key),
            targets: only(&*self.targets_key),
            snapshot: only(&*self.snapshot_key),
            timestamp: only(&*self.timestamp_key),
        };
        sign_root(&plan, &[&*self.root_key]).unwrap()
    }

    /// Publishes a release of one bundle for its class.
    pub fn release(&mut self, counter: u64, bundle: &Bundle) -> ReleaseRef {
        let document = ReleaseDocument {
            format: 1,
            id: ReleaseId(id(u128::from(counter) + 1000)),
            tenant: device().tenant,
            model: bundle.manifest.model.clone(),
            model_version: bundle.manifest.model_version,
            counter,
            builds: vec![ReleasedBuild {
                device_class: bundle.manifest.device_class.clone(),
                bundle: bundle.digest(),
                manifest_bytes: bundle.manifest_bytes().len() as u64,
                files_bytes: bundle.manifest.total_bytes(),
            }],
        };
        for bytes in bundle
            .files
            .values()
            .cloned()
            .chain([bundle.manifest_bytes()])
        {
            self.keep(bytes);
        }
        self.publish(&document)
    }

    pub fn publish(&mut self, document: &ReleaseDocument) -> ReleaseRef {
        let bytes = serde_json::to_vec(document).unwrap();
        let digest = self.keep(bytes.clone());
        let name = ReleaseDocument::target_name(&document.model, &digest);
        self.add_target(TargetFile::new(&name, &bytes).unwrap());
        ReleaseRef {
            id: document.id,
            digest,
            counter: document.counter,
        }
    }

    /// A metadata file as a door would serve it.
    pub fn file(&self, file: &str) -> Option<Vec<u8>> {
        let numbered = |suffix: &str| file.strip_suffix(suffix)?.parse::<u64>().ok();
        if file == "timestamp.json" {
            return Some(self.timestamp.bytes.clone());
        }
        if let Some(version) = numbered(".root.json") {
            return self
                .roots
                .iter()
                .find(|root| root.version.get() == version)
                .map(|root| root.bytes.clone());
        }
        if numbered(".snapshot.json") == Some(self.snapshot.version.get()) {
            return Some(self.snapshot.bytes.clone());
        }
        (numbered(".targets.json") == Some(self.targets.version.get()))
            .then(|| self.targets.bytes.clone())
    }

    pub fn versions(&self) -> TufVersions {
        TufVersions {
            root: self.roots.last().unwrap().version.get(),
            timestamp: self.timestamp.version.get(),
            snapshot: self.snapshot.version.get(),
            targets: self.targets.version.get(),
        }
    }

    /// A desired state for the tests' device.
    pub fn desired(&self, sequence: u64, models: Vec<DesiredModel>) -> DesiredState {
        DesiredState {
            device: device(),
            sequence,
            issued_at: self.now,
            expires_at: self.now + hours(24),
            class: class(),
            models,
            tuf: self.versions(),
            traceparent: None,
        }
    }

    pub fn sign(&self, desired: &DesiredState) -> Vec<u8> {
        self.deployer.sign_desired(desired).unwrap()
    }

    pub fn sign_ack(&self, ack: &Ack) -> Vec<u8> {
        self.deployer.sign_ack(ack).unwrap()
    }
}

/// An order to install a bundle.
pub fn order(number: u128, attempt: u32, release: ReleaseRef, bundle: &Bundle) -> DesiredModel {
    DesiredModel {
        model: bundle.manifest.model.clone(),
        assignment: AssignmentId(id(number)),
        attempt,
        release,
        bundle: bundle.digest(),
        action: Action::Install,
    }
}
