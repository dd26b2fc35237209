//! Manifests, release documents and claims: impossible ones are refused with the reason.

use espalier_protocol::{
    claim::{Claim, ClaimError},
    manifest::{Manifest, ManifestError},
    release::{ReleaseDocument, ReleaseError},
};
use serde_json::{Value, json};

const ZERO: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const ID: &str = "01890000-0000-7000-8000-000000000000";

fn manifest() -> Value {
    json!({
        "format": 1, "model": "sam", "model_version": ID, "device_class": "gateway-x86",
        "serving": {"task": "tensor", "graph": "model.onnx"},
        "requires": {"onnxruntime": "1.20", "opset": 17, "memory_bytes": 1},
        "golden": [{"input": "golden/000/input.png", "request": "golden/000/request.json",
                    "own": "golden/000/own.json", "full": "golden/000/full.json"}],
        "golden_tolerance": {"min_iou": 0.9, "max_abs": 0.1},
        "files": {
            "model.onnx": {"size": 10, "sha256": ZERO},
            "golden/000/input.png": {"size": 1, "sha256": ZERO},
            "golden/000/request.json": {"size": 1, "sha256": ZERO},
            "golden/000/own.json": {"size": 1, "sha256": ZERO},
            "golden/000/full.json": {"size": 1, "sha256": ZERO},
        },
    })
}

fn parse(value: &Value) -> Result<Manifest, ManifestError> {
    Manifest::parse(value.to_string().as_bytes())
}

#[test]
fn a_whole_manifest_is_read() {
    assert_eq!(parse(&manifest()).unwrap().total_bytes(), 14);
}

#[test]
fn a_manifest_from_the_future_is_refused_by_its_format() {
    let mut value = manifest();
    value["format"] = json!(2);
    assert!(matches!(parse(&value), Err(ManifestError::Format(2))));
}

#[test]
fn a_graph_outside_the_list_is_refused() {
    let mut value = manifest();
    value["serving"]["graph"] = json!("other.onnx");
    assert!(matches!(parse(&value), Err(ManifestError::Unlisted(_))));
}

#[test]
fn path_escape_in_a_manifest_is_refused() {
    let mut value = manifest();
    value["files"]["../../etc/cron.d/x"] = json!({"size": 1, "sha256": ZERO});
    assert!(matches!(parse(&value), Err(ManifestError::Json(_))));
}

#[test]
fn names_that_collide_on_a_folding_file_system_are_refused() {
    for twin in ["MODEL.onnx", "Manifest.json"] {
        let mut value = manifest();
        value["files"][twin] = json!({"size": 1, "sha256": ZERO});
        assert!(
            matches!(parse(&value), Err(ManifestError::Collision(_))),
            "{twin}"
        );
    }
}

#[test]
fn a_bundle_that_cannot_be_tried_is_refused() {
    let mut value = manifest();
    value["golden"] = json!([]);
    assert!(matches!(parse(&value), Err(ManifestError::NoGolden)));
}

#[test]
fn an_endless_manifest_is_refused_before_it_is_read() {
    let bytes = vec![b' '; 300 * 1024];
    assert!(matches!(
        Manifest::parse(&bytes),
        Err(ManifestError::TooLarge(_))
    ));
}

#[test]
fn two_builds_for_one_class_are_refused() {
    let build =
        json!({"device_class": "a", "bundle": ZERO, "manifest_bytes": 10, "files_bytes": 1});
    let document = |builds: Value| {
        let value = json!({"format": 1, "id": ID, "tenant": "acme", "model": "sam",
                           "model_version": ID, "counter": 1, "builds": builds});
        ReleaseDocument::parse(value.to_string().as_bytes())
    };
    assert!(document(json!([build])).is_ok());
    assert!(matches!(
        document(json!([build, build])),
        Err(ReleaseError::Builds)
    ));
    assert!(matches!(document(json!([])), Err(ReleaseError::Builds)));
}

#[test]
fn a_claim_that_is_no_claim_is_refused() {
    assert!(matches!(Claim::parse(b"{}"), Err(ClaimError::Json(_))));
    assert!(matches!(
        Claim::parse(&[b'x'; 100_000]),
        Err(ClaimError::TooLarge(_))
    ));
}
