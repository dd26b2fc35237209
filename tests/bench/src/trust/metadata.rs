//! One update's metadata on a device: timestamp, snapshot and targets renewed, the deployer's order verified, and both
//! signers brought together.

use std::{num::NonZeroU64, path::Path, sync::Arc, time::Instant};

use anyhow::{Context as _, Result, ensure};
use espalier_protocol::{
    DeviceClassName, DeviceIdentity, Digest, ModelName,
    desired::{Action, DesiredModel, DesiredState, ReleaseRef},
    release::{FORMAT, ReleaseDocument, ReleasedBuild},
    trust::{DEPLOYER_TARGET, DeployerKeys},
};
use espalier_slots::{
    Anchor, Disk, Store,
    trust::{Floors, Metadata, Recipient, agree, verify_desired},
};
use espalier_trust::{
    Deployer, Lifetimes, OfflineKeys, OnlineKeys, first_edition,
    keys::KeyFolder,
    tuf::{SignedFile, TargetFile, TrustedRoot, read_targets},
    tuf::{sign_snapshot, sign_targets, sign_timestamp},
};
use jiff::SignedDuration;
use ring::{
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, Signature, UnparsedPublicKey},
};

use crate::{
    figures::{Row, quantile},
    now,
};

/// Releases that the targets name already: a model's team after two years of weekly releases.
const RELEASES: u64 = 100;
/// As many as one role should hardly name; teams have roles of their own.
const MANY: u64 = 1000;
const UPDATES: u64 = 40;
/// Signatures in one update: timestamp, snapshot, targets, and the desired state.
const SIGNATURES: u32 = 4;
const BAR_MS: f64 = 5.0;

/// On a disk as it is, and in memory, where no write waits for a disk.
///
/// # Errors
/// When an honest update is refused.
pub fn measure() -> Result<Vec<Row>> {
    let memory = tempfile::tempdir_in("/dev/shm").context("no memory folder")?;
    let disk = tempfile::tempdir().context("no scratch folder")?;
    let verified = updates(memory.path(), RELEASES)?;
    let kept = updates(disk.path(), RELEASES)?;
    let many = tempfile::tempdir_in("/dev/shm").context("no memory folder")?;
    let many = updates(many.path(), MANY)?;
    let p95 = quantile(&verified.times, 0.95);
    Ok(vec![
        Row::printed("metadata_verify_p50", quantile(&verified.times, 0.5), "ms")
            .beside(quantile(&verified.bare, 0.5)),
        Row::printed("metadata_verify_p95", p95, "ms")
            .beside(quantile(&verified.bare, 0.95))
            .must("≤ 5 ms", p95 <= BAR_MS),
        Row::printed("metadata_kept_p50", quantile(&kept.times, 0.5), "ms")
            .beside(quantile(&kept.bare, 0.5)),
        Row::printed("metadata_bytes", verified.bytes, "bytes an update"),
        Row::printed("metadata_of_1000_p50", quantile(&many.times, 0.5), "ms")
            .beside(quantile(&many.bare, 0.5)),
    ])
}

/// Milliseconds of each update, those of the bare cryptography over the same bytes, and how many bytes there were.
struct Measured {
    times: Vec<f64>,
    bare: Vec<f64>,
    bytes: f64,
}

fn updates(folder: &Path, releases: u64) -> Result<Measured> {
    let mut cloud = Cloud::new(folder, releases)?;
    let mut device = Device::new(folder, &cloud)?;
    device.update(&cloud, &cloud.edition.clone())?;
    let bare = Bare::new()?;
    let mut measured = Measured {
        times: Vec::new(),
        bare: Vec::new(),
        bytes: 0.0,
    };
    for _ in 0..UPDATES {
        let edition = cloud.release(1)?;
        let begun = Instant::now();
        device.update(&cloud, &edition)?;
        measured.times.push(milliseconds(begun));
        let signatures = bare.sign(&edition);
        let begun = Instant::now();
        bare.verify(&edition, &signatures)?;
        measured.bare.push(milliseconds(begun));
        measured.bytes = edition.bytes() as f64;
    }
    Ok(measured)
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

/// What a device is given for one update.
#[derive(Clone)]
struct Edition {
    timestamp: SignedFile,
    snapshot: SignedFile,
    targets: SignedFile,
    document: Vec<u8>,
    order: DesiredModel,
    desired: Vec<u8>,
}

impl Edition {
    fn parts(&self) -> [&[u8]; SIGNATURES as usize] {
        let Self {
            timestamp,
            snapshot,
            targets,
            desired,
            ..
        } = self;
        [&timestamp.bytes, &snapshot.bytes, &targets.bytes, desired]
    }

    fn bytes(&self) -> usize {
        self.parts().iter().map(|part| part.len()).sum()
    }

    /// A metadata file by the name under which a device asks for it; there are no newer roots.
    fn file(&self, name: &str) -> Option<&[u8]> {
        [&self.timestamp, &self.snapshot, &self.targets]
            .into_iter()
            .zip(["timestamp", "snapshot", "targets"])
            .find(|(_, role)| name.ends_with(&format!("{role}.json")))
            .map(|(file, _)| file.bytes.as_slice())
    }
}

/// All keys of a cloud, and its newest edition.
struct Cloud {
    offline: OfflineKeys,
    online: OnlineKeys,
    deployer: Deployer,
    keys: DeployerKeys,
    root: TrustedRoot,
    counter: u64,
    edition: Edition,
}

impl Cloud {
    fn new(folder: &Path, releases: u64) -> Result<Self> {
        let keys = KeyFolder::new(folder.join("keys"));
        keys.complete_for_development(&SystemRandom::new())?;
        let offline = OfflineKeys::open(&keys, None)?;
        let online = OnlineKeys::open(&keys, None)?;
        let first = first_edition(&offline, &online, &Lifetimes::default(), now())?;
        let deployer = Deployer::new(online.deployer.clone());
        let (document, order) = release(0)?;
        let mut cloud = Self {
            root: TrustedRoot::read(&first.root.bytes)?,
            keys: serde_json::from_slice(&first.deployer_json)?,
            edition: Edition {
                timestamp: first.timestamp,
                snapshot: first.snapshot,
                targets: first.targets,
                document,
                order,
                desired: Vec::new(),
            },
            offline,
            online,
            deployer,
            counter: 0,
        };
        cloud.release(releases)?;
        Ok(cloud)
    }

    /// Signs the next edition with so many releases more; the last of them is ordered.
    fn release(&mut self, count: u64) -> Result<Edition> {
        let mut files = Vec::new();
        for _ in 0..count {
            self.counter += 1;
            let (document, order) = release(self.counter)?;
            let name = ReleaseDocument::target_name(&order.model, &order.release.digest);
            files.push(TargetFile::new(&name, &document)?);
            (self.edition.document, self.edition.order) = (document, order);
        }
        let edition = &mut self.edition;
        let expires = now() + SignedDuration::from_hours(24);
        let current = read_targets(&self.root, &edition.targets.bytes)?;
        let signers = [&*self.offline.targets];
        edition.targets = sign_targets(&self.root, Some(&current), &files, expires, &signers)?;
        let named = read_targets(&self.root, &edition.targets.bytes)?;
        let next = edition.snapshot.version.checked_add(1);
        let version: NonZeroU64 = next.context("too many editions")?;
        edition.snapshot =
            sign_snapshot(&self.root, &named, version, expires, &*self.online.snapshot)?;
        edition.timestamp = sign_timestamp(
            &self.root,
            &edition.snapshot,
            version,
            expires,
            &*self.online.timestamp,
        )?;
        edition.desired = self
            .deployer
            .sign_desired(&desired(self.counter, edition)?)?;
        Ok(edition.clone())
    }
}

fn model() -> Result<ModelName> {
    Ok("sam".parse()?)
}

fn class() -> Result<DeviceClassName> {
    Ok("device-x86".parse()?)
}

fn identity() -> Result<DeviceIdentity> {
    Ok("bench/device".parse()?)
}

fn release(counter: u64) -> Result<(Vec<u8>, DesiredModel)> {
    let bundle = Digest::of(&counter.to_le_bytes());
    let document = ReleaseDocument {
        format: FORMAT,
        id: "01890000-0000-7000-8000-000000000000".parse()?,
        tenant: identity()?.tenant,
        model: model()?,
        model_version: "01890000-0000-7000-8000-000000000001".parse()?,
        counter,
        builds: vec![ReleasedBuild {
            device_class: class()?,
            bundle,
            manifest_bytes: 4096,
            files_bytes: 3 << 20,
        }],
    };
    let bytes = serde_json::to_vec(&document)?;
    let order = DesiredModel {
        model: model()?,
        assignment: "01890000-0000-7000-8000-000000000002".parse()?,
        attempt: 1,
        release: ReleaseRef {
            id: document.id,
            digest: Digest::of(&bytes),
            counter,
        },
        bundle,
        action: Action::Install,
    };
    Ok((bytes, order))
}

fn desired(sequence: u64, edition: &Edition) -> Result<DesiredState> {
    Ok(DesiredState {
        device: identity()?,
        sequence,
        issued_at: now(),
        expires_at: now() + SignedDuration::from_hours(24),
        class: class()?,
        models: vec![edition.order.clone()],
        tuf: espalier_protocol::desired::TufVersions {
            root: 1,
            timestamp: edition.timestamp.version.get(),
            snapshot: edition.snapshot.version.get(),
            targets: edition.targets.version.get(),
        },
        traceparent: None,
    })
}

/// A device that runs: its store, and the trust that it keeps in memory.
struct Device {
    store: Store,
    metadata: Metadata,
    floors: Floors,
}

impl Device {
    fn new(folder: &Path, cloud: &Cloud) -> Result<Self> {
        let anchor = Anchor {
            identity: identity()?,
            class: class()?,
            tuf_root: String::from_utf8(cloud.root.bytes().to_vec())?,
        };
        let store = Store::create(Arc::new(Disk), &folder.join("store"), anchor)?;
        Ok(Self {
            metadata: store.metadata()?,
            store,
            floors: Floors::default(),
        })
    }

    fn update(&mut self, cloud: &Cloud, edition: &Edition) -> Result<()> {
        let mut refresh = self.metadata.refresh(now());
        while let Some(wanted) = refresh.wanted() {
            refresh.supply(edition.file(&wanted.file))?;
        }
        self.metadata.undelegated(DEPLOYER_TARGET, now())?;
        let recipient = Recipient {
            anchor: self.store.anchor(),
            keys: &cloud.keys,
            floors: &self.floors,
            clock: now(),
        };
        let accepted = verify_desired(&edition.desired, &recipient)
            .map_err(|refusal| anyhow::anyhow!("{}", refusal.detail))?;
        let order = accepted.state.models.first().context("no order")?;
        let anchor = self.store.anchor();
        agree(
            order,
            &edition.document,
            &self.metadata,
            anchor,
            &self.floors,
            now(),
        )?;
        Ok(())
    }
}

/// The cryptography alone: as many signatures and digests over as many bytes.
struct Bare {
    key: Ed25519KeyPair,
}

impl Bare {
    fn new() -> Result<Self> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| anyhow::anyhow!("no randomness"))?;
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref())
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Self { key })
    }

    fn sign(&self, edition: &Edition) -> Vec<Signature> {
        let parts = edition.parts().into_iter();
        parts.map(|part| self.key.sign(part)).collect()
    }

    fn verify(&self, edition: &Edition, signatures: &[Signature]) -> Result<()> {
        let public = UnparsedPublicKey::new(&ED25519, self.key.public_key().as_ref());
        for (part, signature) in edition.parts().into_iter().zip(signatures) {
            std::hint::black_box(Digest::of(part));
            let verified = public.verify(part, signature.as_ref());
            ensure!(verified.is_ok(), "a good signature does not hold");
        }
        Ok(())
    }
}
