//! Metadata that are larger than their role may be, at a device and at the cloud.

use std::sync::Arc;

use espalier_fuzz_targets::fixture::{cloud, now};
use espalier_protocol::report::Attack;
use espalier_slots::trust::{Metadata, TrustError};
use espalier_slots::{Anchor, Disk, Store};
use espalier_trust::tuf::{
    MAX_METADATA_BYTES, MAX_ROOT_BYTES, TrustedRoot, TufError, accept_targets,
};

fn honest(file: &str) -> Option<Vec<u8>> {
    let cloud = cloud();
    match file {
        "timestamp.json" => Some(cloud.timestamp.bytes.clone()),
        "2.snapshot.json" => Some(cloud.snapshot.bytes.clone()),
        "2.targets.json" => Some(cloud.targets.bytes.clone()),
        _ => None,
    }
}

/// Signed by the right key, and longer by spaces than its role may be.
fn endless(file: &str, limit: u64) -> Vec<u8> {
    let mut bytes = honest(file).unwrap_or_else(|| cloud().first.root.bytes.clone());
    bytes.resize(limit as usize + 1, b' ');
    bytes
}

fn walk(metadata: &mut Metadata, hostile: Option<&str>) -> Result<(), TrustError> {
    let mut refresh = metadata.refresh(now());
    while let Some(wanted) = refresh.wanted() {
        let is_hostile = hostile.is_some_and(|role| wanted.file.contains(role));
        let bytes = if is_hostile {
            Some(endless(&wanted.file, wanted.limit))
        } else {
            honest(&wanted.file)
        };
        refresh.supply(bytes.as_deref())?;
    }
    Ok(())
}

#[test]
fn oversized_metadata_of_every_role_are_refused_and_block_no_honest_ones() {
    let folder = tempfile::tempdir().unwrap();
    let anchor = Anchor {
        identity: "acme/press-7".parse().unwrap(),
        class: "x86-int8".parse().unwrap(),
        tuf_root: String::from_utf8(cloud().first.root.bytes.clone()).unwrap(),
    };
    let store = Store::create(Arc::new(Disk), &folder.path().join("store"), anchor).unwrap();
    let mut metadata = store.metadata().unwrap();
    for role in ["root", "timestamp", "snapshot", "targets"] {
        let error = walk(&mut metadata, Some(role)).unwrap_err();
        assert!(
            matches!(error, TrustError::TooLarge { .. }),
            "{role}: {error}"
        );
        assert_eq!(error.attack(), Some(Attack::EndlessData), "{role}");
    }
    walk(&mut metadata, None).unwrap();
    assert_eq!(metadata.versions().targets, 2);
}

#[test]
fn oversized_uploads_are_refused_before_they_are_read() {
    let cloud = cloud();
    let mut root = cloud.first.root.bytes.clone();
    root.resize(MAX_ROOT_BYTES + 1, b' ');
    assert!(matches!(
        TrustedRoot::read(&root),
        Err(TufError::TooLarge { .. })
    ));
    let mut targets = cloud.targets.bytes.clone();
    targets.resize(MAX_METADATA_BYTES + 1, b' ');
    let files = std::slice::from_ref(&cloud.release_target);
    let accepted = accept_targets(&cloud.root, None, &targets, files, now());
    assert!(matches!(accepted, Err(TufError::TooLarge { .. })));
}
