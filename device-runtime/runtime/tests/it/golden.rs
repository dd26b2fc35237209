use std::fs;

use espalier_runtime::GraphOptions;
use espalier_runtime::folder::FolderError;
use espalier_runtime::golden::{GoldenError, check_folder};
use tempfile::TempDir;

use crate::tiny;

#[test]
fn a_sound_bundle_reproduces_its_answers() {
    let folder = TempDir::new().unwrap();
    tiny::write_bundle(folder.path(), 12.0);
    let report = check_folder(folder.path(), &GraphOptions::default()).unwrap();
    assert_eq!(
        (report.inputs, report.least_iou, report.agreement),
        (1, 1.0, 1.0)
    );
    assert_eq!(report.latencies.len(), 1);
}

#[test]
fn a_bundle_that_computes_something_else_is_caught() {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    tiny::write_bundle(folder.path(), 12.0);
    tiny::write_bundle(other.path(), 9.0);
    fs::copy(
        other.path().join("decoder.onnx"),
        folder.path().join("decoder.onnx"),
    )
    .unwrap();
    let refused = check_folder(folder.path(), &GraphOptions::default()).unwrap_err();
    assert!(
        matches!(refused, GoldenError::Differs { iou, .. } if iou < 0.8),
        "{refused}"
    );
}

#[test]
fn damaged_golden_files_are_named() {
    let folder = TempDir::new().unwrap();
    tiny::write_bundle(folder.path(), 12.0);
    let check = || check_folder(folder.path(), &GraphOptions::default()).unwrap_err();
    let own = folder.path().join("golden/000/own.json");
    fs::write(
        &own,
        r#"{"masks":[{"rle":{"size":[60,80],"counts":"0"},"score":1}]}"#,
    )
    .unwrap();
    assert!(
        matches!(check(), GoldenError::Unusable { file, .. } if file.as_str() == "golden/000/own.json")
    );
    fs::write(&own, r#"{"masks":[]}"#).unwrap();
    assert!(matches!(check(), GoldenError::Unusable { .. }));
    fs::write(&own, "{").unwrap();
    assert!(matches!(check(), GoldenError::Unusable { .. }));
    fs::remove_file(&own).unwrap();
    assert!(matches!(
        check(),
        GoldenError::Folder(FolderError::Unreadable { .. })
    ));
}

#[test]
fn a_folder_without_a_description_is_named() {
    let folder = TempDir::new().unwrap();
    let refused = check_folder(folder.path(), &GraphOptions::default()).unwrap_err();
    assert!(
        matches!(refused, GoldenError::Folder(FolderError::NotAModel(_))),
        "{refused}"
    );
    tiny::write_model(folder.path(), 12.0);
    assert!(matches!(
        check_folder(folder.path(), &GraphOptions::default()),
        Err(GoldenError::None)
    ));
}
