//! The holders of keys, away from the server, and what a device makes of the metadata that they sign.

use std::{path::Path, sync::Arc};

use espalier_api::tuf::{PublishRoot, PublishTargets, TufTargetsView};
use espalier_protocol::{
    envelope::Envelope,
    report::Ack,
    trust::{DEPLOYER_TARGET, DeployerKeys, KeyId, PublicKey},
};
use espalier_slots::{Anchor, Disk, Store};
use espalier_trust::{
    deployer_target,
    draft::{Document, RootChange, RootDraft, TargetsDraft},
    keys::{KeyFile, KeySource, PublicHalf, SoftwareKey},
    tuf::{TrustedRoot, TufRole},
};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, Response, StatusCode};
use ring::rand::SystemRandom;
use tempfile::TempDir;

use crate::{device::Device, stack::Stack};

/// Judged by the server's clock, and longer than any test.
const YEAR: SignedDuration = SignedDuration::from_hours(24 * 365);

#[expect(
    clippy::disallowed_methods,
    reason = "a server of a test lives in real time"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

pub fn next_year() -> Timestamp {
    now() + YEAR
}

/// A new key that its holder keeps.
pub fn key() -> SoftwareKey {
    let file = KeyFile::development(&SystemRandom::new()).unwrap();
    file.open(None).unwrap()
}

/// A new key in the server's folder, beside the one that it may replace.
pub fn server_key(stack: &Stack, file: &str) -> PublicHalf {
    let made = KeyFile::development(&SystemRandom::new()).unwrap();
    let path = stack.folder.path().join("keys").join(file);
    made.create(&path).unwrap();
    made.public_half()
}

/// A key of the state folder.
pub fn held(folder: &Path, file: &str, passphrase: Option<&str>) -> SoftwareKey {
    let file = KeyFile::read(&folder.join(file)).unwrap();
    file.open(passphrase).unwrap()
}

/// The root that the server speaks of.
pub async fn root(stack: &Stack) -> TrustedRoot {
    let view: TufTargetsView = stack.get("/tuf/targets").await;
    TrustedRoot::read(view.root_json.as_bytes()).unwrap()
}

/// One key of a role goes, another one comes.
pub fn replaced(role: TufRole, old: KeyId, new: PublicHalf) -> [RootChange; 2] {
    let key = old.to_string();
    [
        RootChange::Add { role, key: new },
        RootChange::Revoke { role, key },
    ]
}

/// The root after `current`, signed by all of these.
pub fn signed_root(
    current: &TrustedRoot,
    changes: &[RootChange],
    signers: &[&dyn KeySource],
) -> String {
    let mut draft = RootDraft::next(current.clone(), changes, next_year(), now()).unwrap();
    for signer in signers {
        draft.sign(*signer).unwrap();
    }
    let made = draft.finished().unwrap().unwrap();
    String::from_utf8(made.bytes).unwrap()
}

/// The targets after the server's current ones, with these deployer keys or those from before.
pub async fn signed_targets(
    stack: &Stack,
    root: &str,
    deployer: &[PublicKey],
    signers: &[&dyn KeySource],
) -> PublishTargets {
    let view: TufTargetsView = stack.get("/tuf/targets").await;
    let current = TrustedRoot::read(view.root_json.as_bytes()).unwrap();
    let root = TrustedRoot::read(root.as_bytes()).unwrap();
    let previous = (root.version() > current.version()).then_some(current);
    let documents = match deployer {
        [] => Vec::new(),
        keys => vec![deployer_document(keys)],
    };
    let targets = view.targets_json.unwrap();
    let current = Some(targets.as_bytes());
    let mut draft = TargetsDraft::next(root, previous, current, documents, next_year()).unwrap();
    for signer in signers {
        draft.sign(*signer).unwrap();
    }
    PublishTargets {
        deployer_json: draft.deployer_json().map(str::to_owned),
        targets_json: String::from_utf8(draft.finished().unwrap().unwrap().bytes).unwrap(),
    }
}

pub fn deployer_document(keys: &[PublicKey]) -> Document {
    let (_, json) = deployer_target(keys).unwrap();
    Document {
        name: DEPLOYER_TARGET.to_owned(),
        text: String::from_utf8(json).unwrap(),
    }
}

/// Hands a root in.
pub async fn hand_in(stack: &Stack, root_json: &str, targets: Option<PublishTargets>) -> Response {
    let root_json = root_json.to_owned();
    let request = PublishRoot { root_json, targets };
    stack.call(Method::POST, "/tuf/root", Some(&request)).await
}

/// What a device believes: the metadata that it walked to, in a store of its own, by the devices' own verifier.
pub struct Believer {
    device: Device,
    store: Store,
    _folder: TempDir,
}

impl Believer {
    /// One that knows nothing but its claim.
    pub fn new(device: Device) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let anchor = Anchor {
            identity: device.identity.clone(),
            class: "test-class".parse().unwrap(),
            tuf_root: device.claim.tuf_root.clone(),
        };
        let store = Store::create(Arc::new(Disk), &folder.path().join("store"), anchor).unwrap();
        Self {
            device,
            store,
            _folder: folder,
        }
    }

    /// Walks from what it believes to what the server serves now; gives the root's version and who deploys.
    pub async fn walk(&self) -> (u64, DeployerKeys) {
        let mut metadata = self.store.metadata().unwrap();
        let mut refresh = metadata.refresh(now());
        while let Some(wanted) = refresh.wanted() {
            let bytes = self.fetch(&format!("tuf/{}", wanted.file)).await;
            refresh.supply(bytes.as_deref()).unwrap();
        }
        let list = metadata.target(DEPLOYER_TARGET, now()).unwrap();
        let list = self
            .fetch(&format!("blobs/{}", list.digest().unwrap()))
            .await;
        let keys = serde_json::from_slice(&list.unwrap()).unwrap();
        (metadata.versions().root, keys)
    }

    async fn fetch(&self, path: &str) -> Option<Vec<u8>> {
        let answer = self.device.fetch(path).await;
        if answer.status() == StatusCode::NOT_FOUND {
            return None;
        }
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        Some(answer.bytes().await.unwrap().to_vec())
    }

    /// Reports, and gives the key that acknowledges it, once it is one that the device believes.
    pub async fn report(&self, seq: u64, believed: &DeployerKeys) -> KeyId {
        let mut session = self.device.connect().await;
        session.say(self.device.report(1, seq)).await;
        let (_, bytes) = session.hear().await;
        let envelope = Envelope::parse(&bytes).unwrap();
        let ack: Ack = envelope.open(|id| believed.find(id)).unwrap();
        assert_eq!((ack.boot, ack.seq), (1, seq));
        envelope.keyid
    }
}
