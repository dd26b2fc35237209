//! The host as a process: started, asked over HTTP, stopped by a signal.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops at once, and says where"
)]

#[path = "../../../../device-runtime/runtime/tests/it/onnx.rs"]
mod onnx;
mod process;
mod registry;
#[path = "../../../../device-runtime/runtime/tests/it/tiny.rs"]
mod tiny;

use std::path::Path;

use espalier_serving::{Answer, Tier};
use process::Host;
use tempfile::TempDir;

fn model(radius: f32) -> TempDir {
    let folder = TempDir::new().unwrap();
    tiny::write_model(folder.path(), radius);
    folder
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_full_model_is_served_from_its_folder() {
    let model = model(12.0);
    let mut host = Host::start(&["--model", &text(model.path()), "--name", "attic"]).await;
    let answer: Answer = host.ask("tiny").await;
    assert_eq!(
        (answer.computed_on.tier, answer.computed_on.name.as_str()),
        (Tier::Cloud, "attic")
    );
    assert_eq!((answer.release_digest, answer.model_version), (None, None));
    assert!(host.terminate().await.success());
}

#[tokio::test]
async fn other_weights_under_the_same_description_have_another_digest() {
    let mut digests = Vec::new();
    for model in [model(12.0), model(8.0), model(12.0)] {
        let host = Host::start(&["--model", &text(model.path())]).await;
        let answer: Answer = host.ask("tiny").await;
        digests.push(answer.bundle_digest);
    }
    assert_ne!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
}

#[tokio::test]
async fn a_bundle_is_tried_before_it_serves() {
    let bundle = TempDir::new().unwrap();
    let digest = tiny::write_bundle(bundle.path(), 12.0);
    let host = Host::start(&["--model", &text(bundle.path())]).await;
    let answer: Answer = host.ask("tiny").await;
    assert_eq!(answer.bundle_digest, digest);
    drop(host);
    std::fs::copy(
        model(8.0).path().join("decoder.onnx"),
        bundle.path().join("decoder.onnx"),
    )
    .unwrap();
    let (ended, words) = Host::fail(&["--model", &text(bundle.path())]);
    assert!(
        !ended.success() && words.contains("golden input"),
        "{words}"
    );
}

#[test]
fn a_provider_that_cannot_start_stops_the_host() {
    let model = model(12.0);
    let (ended, words) = Host::fail(&["--model", &text(model.path()), "--providers", "coreml"]);
    assert!(!ended.success() && words.contains("coreml"), "{words}");
}

#[test]
fn what_is_missing_is_said_in_a_sentence() {
    let empty = TempDir::new().unwrap();
    let (_, words) = Host::fail(&["--model", &text(empty.path())]);
    assert!(
        words.contains("neither manifest.json nor model.json"),
        "{words}"
    );
    let model = model(12.0);
    let (_, words) = Host::fail(&["--model", &text(model.path()), "--listen", "0.0.0.0:0"]);
    assert!(words.contains("--allow-plain-http"), "{words}");
    let (_, words) = Host::fail(&["--model", &text(model.path()), "--providers", "gpu"]);
    assert!(
        words.contains("`gpu` is not an execution provider"),
        "{words}"
    );
}
