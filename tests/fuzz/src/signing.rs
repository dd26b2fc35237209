//! Signed metadata that the cloud takes from operators.

use espalier_slots::trust::root_trust;
use espalier_trust::tuf::{
    TrustedRoot, TrustedTargets, accept_root, accept_targets, read_targets, sign_snapshot,
    sign_timestamp,
};

use crate::drafts;
use crate::fixture::{RELEASE, cloud, key, now};
use crate::metadata;

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

/// The next root, uploaded by somebody who says that enough holders signed it: the cloud takes the one that they signed, and
/// every device follows it.
pub fn next_root(bytes: &[u8]) {
    let current = &cloud().root;
    let Ok(next) = accept_root(current, bytes, now()) else {
        return;
    };
    assert_eq!(next.bytes(), bytes, "a root is kept as it was signed");
    let signed = drafts::second_root().expect("the next root was drafted");
    assert_eq!(
        next.plan().as_ref().ok(),
        Some(signed.plan()),
        "a root that nobody signed was accepted"
    );
    assert_eq!(next.version().get(), current.version().get() + 1);
    assert_eq!(next.trust(), current.trust());
    assert!(next.expires() >= now());
    assert!(
        metadata::is_followed(bytes),
        "devices refuse what the cloud would publish"
    );
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
    assert!(
        is_taken_by_devices(&accepted),
        "devices refuse what the cloud would publish"
    );
}

/// Publishes the edition, and has a device walk to it.
fn is_taken_by_devices(targets: &TrustedTargets) -> bool {
    const SIGNS: &str = "the cloud signs for what it accepted";
    let ([_, _, snapshot, timestamp], root) = (RELEASE, &cloud().root);
    let (version, ends) = (targets.version(), targets.expires());
    let snapshot = sign_snapshot(root, targets, version, ends, &*key(snapshot)).expect(SIGNS);
    let timestamp = sign_timestamp(root, &snapshot, version, ends, &*key(timestamp)).expect(SIGNS);
    metadata::is_taken(&timestamp.bytes, &snapshot.bytes, targets.bytes())
}
