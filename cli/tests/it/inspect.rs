//! `espalier inspect` on files that are good, altered, foreign or secret.

use std::path::Path;

use espalier_protocol::envelope::seal;
use espalier_protocol::report::Ack;
use espalier_protocol::trust::SigningKey;
use espalier_trust::keys::KeyFolder;
use espalier_trust::{FirstEdition, Lifetimes, OfflineKeys, OnlineKeys, first_edition};
use ring::rand::SystemRandom;

use crate::support::{Run, espalier_in};

fn inspect(folder: &Path, arguments: &[&str]) -> Run {
    espalier_in(folder, ["inspect"].iter().chain(arguments))
}

/// A signed acknowledgement in `folder`, and the signer's public key.
fn signed_ack(folder: &Path) -> String {
    let (key, _) = SigningKey::generate(&SystemRandom::new()).unwrap();
    let ack = Ack {
        device: "main/camera-07".parse().unwrap(),
        boot: 3,
        seq: 41,
    };
    std::fs::write(folder.join("ack.cbor"), seal(&ack, &key).unwrap()).unwrap();
    String::from(key.public())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the program that reads it lives in real time"
)]
fn repository(folder: &Path) -> FirstEdition {
    let keys = KeyFolder::new(folder.join("keys"));
    keys.complete_for_development(&SystemRandom::new()).unwrap();
    let offline = OfflineKeys::open(&keys, None).unwrap();
    let online = OnlineKeys::open(&keys, None).unwrap();
    let first = first_edition(
        &offline,
        &online,
        &Lifetimes::default(),
        jiff::Timestamp::now(),
    )
    .unwrap();
    std::fs::write(folder.join("root.json"), &first.root.bytes).unwrap();
    std::fs::write(folder.join("targets.json"), &first.targets.bytes).unwrap();
    first
}

#[test]
fn message_of_a_trusted_signer() {
    let folder = tempfile::tempdir().unwrap();
    let key = signed_ack(folder.path());
    let run = inspect(folder.path(), &["ack.cbor", "--key", &key]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.contains("verified: signed by key"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("\"seq\": 41"), "{}", run.stdout);
}

#[test]
fn message_without_a_key_is_shown_and_said_to_be_unverified() {
    let folder = tempfile::tempdir().unwrap();
    signed_ack(folder.path());
    let run = inspect(folder.path(), &["ack.cbor"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("NOT VERIFIED"), "{}", run.stdout);
}

#[test]
fn message_of_another_signer() {
    let folder = tempfile::tempdir().unwrap();
    signed_ack(folder.path());
    let (other, _) = SigningKey::generate(&SystemRandom::new()).unwrap();
    let run = inspect(
        folder.path(),
        &["ack.cbor", "--key", &String::from(other.public())],
    );
    assert_eq!(run.code, 7);
    assert!(run.stdout.contains("not trusted for it"), "{}", run.stdout);
}

#[test]
fn message_with_one_flipped_bit() {
    let folder = tempfile::tempdir().unwrap();
    let key = signed_ack(folder.path());
    let path = folder.path().join("ack.cbor");
    let good = std::fs::read(&path).unwrap();
    // Somewhere in the payload: the device's name.
    let at = good
        .windows(6)
        .position(|bytes| bytes == b"camera")
        .unwrap();
    let mut bad = good;
    bad[at] ^= 1;
    std::fs::write(&path, bad).unwrap();
    let run = inspect(folder.path(), &["ack.cbor", "--key", &key]);
    assert_eq!(run.code, 7);
    assert!(run.stdout.contains("FAILED"), "{}", run.stdout);
}

#[test]
fn targets_under_their_root_and_under_another() {
    let ours = tempfile::tempdir().unwrap();
    let theirs = tempfile::tempdir().unwrap();
    repository(ours.path());
    repository(theirs.path());
    let good = inspect(ours.path(), &["targets.json", "--root", "root.json"]);
    assert_eq!(good.code, 0, "{}\n{}", good.stdout, good.stderr);
    let other = theirs.path().join("root.json");
    let bad = inspect(
        ours.path(),
        &["targets.json", "--root", other.to_str().unwrap()],
    );
    assert_eq!(bad.code, 7, "{}", bad.stdout);
}

#[test]
fn root_of_development_keys_says_so() {
    let folder = tempfile::tempdir().unwrap();
    repository(folder.path());
    let run = inspect(folder.path(), &["root.json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("development keys"), "{}", run.stdout);
}

#[test]
fn claim_hides_its_secret_and_a_false_trust_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let first = repository(folder.path());
    let mut claim = serde_json::json!({
        "format": 1, "id": "01900000-0000-7000-8000-000000000001", "tenant": "main", "token": "the-secret",
        "expires_at": "2999-01-01T00:00:00Z", "trust": "development", "ca_pem": "", "tuf_root": String::from_utf8(first.root.bytes).unwrap(),
        "uplink": { "via": "cloud", "door": "https://127.0.0.1:7443/", "broker": "mqtts://127.0.0.1:8883" }
    });
    let write = |claim: &serde_json::Value| {
        std::fs::write(folder.path().join("c.claim"), claim.to_string()).unwrap()
    };
    write(&claim);
    let honest = inspect(folder.path(), &["c.claim"]);
    assert_eq!(honest.code, 0, "{}\n{}", honest.stdout, honest.stderr);
    assert!(
        !honest.stdout.contains("the-secret"),
        "the secret was printed"
    );
    claim["trust"] = "production".into();
    write(&claim);
    let lying = inspect(folder.path(), &["c.claim"]);
    assert_eq!(lying.code, 7, "{}", lying.stdout);
}

/// A bundle in `folder/bundle`, signed by the key in `folder/keys`.
fn signed_bundle(folder: &Path) {
    let entry = |text: &str| serde_json::json!({ "size": text.len(), "sha256": espalier_protocol::Digest::of(text.as_bytes()) });
    let manifest = serde_json::json!({
        "format": 1, "model": "link", "model_version": "01900000-0000-7000-8000-000000000001", "device_class": "edge-x86",
        "serving": { "task": "tensor", "graph": "graph.onnx" },
        "requires": { "onnxruntime": "1.20", "opset": 17, "memory_bytes": 1 },
        "golden": [{ "input": "golden/in", "request": "golden/in", "own": "golden/out", "full": "golden/out" }],
        "golden_tolerance": { "min_iou": 0.9, "max_abs": 0.1 },
        "files": { "graph.onnx": entry("graph"), "golden/in": entry("in"), "golden/out": entry("out") }
    })
    .to_string();
    let bundle = folder.join("bundle");
    std::fs::create_dir_all(bundle.join("golden")).unwrap();
    for (name, text) in [
        ("manifest.json", manifest.as_str()),
        ("graph.onnx", "graph"),
        ("golden/in", "in"),
        ("golden/out", "out"),
    ] {
        std::fs::write(bundle.join(name), text).unwrap();
    }
    let random = SystemRandom::new();
    let keys = KeyFolder::new(folder.join("keys"));
    keys.complete_for_development(&random).unwrap();
    let key = keys.open_bundle_key(None, &random).unwrap();
    let signed = key.sign(manifest.as_bytes(), &random).unwrap();
    std::fs::write(bundle.join("model.sig"), signed).unwrap();
}

const KEY: [&str; 2] = ["--key", "keys/bundle.pub.pem"];

fn inspect_bundle(folder: &Path, file: &str) -> Run {
    inspect(folder, &[&[file], &KEY[..]].concat())
}

#[test]
fn bundle_whose_file_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    signed_bundle(folder.path());
    let good = inspect(folder.path(), &["bundle/manifest.json"]);
    assert_eq!(good.code, 0, "{}\n{}", good.stdout, good.stderr);
    std::fs::write(folder.path().join("bundle/graph.onnx"), "grapf").unwrap();
    let bad = inspect(folder.path(), &["bundle/manifest.json"]);
    assert_eq!(bad.code, 7, "{}", bad.stdout);
    assert!(
        bad.stdout.contains("graph.onnx has another digest"),
        "{}",
        bad.stdout
    );
}

#[test]
fn signed_bundle_as_a_folder_and_every_change_to_it() {
    let folder = tempfile::tempdir().unwrap();
    signed_bundle(folder.path());
    let good = inspect_bundle(folder.path(), "bundle");
    assert_eq!(good.code, 0, "{}\n{}", good.stdout, good.stderr);
    assert!(
        good.stdout.contains("verified: 4 files, signed by key"),
        "{}",
        good.stdout
    );
    let unnamed = inspect(folder.path(), &["bundle"]);
    assert_eq!(unnamed.code, 0, "{}", unnamed.stderr);
    assert!(
        unnamed.stdout.contains("NOT VERIFIED: signed by key"),
        "{}",
        unnamed.stdout
    );

    let bundle = folder.path().join("bundle");
    let refused = |what: &str| {
        for file in ["bundle", "bundle/model.sig"] {
            let bad = inspect_bundle(folder.path(), file);
            assert_eq!(bad.code, 7, "{file}: {}", bad.stdout);
            assert!(bad.stdout.contains(what), "{file}: {}", bad.stdout);
        }
    };
    std::fs::write(bundle.join("graph.onnx"), "grapf").unwrap();
    refused("`graph.onnx` has other bytes");
    std::fs::remove_file(bundle.join("graph.onnx")).unwrap();
    refused("`graph.onnx` was signed and is missing");
    std::fs::write(bundle.join("graph.onnx"), "graph").unwrap();
    std::fs::write(bundle.join("golden/more"), "more").unwrap();
    refused("`golden/more` was not signed");
    std::fs::remove_file(bundle.join("golden/more")).unwrap();
    assert_eq!(inspect_bundle(folder.path(), "bundle").code, 0);
    std::os::unix::fs::symlink("/etc/hostname", bundle.join(".hidden")).unwrap();
    let link = inspect_bundle(folder.path(), "bundle");
    assert_eq!(link.code, 7, "{}", link.stdout);
    assert!(link.stdout.contains(".hidden"), "{}", link.stdout);
}

#[test]
fn bundle_under_another_key() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    signed_bundle(ours.path());
    signed_bundle(theirs.path());
    let other = theirs.path().join("keys/bundle.pub.pem");
    for file in ["bundle", "bundle/model.sig"] {
        let run = inspect(ours.path(), &[file, "--key", other.to_str().unwrap()]);
        assert_eq!(run.code, 7, "{file}: {}", run.stdout);
        assert!(run.stdout.contains("not by"), "{file}: {}", run.stdout);
    }
}

#[test]
fn file_that_is_nothing_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    for content in ["", "hello", "{}", "[1, 2]", "\u{0}\u{1}"] {
        std::fs::write(folder.path().join("x"), content).unwrap();
        assert_eq!(inspect(folder.path(), &["x"]).code, 2, "{content:?}");
    }
    assert_eq!(inspect(folder.path(), &["missing"]).code, 8);
}
