//! Documents in JSON: manifests, descriptions, releases, claims, enrolment, a gateway's answers, the forge's jobs.

use std::collections::BTreeSet;

use bytes::Bytes;
use espalier_link::relay::{Down, MAX_DOWN_BYTES};
use espalier_protocol::BundlePath;
use espalier_protocol::claim::{Claim, MAX_CLAIM_BYTES};
use espalier_protocol::enrol::{EnrolRequest, Enrolled, MAX_ENROL_BYTES};
use espalier_protocol::envelope::MAX_ENVELOPE_BYTES;
use espalier_protocol::job::{BuildJob, Evaluation, JobEvent};
use espalier_protocol::manifest::{
    MANIFEST_FILE, MAX_FILE_BYTES, MAX_FILES, MAX_MANIFEST_BYTES, Manifest, ModelDescription,
    SegmentationAnswer, Serving,
};
use espalier_protocol::release::{MAX_BUILDS, MAX_RELEASE_BYTES, ReleaseDocument};
use espalier_protocol::renew::Renewed;
use espalier_protocol::trust::DeployerKeys;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::same;
use crate::word;

/// The largest input tensor of a description, in elements of one channel.
const MOST_PIXELS: u64 = 4096 * 4096;

/// A bundle's `manifest.json`: its files stay in their folder, do not collide, and are all that it uses.
pub fn manifest(bytes: &[u8]) {
    let Ok(manifest) = Manifest::parse(bytes) else {
        return;
    };
    assert!(bytes.len() <= MAX_MANIFEST_BYTES);
    assert!(manifest.files.len() <= MAX_FILES);
    assert!(manifest.total_bytes() <= MAX_FILES as u64 * MAX_FILE_BYTES);
    files_can_lie_in_one_folder(manifest.files.keys());
    let used = manifest
        .golden
        .iter()
        .flat_map(|golden| [&golden.input, &golden.request, &golden.own, &golden.full]);
    for path in used.chain(manifest.serving.graphs()) {
        assert!(manifest.files.contains_key(path), "{path} is not listed");
    }
    assert!(
        manifest.golden_tolerance.min_iou.is_finite()
            && manifest.golden_tolerance.max_abs.is_finite(),
        "a tolerance without end lets every answer through"
    );
    serving(&manifest.serving);
    same::in_json(&manifest, MAX_MANIFEST_BYTES, Manifest::parse);
}

fn files_can_lie_in_one_folder<'a>(paths: impl Iterator<Item = &'a BundlePath>) {
    let mut names = BTreeSet::from([MANIFEST_FILE.to_owned()]);
    for path in paths {
        word::inside(path);
        assert!(
            names.insert(path.as_str().to_ascii_lowercase()),
            "{path} collides where case is folded"
        );
    }
    for name in &names {
        let below = format!("{name}/");
        assert!(
            !names.iter().any(|other| other.starts_with(&below)),
            "{name} is a file and a folder"
        );
    }
}

fn serving(serving: &Serving) {
    let Serving::PromptableSegmentation(sam) = serving else {
        return;
    };
    let picture = &sam.encoder.preprocessing;
    assert!(u64::from(picture.width) * u64::from(picture.height) <= MOST_PIXELS);
    if let Some(mask) = &sam.decoder.mask_input {
        assert!(
            u64::from(mask.width) * u64::from(mask.height) <= MOST_PIXELS,
            "a few bytes ask for a tensor of gigabytes"
        );
    }
    assert!(sam.decoder.mask_threshold.is_finite());
}

/// A full model's `model.json`.
pub fn model_description(bytes: &[u8]) {
    if let Ok(description) = ModelDescription::parse(bytes) {
        description
            .serving
            .graphs()
            .into_iter()
            .for_each(word::inside);
        serving(&description.serving);
        same::in_json(&description, MAX_MANIFEST_BYTES, ModelDescription::parse);
    }
}

/// A `release.json`: one build for each class.
pub fn release(bytes: &[u8]) {
    let Ok(document) = ReleaseDocument::parse(bytes) else {
        return;
    };
    assert!(bytes.len() <= MAX_RELEASE_BYTES && document.builds.len() <= MAX_BUILDS);
    for build in &document.builds {
        assert_eq!(document.build_for(&build.device_class), Some(build));
    }
    same::in_json(&document, MAX_RELEASE_BYTES, ReleaseDocument::parse);
}

/// A claim file.
pub fn claim(bytes: &[u8]) {
    if let Ok(claim) = Claim::parse(bytes) {
        assert!(bytes.len() <= MAX_CLAIM_BYTES);
        same::in_json(&claim, MAX_CLAIM_BYTES, Claim::parse);
    }
}

/// Both sides of an enrolment, and the answer to a renewal.
pub fn enrolment(bytes: &[u8]) {
    plain::<EnrolRequest>(bytes, MAX_ENROL_BYTES);
    plain::<Enrolled>(bytes, MAX_ENROL_BYTES);
    plain::<Renewed>(bytes, MAX_ENROL_BYTES);
}

/// What the server writes for the forge, what the forge prints, and what the two keep in files.
pub fn job(bytes: &[u8]) {
    plain::<BuildJob>(bytes, MAX_MANIFEST_BYTES);
    plain::<JobEvent>(bytes, MAX_MANIFEST_BYTES);
    plain::<Evaluation>(bytes, MAX_MANIFEST_BYTES);
    plain::<SegmentationAnswer>(bytes, MAX_MANIFEST_BYTES);
}

/// The TUF target that lists the deployer's keys.
pub fn deployer_keys(bytes: &[u8]) {
    if let Ok(keys) = serde_json::from_slice::<DeployerKeys>(bytes) {
        for key in &keys.keys {
            assert_eq!(keys.find(key.id()), Some(key));
        }
    }
    plain::<DeployerKeys>(bytes, MAX_MANIFEST_BYTES);
}

/// A gateway's answer to its child: what waits for the child is bounded, whoever fills it.
pub fn down(bytes: &[u8]) {
    plain::<Down>(bytes, MAX_DOWN_BYTES as usize);
    if let Ok(mut down) = serde_json::from_slice::<Down>(bytes) {
        down.add_ack(Bytes::from_static(&[0; MAX_ENVELOPE_BYTES]));
        let waiting: usize = down.acks.iter().map(Bytes::len).sum();
        assert!(
            waiting <= MAX_ENVELOPE_BYTES,
            "acknowledgements fill a gateway's memory"
        );
    }
}

fn plain<T: Serialize + DeserializeOwned>(bytes: &[u8], limit: usize) {
    if let Ok(value) = serde_json::from_slice::<T>(bytes) {
        same::in_json(&value, limit, |bytes| serde_json::from_slice(bytes));
    }
}
