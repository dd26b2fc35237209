//! The files of keys, as somebody else may have written or changed them.

use std::io::Write as _;

use espalier_protocol::proof::BundleSignature;
use espalier_protocol::trust::TrustLevel;
use espalier_trust::keys::{BundleKeyFile, KeyFile, KeySource as _, PublicHalf};
use ring::rand::SystemRandom;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::fixture::{self, DEVICE, PASSPHRASE, signing_key};

/// The most bytes that are read of a key file.
const MOST_BYTES: usize = 16 * 1024;
/// So many rounds of key derivation are over at once;
const FEW_ROUNDS: u64 = 1000;
/// and more than these must be refused without a try.
const MOST_ROUNDS: u64 = 10_000_000;

/// The files of private and public keys.
pub fn key_file(bytes: &[u8]) {
    if let Ok(file) = KeyFile::from_json(bytes)
        && opens_at_once(bytes)
        && let Ok(key) = file.open(passphrase(file.trust()))
    {
        assert_eq!(key.public_key(), file.public_key());
        let signature = key.sign(b"a message").expect("an open key signs");
        assert!(file.public_key().verifies(b"a message", &signature));
        let ours = signing_key(DEVICE).public();
        assert!(
            file.trust() == TrustLevel::Development || key.public_key() == ours,
            "an encrypted key was exchanged"
        );
    }
    if let Ok(half) = PublicHalf::from_json(bytes) {
        let written = half.to_json().expect("a public half is written");
        let again = PublicHalf::from_json(&written).expect("a public half that we wrote is read");
        assert_eq!(half, again);
    }
}

/// The file of a key that signs bundles: an open key signs for the public half beside it, and one that is encrypted is the
/// one that was encrypted.
pub fn bundle_key_file(bytes: &[u8]) {
    // A scratch file is for its owner only, as a key file must be.
    let mut scratch = NamedTempFile::new().expect("there is a scratch folder");
    scratch.write_all(bytes).expect("a scratch file is written");
    let Ok(file) = BundleKeyFile::read(scratch.path()) else {
        return;
    };
    assert!(bytes.len() <= MOST_BYTES, "an endless key file was read");
    let random = SystemRandom::new();
    if !opens_at_once(bytes) {
        return;
    }
    let Ok(key) = file.open(passphrase(file.trust()), &random) else {
        return;
    };
    assert_eq!(key.public_key(), file.public_key());
    assert_eq!(key.trust(), file.trust());
    assert!(
        file.trust() == TrustLevel::Development || key.public_key() == fixture::bundle_key().0,
        "an encrypted key was exchanged"
    );
    let signed = key.sign(fixture::MANIFEST, &random);
    let signed = signed.expect("an open key signs a manifest");
    let signature = BundleSignature::parse(&signed).expect("a signature that we made is read");
    assert!(
        signature.verify(&file.public_key()).is_ok(),
        "the public half does not verify what the key signs"
    );
}

fn passphrase(trust: TrustLevel) -> Option<&'static str> {
    (trust == TrustLevel::Production).then_some(PASSPHRASE)
}

/// Whether the file is opened, or refused, without minutes of key derivation.
fn opens_at_once(file: &[u8]) -> bool {
    let file: Value = serde_json::from_slice(file).unwrap_or_default();
    let rounds = file["kdf"]["rounds"].as_u64();
    rounds.is_none_or(|rounds| rounds <= FEW_ROUNDS || rounds > MOST_ROUNDS)
}
