//! What the cloud takes from operators: signed metadata, and the files of keys.

use espalier_protocol::trust::TrustLevel;
use espalier_slots::trust::root_trust;
use espalier_trust::keys::{KeyFile, KeySource as _, PublicHalf};
use espalier_trust::tuf::{TrustedRoot, accept_targets, read_targets};

use crate::fixture::{cloud, now};

/// A root, as the cloud and as a device read it.
pub fn root(bytes: &[u8]) {
    let Ok(root) = TrustedRoot::read(bytes) else {
        return;
    };
    assert_eq!(root.bytes(), bytes, "a root is kept as it was signed");
    let on_a_device = std::str::from_utf8(bytes).map(root_trust);
    if let Ok(Ok(trust)) = on_a_device {
        assert_eq!(trust, root.trust(), "cloud and device trust it differently");
    }
}

/// The next edition of the targets, uploaded by somebody who says that it is signed.
pub fn targets(bytes: &[u8]) {
    let cloud = cloud();
    let current =
        read_targets(&cloud.root, &cloud.first.targets.bytes).expect("the first edition is signed");
    let file = &cloud.release_target;
    let files = std::slice::from_ref(file);
    let Ok(accepted) = accept_targets(&cloud.root, Some(&current), bytes, files, now()) else {
        return;
    };
    assert_eq!(
        accepted.bytes(),
        bytes,
        "targets are kept as they were signed"
    );
    assert_eq!(accepted.version().get(), current.version().get() + 1);
    assert!(accepted.names(file));
    for name in current.file_names() {
        assert!(accepted.digest(name).is_some(), "{name} was forgotten");
    }
    for name in accepted.file_names() {
        assert!(!name.contains(['/', '\\', '\0']) && !name.starts_with('.'));
    }
}

/// The files of private and public keys.
pub fn key_file(bytes: &[u8]) {
    if let Ok(file) = KeyFile::from_json(bytes)
        && file.trust() == TrustLevel::Development
        && let Ok(key) = file.open(None)
    {
        assert_eq!(key.public_key(), file.public_key());
        let signature = key.sign(b"a message").expect("an open key signs");
        assert!(file.public_key().verifies(b"a message", &signature));
    }
    if let Ok(half) = PublicHalf::from_json(bytes) {
        let written = half.to_json().expect("a public half is written");
        let again = PublicHalf::from_json(&written).expect("a public half that we wrote is read");
        assert_eq!(half, again);
    }
}
