//! `release sign` before a server that was taken over: what it shows must not steer the operator's key.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::{Arc, Mutex};

use espalier_api::TrustLevel;
use espalier_api::release::{BundleToSign, SigningRequestView};
use espalier_api::tuf::TufTargetsView;
use espalier_protocol::Digest;
use espalier_protocol::release::{ReleaseDocument, ReleasedBuild};
use espalier_trust::keys::{KeyFile, KeyFolder, KeyRole, KeySource, PublicHalf};
use espalier_trust::tuf::{
    RoleHolders, RootPlan, SignedFile, TargetFile, TrustedRoot, sign_root, sign_targets,
};
use espalier_trust::{
    FirstEdition, Lifetimes, OfflineKeys, OnlineKeys, deployer_target, first_edition,
};
use jiff::Timestamp;
use ring::rand::SystemRandom;

use crate::support::{Run, espalier_in};

const RELEASE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// A machine with keys, and the first edition that they signed.
struct Keys {
    folder: KeyFolder,
    offline: OfflineKeys,
    online: OnlineKeys,
    first: FirstEdition,
}

impl Keys {
    fn made_in(folder: &Path) -> Self {
        let folder = KeyFolder::new(folder);
        folder
            .complete_for_development(&SystemRandom::new())
            .unwrap();
        let offline = OfflineKeys::open(&folder, None).unwrap();
        let online = OnlineKeys::open(&folder, None).unwrap();
        let first = first_edition(&offline, &online, &Lifetimes::default(), now()).unwrap();
        Self {
            folder,
            offline,
            online,
            first,
        }
    }

    fn deployer(&self) -> (TargetFile, Vec<u8>) {
        deployer_target(&[self.online.deployer.public_key()]).unwrap()
    }
}

fn release() -> Vec<u8> {
    let document = ReleaseDocument {
        format: 1,
        id: RELEASE.parse().unwrap(),
        tenant: "default".parse().unwrap(),
        model: "sam".parse().unwrap(),
        model_version: RELEASE.parse().unwrap(),
        counter: 1,
        builds: vec![ReleasedBuild {
            device_class: "device-x86".parse().unwrap(),
            bundle: Digest::of(manifest("graph").as_bytes()),
            manifest_bytes: manifest("graph").len() as u64,
            files_bytes: 5,
        }],
    };
    serde_json::to_vec(&document).unwrap()
}

/// The manifest of the release's only bundle, with this graph.
fn manifest(graph: &str) -> String {
    let file = serde_json::json!({ "size": graph.len(), "sha256": Digest::of(graph.as_bytes()) });
    let manifest = serde_json::json!({
        "format": 1, "model": "sam", "model_version": RELEASE, "device_class": "device-x86",
        "serving": { "task": "tensor", "graph": "graph" },
        "requires": { "onnxruntime": "1.24", "opset": 17, "memory_bytes": 1 },
        "golden": [{ "input": "graph", "request": "graph", "own": "graph", "full": "graph" }],
        "golden_tolerance": { "min_iou": 0.9, "max_abs": 0.1 },
        "files": { "graph": file },
    });
    manifest.to_string()
}

/// What a server says of the release once it was given something for it.
fn draft() -> serde_json::Value {
    serde_json::json!({
        "id": RELEASE, "model": "sam", "model_version": RELEASE, "counter": 1, "state": "draft",
        "digest": Digest::of(&release()), "created_at": now(), "builds": [], "actions": [],
    })
}

/// What a server answers, and what it was asked.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Asks for a signature under `root`, after `targets`, with these deployer keys.
    fn asking(root: &SignedFile, targets: Option<&SignedFile>, deployer_json: &[u8]) -> Self {
        Self::showing(&manifest("graph"), root, targets, deployer_json)
    }

    /// The same, with this manifest of the bundle.
    fn showing(
        manifest: &str,
        root: &SignedFile,
        targets: Option<&SignedFile>,
        deployer_json: &[u8],
    ) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let document = release();
        let digest = Digest::of(&document);
        let request = SigningRequestView {
            release: RELEASE.parse().unwrap(),
            length: document.len() as u64,
            release_json: text(&document),
            digest,
            target_name: ReleaseDocument::target_name(&"sam".parse().unwrap(), &digest),
            deployer_json: text(deployer_json),
            bundles: vec![BundleToSign {
                device_class: "device-x86".parse().unwrap(),
                manifest_json: manifest.to_owned(),
            }],
        };
        let repository = TufTargetsView {
            root_version: 1,
            targets_version: targets.map_or(0, |file| file.version.get()),
            targets_json: targets.map(|file| text(&file.bytes)),
            root_json: text(&root.bytes),
            trust: TrustLevel::Development,
        };
        Self::answering(
            serde_json::to_string(&request).unwrap(),
            serde_json::to_string(&repository).unwrap(),
        )
    }

    fn answering(request: String, repository: String) -> Self {
        let draft = draft().to_string();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                let body = if line.starts_with("POST") {
                    &draft
                } else if line.contains("/signing-request") {
                    &request
                } else {
                    &repository
                };
                heard.lock().unwrap().push(line);
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
                    .unwrap();
            }
        });
        Self { address, asked }
    }

    fn was_given_a_signature(&self) -> bool {
        let asked = self.asked.lock().unwrap();
        asked.iter().any(|line| line.starts_with("POST"))
    }

    /// Whether it was given targets that name the release; the bundles' own signatures aside.
    fn was_given_targets(&self) -> bool {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .any(|line| line.starts_with("POST") && line.contains("/signature "))
    }

    /// Runs `release sign` on a machine whose keys lie in `keys`.
    fn sign(&self, machine: &Path) -> Run {
        self.run(machine, &["release", "sign", RELEASE, "--keys", "keys"])
    }

    /// Runs a command that speaks to this server.
    fn run(&self, machine: &Path, words: &[&str]) -> Run {
        std::fs::write(machine.join("token"), "secret\n").unwrap();
        let url = format!("http://{}", self.address);
        let server = ["--url", &url, "--token-file", "token"];
        espalier_in(machine, words.iter().copied().chain(server))
    }
}

/// An operator's machine: the release keys, with the root that names them.
fn operator() -> (tempfile::TempDir, Keys) {
    let machine = tempfile::tempdir().unwrap();
    let keys = Keys::made_in(&machine.path().join("keys"));
    std::fs::write(keys.folder.root(1), &keys.first.root.bytes).unwrap();
    (machine, keys)
}

/// A root of the attacker's own, by which both the attacker's and the operator's key speak for targets.
fn root_with_two_signers(attacker: &Keys, operator: &Keys) -> SignedFile {
    let stolen = operator.folder.open(KeyRole::Targets, None).unwrap();
    let targets = vec![
        PublicHalf::of(&*attacker.offline.targets),
        PublicHalf::of(&stolen),
    ];
    let only = |key: &dyn KeySource| RoleHolders::one(PublicHalf::of(key));
    let plan = RootPlan {
        version: NonZeroU64::MIN,
        expires: now() + Lifetimes::default().root,
        root: only(&*attacker.offline.root),
        targets: RoleHolders::several(targets, NonZeroU64::MIN),
        snapshot: only(&*attacker.online.snapshot),
        timestamp: only(&*attacker.online.timestamp),
    };
    sign_root(&plan, &[&*attacker.offline.root]).unwrap()
}

#[test]
fn servers_own_root_steers_no_signature() {
    let (machine, operator) = operator();
    let elsewhere = tempfile::tempdir().unwrap();
    let attacker = Keys::made_in(elsewhere.path());
    let root = root_with_two_signers(&attacker, &operator);
    let (deployer, deployer_json) = attacker.deployer();
    let targets = sign_targets(
        &TrustedRoot::read(&root.bytes).unwrap(),
        None,
        &[deployer],
        now() + Lifetimes::default().targets,
        &[&*attacker.offline.targets],
    )
    .unwrap();
    let server = Server::asking(&root, Some(&targets), &deployer_json);

    let run = server.sign(machine.path());
    assert_eq!(run.code, 7, "{}", run.stderr);
    assert!(run.stderr.contains("current targets"), "{}", run.stderr);
    assert!(!server.was_given_a_signature());

    std::fs::remove_file(operator.folder.root(1)).unwrap();
    let run = server.sign(machine.path());
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("--root"), "{}", run.stderr);
    assert!(!server.was_given_a_signature());
}

#[test]
fn targets_that_are_held_back_let_no_other_deployer_in() {
    let (machine, operator) = operator();
    let elsewhere = tempfile::tempdir().unwrap();
    let (_, deployer_json) = Keys::made_in(elsewhere.path()).deployer();
    let server = Server::asking(&operator.first.root, None, &deployer_json);

    let run = server.sign(machine.path());
    assert_eq!(run.code, 7, "{}", run.stderr);
    assert!(run.stderr.contains("deployer"), "{}", run.stderr);
    assert!(!server.was_given_a_signature());
}

#[test]
fn new_deployer_keys_are_shown_before_they_are_signed() {
    let (machine, operator) = operator();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Keys::made_in(elsewhere.path());
    let (_, deployer_json) = other.deployer();
    let first = &operator.first;
    let server = Server::asking(&first.root, Some(&first.targets), &deployer_json);
    let accept = [
        "release",
        "sign",
        RELEASE,
        "--keys",
        "keys",
        "--accept-new-deployer",
    ];
    let run = server.run(machine.path(), &accept);
    let key = String::from(other.online.deployer.public_key());
    assert!(run.stderr.contains(&key), "{}", run.stderr);
    assert!(server.was_given_targets());
}

#[test]
fn exchanged_bundle_is_given_no_signature() {
    let (machine, operator) = operator();
    let first = &operator.first;
    let targets = Some(&first.targets);
    let exchanged = manifest("another graph");
    let server = Server::showing(&exchanged, &first.root, targets, &first.deployer_json);

    let run = server.sign(machine.path());
    assert_eq!(run.code, 7, "{}", run.stderr);
    assert!(run.stderr.contains("another digest"), "{}", run.stderr);
    assert!(!server.was_given_a_signature());
}

/// Without this, the tests above could pass because nothing is ever signed here.
#[test]
fn honest_server_is_given_a_signature() {
    let (machine, operator) = operator();
    let first = &operator.first;
    let server = Server::asking(&first.root, Some(&first.targets), &first.deployer_json);
    server.sign(machine.path());
    assert!(server.was_given_a_signature());
}

/// A root under which two must sign a release, this operator and Bob, whose key lies on the same machine.
fn root_of_two(machine: &Path, operator: &Keys) -> SignedFile {
    let bob = KeyFile::development(&SystemRandom::new()).unwrap();
    bob.create(&machine.join("bob.key.json")).unwrap();
    let mut plan = TrustedRoot::read(&operator.first.root.bytes)
        .unwrap()
        .plan()
        .unwrap();
    plan.targets.keys.push(bob.public_half());
    plan.targets.threshold = NonZeroU64::new(2).unwrap();
    let root = sign_root(&plan, &[&*operator.offline.root]).unwrap();
    std::fs::write(operator.folder.root(1), &root.bytes).unwrap();
    root
}

#[test]
fn release_that_two_must_sign_is_handed_in_by_the_second() {
    let (machine, operator) = operator();
    let at = machine.path();
    let root = root_of_two(at, &operator);
    let bob = KeyFile::read(&at.join("bob.key.json")).unwrap();
    let (deployer, deployer_json) = operator.deployer();
    let both: [&dyn KeySource; 2] = [&*operator.offline.targets, &bob.open(None).unwrap()];
    let targets = sign_targets(
        &TrustedRoot::read(&root.bytes).unwrap(),
        None,
        &[deployer],
        now() + Lifetimes::default().targets,
        &both,
    );
    let server = Server::asking(&root, Some(&targets.unwrap()), &deployer_json);

    let alone = server.sign(at);
    assert_eq!(alone.code, 2, "{}", alone.stderr);
    assert!(
        alone.stderr.contains("1 more must sign"),
        "{}",
        alone.stderr
    );
    let sign_into_draft = [
        "release", "sign", RELEASE, "--keys", "keys", "--draft", "two.json",
    ];
    let first = server.run(at, &sign_into_draft);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let drafted = std::fs::read(at.join("two.json")).unwrap();
    let again = server.run(at, &sign_into_draft);
    assert_eq!(again.code, 2, "{}", again.stderr);
    assert_eq!(std::fs::read(at.join("two.json")).unwrap(), drafted);
    let early = server.run(at, &["keys", "targets", "publish", "two.json"]);
    assert_eq!(early.code, 2, "{}", early.stderr);
    assert!(!server.was_given_targets());

    let sign = "keys targets sign two.json --key bob.key.json --root keys/1.root.json";
    let second = espalier_in(at, sign.split(' '));
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert!(second.stderr.contains("adds release"), "{}", second.stderr);
    server.run(at, &["keys", "targets", "publish", "two.json"]);
    assert!(server.was_given_targets());
}
