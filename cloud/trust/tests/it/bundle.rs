//! The key that signs bundles: kept like the other keys, and what it signs verifies with its public half alone.

use std::os::unix::fs::PermissionsExt;

use espalier_protocol::Digest;
use espalier_protocol::proof::{BundleKey, BundleSignature};
use espalier_protocol::trust::TrustLevel;
use espalier_trust::keys::{BundleKeyFile, BundleSignError, KeyError, KeyFolder};
use ring::rand::SystemRandom;
use serde_json::json;
use tempfile::TempDir;

const PASSPHRASE: &str = "seven quiet pear trees";

fn manifest() -> Vec<u8> {
    let file = json!({ "size": 5, "sha256": Digest::of(b"graph") });
    let manifest = json!({
        "format": 1, "model": "link", "model_version": "01900000-0000-7000-8000-000000000001",
        "device_class": "edge-x86",
        "serving": { "task": "tensor", "graph": "graph.onnx" },
        "requires": { "onnxruntime": "1.24", "opset": 17, "memory_bytes": 1 },
        "golden": [{ "input": "graph.onnx", "request": "graph.onnx", "own": "graph.onnx", "full": "graph.onnx" }],
        "golden_tolerance": { "min_iou": 0.9, "max_abs": 0.1 },
        "files": { "graph.onnx": file },
    });
    manifest.to_string().into_bytes()
}

fn folder() -> (TempDir, KeyFolder) {
    let scratch = tempfile::tempdir().unwrap();
    let folder = KeyFolder::new(scratch.path());
    (scratch, folder)
}

#[test]
fn a_bundle_signed_by_an_encrypted_key_verifies_with_the_public_half_beside_it() {
    let (random, (_scratch, folder)) = (SystemRandom::new(), folder());
    let file = BundleKeyFile::encrypted(PASSPHRASE, &random).unwrap();
    file.create(&folder).unwrap();
    let key = folder.open_bundle_key(Some(PASSPHRASE), &random).unwrap();
    assert_eq!(key.trust(), TrustLevel::Production);
    let signed = key.sign(&manifest(), &random).unwrap();

    let pem = std::fs::read_to_string(folder.bundle_public_key()).unwrap();
    let public: BundleKey = pem.parse().unwrap();
    let statement = BundleSignature::parse(&signed)
        .unwrap()
        .verify(&public)
        .unwrap();
    assert_eq!(statement.files().len(), 2);
    assert!(matches!(
        key.sign(b"no manifest", &random),
        Err(BundleSignError::Statement(_))
    ));
}

#[test]
fn a_bundle_key_opens_with_its_passphrase_only_and_for_its_owner_only() {
    let (random, (_scratch, folder)) = (SystemRandom::new(), folder());
    BundleKeyFile::encrypted(PASSPHRASE, &random)
        .unwrap()
        .create(&folder)
        .unwrap();
    let open = |passphrase| folder.open_bundle_key(passphrase, &random).unwrap_err();
    assert!(matches!(open(None), KeyError::PassphraseNeeded));
    let wrong = open(Some("seven quiet pear tree"));
    assert!(matches!(wrong, KeyError::WrongPassphrase));
    let path = folder.bundle_key();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(open(Some(PASSPHRASE)), KeyError::Exposed { .. }));
}

#[test]
fn a_relabelled_bundle_key_is_refused() {
    let random = SystemRandom::new();
    let other = BundleKeyFile::development(&random).unwrap().public_key();
    for file in [
        BundleKeyFile::encrypted(PASSPHRASE, &random).unwrap(),
        BundleKeyFile::development(&random).unwrap(),
    ] {
        let mut json = serde_json::to_value(file).unwrap();
        json["public_key"] = serde_json::to_value(other).unwrap();
        let relabelled: BundleKeyFile = serde_json::from_value(json).unwrap();
        let refusal = relabelled.open(Some(PASSPHRASE), &random).unwrap_err();
        assert!(
            matches!(refusal, KeyError::WrongPassphrase | KeyError::Mismatch),
            "{refusal}"
        );
    }
}

/// Whoever has a development stack of before gets the key that it lacks, and keeps it.
#[test]
fn a_development_folder_gets_a_bundle_key_once() {
    let (random, (_scratch, folder)) = (SystemRandom::new(), folder());
    folder.complete_for_development(&random).unwrap();
    let first = std::fs::read(folder.bundle_public_key()).unwrap();
    std::fs::remove_file(folder.bundle_public_key()).unwrap();
    folder.complete_for_development(&random).unwrap();
    assert_eq!(std::fs::read(folder.bundle_public_key()).unwrap(), first);
    let key = folder.open_bundle_key(None, &random).unwrap();
    assert_eq!(key.trust(), TrustLevel::Development);
    assert_eq!(key.public_key().to_pem().into_bytes(), first);
}
