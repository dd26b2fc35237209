//! Drafts of a key ceremony, as a holder gets them from another one.
//!
//! The private keys of the fixture have signed the metadata of [`drafts`] and nothing else. A draft that shows one of their
//! signatures over other metadata was altered, and believed.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use espalier_protocol::Digest;
use espalier_protocol::trust::{DEPLOYER_TARGET, KeyId};
use espalier_slots::trust::root_trust;
use espalier_trust::draft::{Requirement, RootDraft, TargetsDraft};
use espalier_trust::tuf::{
    MAX_METADATA_BYTES, TargetFile, TrustedRoot, accept_root, accept_targets, read_targets,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::drafts::{self, ROOT_HOLDERS, TARGETS_HOLDER};
use crate::fixture::{key, signing_key};

const READ: &str = "a draft that was read can be asked";
const WRITTEN: &str = "a draft that we wrote is read";

/// All fields of a root that a draft's words tell.
const TOLD: [&str; 8] = [
    "_type",
    "consistent_snapshot",
    "expires",
    "keys",
    "roles",
    "spec_version",
    "version",
    "x-espalier-trust",
];

/// What the fixture's holders have signed.
static SIGNED: LazyLock<BTreeSet<Digest>> = LazyLock::new(|| {
    let roots = [drafts::first_root(), drafts::second_root()];
    let targets = [
        drafts::first_targets(),
        drafts::second_targets(),
        drafts::third_targets(),
    ];
    let roots = roots.map(|draft| draft.and_then(|draft| draft.fingerprint()));
    let targets = targets.map(|draft| draft.and_then(|draft| draft.fingerprint()));
    let all = roots.into_iter().chain(targets);
    all.map(|fingerprint| fingerprint.expect("an honest draft has a fingerprint"))
        .collect()
});

/// The draft of a root: its words tell all of it, it shows no signature that was not made, and once it is finished cloud
/// and devices take it.
pub fn root_draft(bytes: &[u8]) {
    let Ok(draft) = RootDraft::read(bytes) else {
        return;
    };
    let fingerprint = draft.fingerprint().expect(READ);
    shows_what_was_signed(&draft.requirements().expect(READ), fingerprint);
    let written = draft.to_bytes().expect(READ);
    every_field_is_told(&written);
    if written.len() <= MAX_METADATA_BYTES {
        let again = RootDraft::read(&written).expect(WRITTEN);
        assert_eq!(again.fingerprint().expect(READ), fingerprint);
        assert_eq!(again.to_bytes().expect(READ), written);
        another_holder_signs(draft.clone());
    }
    if let Some(root) = draft.finished().expect(READ) {
        devices_follow(&draft, &root.bytes);
    }
}

fn every_field_is_told(draft: &[u8]) {
    let draft = json(draft);
    let root = draft["next"]["signed"].as_object();
    let root = root.expect("a draft holds a root");
    for field in root.keys() {
        assert!(
            TOLD.contains(&field.as_str()),
            "{field} would be signed unseen"
        );
    }
}

fn another_holder_signs(mut draft: RootDraft) {
    if draft.sign(&*key(ROOT_HOLDERS[0])).is_ok() {
        let written = draft.to_bytes().expect(READ);
        let again = RootDraft::read(&written).expect(WRITTEN);
        assert_eq!(again.to_bytes().expect(READ), written);
    }
}

fn devices_follow(draft: &RootDraft, root: &[u8]) {
    let read = TrustedRoot::read(root).expect("a finished root signed itself");
    if let Some(current) = draft.current() {
        accept_root(current, root, Timestamp::MIN).expect("a finished root follows its own draft");
    }
    let text = std::str::from_utf8(root).expect("metadata are text");
    let on_a_device = root_trust(text).expect("devices read a finished root");
    assert_eq!(on_a_device, draft.trust());
    assert_eq!(on_a_device, read.trust());
}

/// The draft of targets: what the current ones name it leaves as it is, it shows no signature that was not made, and once it
/// is finished the cloud takes it.
pub fn targets_draft(bytes: &[u8]) {
    let Ok(draft) = TargetsDraft::read(bytes) else {
        return;
    };
    let fingerprint = draft.fingerprint().expect(READ);
    shows_what_was_signed(&[draft.requirement().expect(READ)], fingerprint);
    let written = draft.to_bytes().expect(READ);
    nothing_known_is_changed(&written);
    if written.len() <= MAX_METADATA_BYTES {
        let again = TargetsDraft::read(&written).expect(WRITTEN);
        assert_eq!(again.fingerprint().expect(READ), fingerprint);
        assert_eq!(again.to_bytes().expect(READ), written);
    }
    if let Some(targets) = draft.finished().expect(READ) {
        the_cloud_takes(&draft, &written, &targets.bytes);
    }
}

fn nothing_known_is_changed(draft: &[u8]) {
    let draft = json(draft);
    let Some(current) = draft["current"].as_str() else {
        return;
    };
    let current = json(current.as_bytes());
    let known = current["signed"]["targets"].as_object();
    for (name, target) in known.into_iter().flatten() {
        let next = &draft["next"]["signed"]["targets"][name];
        assert!(
            next == target || (name == DEPLOYER_TARGET && next.is_object()),
            "{name} would become another one"
        );
    }
}

fn the_cloud_takes(draft: &TargetsDraft, written: &[u8], targets: &[u8]) {
    let written = json(written);
    let before = draft.previous_root().unwrap_or(draft.root());
    let current = written["current"].as_str().map(|text| {
        read_targets(before, text.as_bytes()).expect("a draft's current targets are signed")
    });
    let documents = written["documents"].as_object().into_iter().flatten();
    let files: Vec<_> = documents
        .map(|(name, text)| {
            let text = text.as_str().expect("a document is text");
            TargetFile::new(name, text.as_bytes()).expect("a document's name is a target's")
        })
        .collect();
    accept_targets(
        draft.root(),
        current.as_ref(),
        targets,
        &files,
        Timestamp::MIN,
    )
    .expect("the cloud takes finished targets");
}

fn shows_what_was_signed(requirements: &[Requirement], fingerprint: Digest) {
    let [first, second] = ROOT_HOLDERS;
    let ours: [KeyId; 3] =
        [first, second, TARGETS_HOLDER].map(|seed| signing_key(seed).public().id());
    let mut signed = requirements.iter().flat_map(|side| &side.signed);
    assert!(
        !signed.any(|id| ours.contains(id)) || SIGNED.contains(&fingerprint),
        "a draft shows a signature over what its holder never signed"
    );
}

fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).expect("what was read or written is JSON")
}
