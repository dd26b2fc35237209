//! Key files: whole, private, and never opened by the wrong hand.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use espalier_protocol::trust::TrustLevel;
use espalier_trust::keys::{KeyError, KeyFile, KeyFolder, KeyRole, KeySource};
use ring::rand::SystemRandom;

const PASSPHRASE: &str = "seven quiet pear trees";

#[test]
fn an_encrypted_key_opens_with_its_passphrase_only() {
    let file = KeyFile::encrypted(PASSPHRASE, &SystemRandom::new()).unwrap();
    assert!(matches!(file.open(None), Err(KeyError::PassphraseNeeded)));
    assert!(matches!(
        file.open(Some("seven quiet pear tree")),
        Err(KeyError::WrongPassphrase)
    ));

    let key = file.open(Some(PASSPHRASE)).unwrap();
    assert_eq!(key.trust(), TrustLevel::Production);
    assert_eq!(key.public_key(), file.public_key());
    assert!(
        key.public_key()
            .verifies(b"hello", &key.sign(b"hello").unwrap())
    );
}

#[test]
fn a_relabelled_key_file_is_refused() {
    let rng = SystemRandom::new();
    let mine = KeyFile::encrypted(PASSPHRASE, &rng).unwrap();
    let other = KeyFile::development(&rng).unwrap();
    for file in [&mine, &other] {
        let mut json: serde_json::Value = serde_json::to_value(file).unwrap();
        json["public_key"] =
            serde_json::to_value(KeyFile::development(&rng).unwrap().public_key()).unwrap();
        let relabelled = KeyFile::from_json(&serde_json::to_vec(&json).unwrap()).unwrap();
        let refusal = relabelled.open(Some(PASSPHRASE)).unwrap_err();
        assert!(
            matches!(refusal, KeyError::WrongPassphrase | KeyError::Mismatch),
            "{refusal}"
        );
    }
}

#[test]
fn endless_key_derivation_is_refused() {
    let file = KeyFile::encrypted(PASSPHRASE, &SystemRandom::new()).unwrap();
    let mut json: serde_json::Value = serde_json::to_value(&file).unwrap();
    json["kdf"]["rounds"] = 4_000_000_000_u32.into();
    let endless = KeyFile::from_json(&serde_json::to_vec(&json).unwrap()).unwrap();
    assert!(matches!(
        endless.open(Some(PASSPHRASE)),
        Err(KeyError::Malformed(_))
    ));
}

#[test]
fn weak_passphrases_and_later_versions_are_refused() {
    assert!(matches!(
        KeyFile::encrypted("short", &SystemRandom::new()),
        Err(KeyError::WeakPassphrase)
    ));
    let later = br#"{"version":2,"public_key":"00","protection":"development","pkcs8":""}"#;
    assert!(matches!(
        KeyFile::from_json(later),
        Err(KeyError::Malformed(_))
    ));
    assert!(matches!(
        KeyFile::from_json(b"\xff{"),
        Err(KeyError::Malformed(_))
    ));
}

#[test]
fn a_start_that_was_cut_short_is_finished_and_keeps_its_keys() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = KeyFolder::new(scratch.path().join("keys"));
    let rng = SystemRandom::new();
    folder.complete_for_development(&rng).unwrap();
    let root = folder.open(KeyRole::Root, None).unwrap().public_key();
    fs::remove_file(folder.file(KeyRole::Deployer)).unwrap();

    folder.complete_for_development(&rng).unwrap();
    assert_eq!(folder.open(KeyRole::Root, None).unwrap().public_key(), root);
    assert_eq!(
        folder.open(KeyRole::Deployer, None).unwrap().trust(),
        TrustLevel::Development
    );
    let entries = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(
        entries, 8,
        "one file for each role, the key of bundles with its public half, and nothing half-written"
    );
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("root.key.json");
    KeyFile::development(&SystemRandom::new())
        .unwrap()
        .create(&path)
        .unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(
        KeyFile::read(&path),
        Err(KeyError::Exposed { mode: 0o644, .. })
    ));
}

#[test]
fn a_key_file_is_never_overwritten() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("root.key.json");
    let rng = SystemRandom::new();
    let first = KeyFile::development(&rng).unwrap();
    first.create(&path).unwrap();
    assert!(matches!(
        KeyFile::development(&rng).unwrap().create(&path),
        Err(KeyError::File { .. })
    ));
    assert_eq!(
        KeyFile::read(&path).unwrap().public_key(),
        first.public_key()
    );
}

#[test]
fn private_halves_stay_out_of_debug_text() {
    let file = KeyFile::development(&SystemRandom::new()).unwrap();
    let json = serde_json::to_value(&file).unwrap();
    let secret = json["pkcs8"].as_str().unwrap();
    let shown = format!("{file:?} {:?}", file.open(None).unwrap());
    assert!(!shown.contains(secret), "{shown}");
}
