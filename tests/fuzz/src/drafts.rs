//! What the holders of the fixture's release keys sign by files: the next root, and editions of the targets.

use std::num::NonZeroU64;

use espalier_trust::Lifetimes;
use espalier_trust::draft::{Document, DraftError, RootChange, RootDraft, TargetsDraft};
use espalier_trust::keys::PublicHalf;
use espalier_trust::tuf::{SignedFile, TrustedRoot, TufRole};

use crate::fixture::{RELEASE, cloud, key, now};

/// The seed of the key that holds root beside the first one from version 2 on.
pub const SECOND_HOLDER: u8 = 9;

/// The seeds of those who sign the second root: the holder of the first one, and the one who joins.
pub const ROOT_HOLDERS: [u8; 2] = [RELEASE[0], SECOND_HOLDER];

/// The seed of who signs the targets.
pub const TARGETS_HOLDER: u8 = RELEASE[1];

const HOLDS: &str = "the cloud's own metadata hold";

/// The first root, before it was signed.
///
/// # Errors
/// None, with the fixture's keys.
pub fn first_root() -> Result<RootDraft, DraftError> {
    RootDraft::first(cloud().root.plan()?, now())
}

/// The second root: two hold it, and both must sign.
///
/// # Errors
/// None, with the fixture's keys.
pub fn second_root() -> Result<RootDraft, DraftError> {
    let (role, two) = (TufRole::Root, NonZeroU64::MIN.saturating_add(1));
    let changes = [
        RootChange::Add {
            role,
            key: PublicHalf::of(&*key(SECOND_HOLDER)),
        },
        RootChange::Threshold {
            role,
            threshold: two,
        },
    ];
    let expires = now() + Lifetimes::default().root;
    RootDraft::next(cloud().root.clone(), &changes, expires, now())
}

/// The second root as both signed it.
#[must_use]
pub fn signed_second_root() -> SignedFile {
    let mut draft = second_root().expect(HOLDS);
    for holder in ROOT_HOLDERS {
        draft.sign(&*key(holder)).expect(HOLDS);
    }
    let finished = draft.finished().expect(HOLDS);
    finished.expect("both have signed")
}

/// The first targets, before they were signed.
///
/// # Errors
/// None, with the fixture's keys.
pub fn first_targets() -> Result<TargetsDraft, DraftError> {
    let deployer = &cloud().first.deployer_json;
    let document = Document {
        name: espalier_protocol::trust::DEPLOYER_TARGET.to_owned(),
        text: String::from_utf8_lossy(deployer).into_owned(),
    };
    let expires = now() + Lifetimes::default().targets;
    TargetsDraft::next(cloud().root.clone(), None, None, vec![document], expires)
}

/// The second targets, which name a release.
///
/// # Errors
/// None, with the fixture's keys.
pub fn second_targets() -> Result<TargetsDraft, DraftError> {
    let cloud = cloud();
    let document = Document {
        name: cloud.release_target.name().to_owned(),
        text: String::from_utf8_lossy(&cloud.release).into_owned(),
    };
    let (root, current) = (cloud.root.clone(), &cloud.first.targets.bytes);
    let expires = now() + Lifetimes::default().targets;
    TargetsDraft::next(root, None, Some(current), vec![document], expires)
}

/// The third targets: the same again, under the second root.
///
/// # Errors
/// None, with the fixture's keys.
pub fn third_targets() -> Result<TargetsDraft, DraftError> {
    let cloud = cloud();
    let root = TrustedRoot::read(&signed_second_root().bytes)?;
    let (previous, current) = (cloud.root.clone(), &cloud.targets.bytes);
    let expires = now() + Lifetimes::default().targets;
    TargetsDraft::next(root, Some(previous), Some(current), Vec::new(), expires)
}
