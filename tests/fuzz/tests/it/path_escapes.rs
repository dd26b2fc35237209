//! Names in a manifest that would write somewhere else than in the bundle's folder, on any system.

use espalier_protocol::manifest::{Manifest, ManifestError};
use serde_json::{Value, json};

const HONEST: &[u8] = include_bytes!("../../corpus/manifest/of-a-graph");

fn manifest() -> Value {
    serde_json::from_slice(HONEST).unwrap()
}

fn parse(value: &Value) -> Result<Manifest, ManifestError> {
    Manifest::parse(value.to_string().as_bytes())
}

fn with_file(path: &str) -> Value {
    let mut value = manifest();
    let entry = value["files"]["graph.onnx"].clone();
    value["files"][path] = entry;
    value
}

#[test]
fn the_honest_manifest_is_read() {
    assert!(parse(&manifest()).is_ok());
    assert!(parse(&with_file("golden/001/input.png")).is_ok());
}

#[test]
fn every_way_out_of_the_folder_is_refused() {
    let long = "a".repeat(201);
    for path in [
        "..",
        "../x",
        "golden/../../x",
        "golden/..",
        "./x",
        ".",
        "",
        "/etc/passwd",
        "//x",
        "golden//x",
        "golden/",
        r"..\x",
        r"golden\x",
        r"\\server\share\x",
        r"\\?\C:\x",
        "C:/x",
        "C:x",
        "x.onnx:stream",
        "x\0.onnx",
        "x\n.onnx",
        "x.onnx ",
        " x.onnx",
        "x.onnx.",
        "golden./x",
        "...",
        "~/x",
        "$HOME/x",
        "%2e%2e/x",
        ".hidden",
        "-rf",
        "ｇraph.onnx",
        "gr\u{430}ph.onnx",
        "..\u{2215}x",
        "\u{2024}\u{2024}/x",
        "e\u{301}.onnx",
        "\u{e9}.onnx",
        "x\u{202e}gnp.onnx",
        "x\u{200b}.onnx",
        "\u{feff}x",
        &long,
    ] {
        let listed = parse(&with_file(path));
        assert!(
            matches!(listed, Err(ManifestError::Json(_))),
            "{path:?} is listed"
        );
        let mut used = manifest();
        used["serving"]["graph"] = json!(path);
        assert!(
            matches!(parse(&used), Err(ManifestError::Json(_))),
            "{path:?} is used"
        );
        let mut golden = manifest();
        golden["golden"][0]["input"] = json!(path);
        assert!(
            matches!(parse(&golden), Err(ManifestError::Json(_))),
            "{path:?} is golden"
        );
    }
}

#[test]
fn names_that_would_lie_on_each_other_are_refused() {
    for path in [
        "GRAPH.onnx",
        "Graph.ONNX",
        "golden/000/INPUT.png",
        "Golden/000/input.png",
        "manifest.json",
        "MANIFEST.JSON",
        // A file cannot be a folder, too.
        "graph.onnx/x",
        "GRAPH.onnx/x",
        "golden",
        "Golden/000",
        "manifest.json/x",
    ] {
        let listed = parse(&with_file(path));
        assert!(
            matches!(listed, Err(ManifestError::Collision(_))),
            "{path:?}"
        );
    }
}

#[test]
fn more_files_than_a_bundle_may_have_are_refused() {
    let mut value = manifest();
    let entry = value["files"]["graph.onnx"].clone();
    for number in 0..512 {
        value["files"][format!("x/{number}")] = entry.clone();
    }
    assert!(matches!(parse(&value), Err(ManifestError::TooManyFiles(_))));
}

#[test]
fn numbers_without_end_are_refused() {
    let text = String::from_utf8(HONEST.to_vec()).unwrap();
    for (honest, endless) in [
        ("\"max_abs\":0.1", "\"max_abs\":1e39"),
        ("\"min_iou\":0.9", "\"min_iou\":-1e39"),
    ] {
        let hostile = text.replace(honest, endless);
        assert_ne!(hostile, text);
        let read = Manifest::parse(hostile.as_bytes());
        assert!(
            matches!(read, Err(ManifestError::Impossible(_))),
            "{endless}"
        );
    }
    let gigabytes = include_bytes!("../../corpus/model-description/that-asks-for-gigabytes");
    let read = espalier_protocol::manifest::ModelDescription::parse(gigabytes);
    assert!(matches!(read, Err(ManifestError::Impossible(_))));
}
