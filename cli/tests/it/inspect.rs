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

#[test]
fn bundle_whose_file_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let entry = |text: &str| serde_json::json!({ "size": text.len(), "sha256": espalier_protocol::Digest::of(text.as_bytes()) });
    let manifest = serde_json::json!({
        "format": 1, "model": "link", "model_version": "01900000-0000-7000-8000-000000000001", "device_class": "edge-x86",
        "serving": { "task": "tensor", "graph": "graph.onnx" },
        "requires": { "onnxruntime": "1.20", "opset": 17, "memory_bytes": 1 },
        "golden": [{ "input": "in", "request": "in", "own": "out", "full": "out" }],
        "golden_tolerance": { "min_iou": 0.9, "max_abs": 0.1 },
        "files": { "graph.onnx": entry("graph"), "in": entry("in"), "out": entry("out") }
    });
    std::fs::write(folder.path().join("manifest.json"), manifest.to_string()).unwrap();
    for (name, text) in [("graph.onnx", "graph"), ("in", "in"), ("out", "out")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let good = inspect(folder.path(), &["manifest.json"]);
    assert_eq!(good.code, 0, "{}\n{}", good.stdout, good.stderr);
    std::fs::write(folder.path().join("graph.onnx"), "grapf").unwrap();
    let bad = inspect(folder.path(), &["manifest.json"]);
    assert_eq!(bad.code, 7, "{}", bad.stdout);
    assert!(
        bad.stdout.contains("graph.onnx has another digest"),
        "{}",
        bad.stdout
    );
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
