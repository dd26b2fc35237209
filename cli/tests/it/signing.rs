//! `release sign` before a server that was taken over: what it shows must not steer the operator's key.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::{Arc, Mutex};

use espalier_api::TrustLevel;
use espalier_api::release::SigningRequestView;
use espalier_api::tuf::TufTargetsView;
use espalier_protocol::Digest;
use espalier_protocol::release::{ReleaseDocument, ReleasedBuild};
use espalier_trust::keys::{KeyFolder, KeyRole};
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
            bundle: Digest::of(b"bundle"),
            manifest_bytes: 100,
            files_bytes: 1000,
        }],
    };
    serde_json::to_vec(&document).unwrap()
}

/// What a server answers, and what it was asked.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Asks for a signature under `root`, after `targets`, with these deployer keys.
    fn asking(root: &SignedFile, targets: Option<&SignedFile>, deployer_json: &[u8]) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let document = release();
        let digest = Digest::of(&document);
        let request = SigningRequestView {
            release: RELEASE.parse().unwrap(),
            length: document.len() as u64,
            release_json: text(&document),
            digest,
            target_name: ReleaseDocument::target_name(&digest),
            deployer_json: text(deployer_json),
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
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                let body = if line.contains("/signing-request") {
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

    /// Runs `release sign` on a machine whose keys lie in `keys`.
    fn sign(&self, machine: &Path) -> Run {
        std::fs::write(machine.join("token"), "secret\n").unwrap();
        let url = format!("http://{}", self.address);
        let line = ["release", "sign", RELEASE, "--keys", "keys", "--url", &url];
        espalier_in(machine, line.into_iter().chain(["--token-file", "token"]))
    }
}

/// An operator's machine: the release keys, with the root that names them.
fn operator() -> (tempfile::TempDir, Keys) {
    let machine = tempfile::tempdir().unwrap();
    let keys = Keys::made_in(&machine.path().join("keys"));
    std::fs::write(keys.folder.first_root(), &keys.first.root.bytes).unwrap();
    (machine, keys)
}

/// A root of the attacker's own, by which both the attacker's and the operator's key speak for targets.
fn root_with_two_signers(attacker: &Keys, operator: &Keys) -> SignedFile {
    let stolen = operator.folder.open(KeyRole::Targets, None).unwrap();
    let targets: Vec<&dyn espalier_trust::keys::KeySource> =
        vec![&*attacker.offline.targets, &stolen];
    sign_root(&RootPlan {
        version: NonZeroU64::MIN,
        expires: now() + Lifetimes::default().root,
        root: RoleHolders::one(&*attacker.offline.root),
        targets: RoleHolders::several(targets, NonZeroU64::MIN).unwrap(),
        snapshot: RoleHolders::one(&*attacker.online.snapshot),
        timestamp: RoleHolders::one(&*attacker.online.timestamp),
    })
    .unwrap()
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

    std::fs::remove_file(operator.folder.first_root()).unwrap();
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

/// Without this, the tests above could pass because nothing is ever signed here.
#[test]
fn honest_server_is_given_a_signature() {
    let (machine, operator) = operator();
    let first = &operator.first;
    let server = Server::asking(&first.root, Some(&first.targets), &first.deployer_json);
    server.sign(machine.path());
    assert!(server.was_given_a_signature());
}
