//! JSON that costs more than it weighs, or says two things at once, at every door that takes JSON.

use std::time::{Duration, Instant};

use bytes::Bytes;
use espalier_fuzz_targets::fixture::{DEVICE, cloud, key_file};
use espalier_protocol::claim::Claim;
use espalier_protocol::enrol::EnrolRequest;
use espalier_protocol::job::JobEvent;
use espalier_protocol::manifest::{Manifest, ModelDescription};
use espalier_protocol::release::ReleaseDocument;
use espalier_serving::Question;
use espalier_slots::trust::root_trust;
use espalier_trust::keys::{KeyFile, PublicHalf};
use espalier_trust::tuf::{TrustedRoot, read_targets};

/// Longer than any bomb may take, on a machine that does ten other things.
const PATIENCE: Duration = Duration::from_secs(5);

type Door = (&'static str, fn(&[u8]) -> Result<(), String>);

fn said<T, E: std::fmt::Display>(read: Result<T, E>) -> Result<(), String> {
    read.map(drop).map_err(|error| error.to_string())
}

const DOORS: &[Door] = &[
    ("manifest", |json| said(Manifest::parse(json))),
    ("model description", |json| {
        said(ModelDescription::parse(json))
    }),
    ("release document", |json| {
        said(ReleaseDocument::parse(json))
    }),
    ("claim", |json| said(Claim::parse(json))),
    ("enrolment", |json| {
        said(serde_json::from_slice::<EnrolRequest>(json))
    }),
    ("a forge's line", |json| {
        said(serde_json::from_slice::<JobEvent>(json))
    }),
    ("root on the cloud", |json| said(TrustedRoot::read(json))),
    ("root on a device", |json| {
        said(root_trust(&String::from_utf8_lossy(json)))
    }),
    ("targets", |json| said(read_targets(&cloud().root, json))),
    ("key file", |json| said(KeyFile::from_json(json))),
    ("public half", |json| said(PublicHalf::from_json(json))),
    ("request for inference", |json| {
        said(Question::from_json(Bytes::copy_from_slice(json)))
    }),
];

/// Every door refuses it, soon.
fn refused_everywhere(bomb: &str) {
    for (door, read) in DOORS {
        let started = Instant::now();
        let outcome = read(bomb.as_bytes());
        assert!(outcome.is_err(), "{door} took it");
        assert!(
            started.elapsed() < PATIENCE,
            "{door} took {:?}",
            started.elapsed()
        );
    }
}

#[test]
fn a_json_bomb_of_depth_is_refused() {
    refused_everywhere(&"[".repeat(200_000));
    refused_everywhere(&"{\"a\":".repeat(100_000));
    // Below a member that nobody knows, where a careless parser only skips.
    refused_everywhere(&format!("{{\"x\":{}", "[".repeat(200_000)));
}

#[test]
fn a_giant_number_is_refused() {
    let digits = "9".repeat(200_000);
    refused_everywhere(&digits);
    refused_everywhere(&format!("{{\"format\":{digits}}}"));
    refused_everywhere(&format!("{{\"format\":1e{digits}}}"));
}

#[test]
fn megabytes_of_whitespace_are_refused() {
    let padding = " ".repeat(5 << 20);
    refused_everywhere(&padding);
    // At doors with a limit of their own even honest words do not help.
    let honest = String::from_utf8(cloud().release.clone()).unwrap();
    assert!(ReleaseDocument::parse(honest.as_bytes()).is_ok());
    assert!(ReleaseDocument::parse(format!("{padding}{honest}").as_bytes()).is_err());
}

/// The object with its first member once more, changed or not.
fn with_a_key_twice(object: &str, value: &str) -> String {
    let key = &object[object.find('"').unwrap()..];
    let key = &key[..=key[1..].find('"').unwrap() + 1];
    object.replacen('{', &format!("{{{key}:{value},"), 1)
}

#[test]
fn a_document_that_says_a_thing_twice_is_refused() {
    let release = String::from_utf8(cloud().release.clone()).unwrap();
    let error = ReleaseDocument::parse(with_a_key_twice(&release, "1").as_bytes()).unwrap_err();
    assert!(error.to_string().contains("duplicate field"), "{error}");
    let key = String::from_utf8(key_file(DEVICE)).unwrap();
    assert!(KeyFile::from_json(with_a_key_twice(&key, "\"x\"").as_bytes()).is_err());
    let question = r#"{"image":"","points":[],"points":[]}"#;
    assert!(Question::from_json(Bytes::from_static(question.as_bytes())).is_err());
}

/// Which of two members counts is each reader's own choice, so that a device and an auditor could see different files.
#[test]
fn a_manifest_that_lists_a_file_twice_is_refused() {
    let manifest = include_bytes!("../../corpus/manifest/that-lists-a-file-twice");
    let error = Manifest::parse(manifest).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
}

/// A member that stands twice is under the signature with the meaning that counts, or breaks it.
#[test]
fn metadata_that_say_a_thing_twice_are_refused_or_mean_what_was_signed() {
    let cloud = cloud();
    let honest = read_targets(&cloud.root, &cloud.targets.bytes).unwrap();
    let text = String::from_utf8(cloud.targets.bytes.clone()).unwrap();
    for (before, after) in [
        ("\"version\": 2", "\"version\": 9, \"version\": 2"),
        ("\"version\": 2", "\"version\": 2, \"version\": 9"),
    ] {
        let twice = text.replace(before, after);
        assert_ne!(twice, text);
        if let Ok(read) = read_targets(&cloud.root, twice.as_bytes()) {
            assert_eq!(read.version(), honest.version());
        }
    }
}
