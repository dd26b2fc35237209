//! What comes through the doors of somebody who was trusted too far: signed bundles that mean harm, bytes that trickle, and
//! bombs.

use espalier_protocol::Digest;
use espalier_protocol::desired::DesiredModel;
use espalier_protocol::id::ReleaseId;
use espalier_protocol::manifest::Manifest;
use espalier_protocol::release::{ReleaseDocument, ReleasedBuild};
use espalier_protocol::report::{Attack, FailureKind};
use serde_json::{Value, json};

use crate::engine::{Fleet, bundle, serves, serving_the_first};
use crate::mint::{device, id, name, order};

/// Signs a release of a bundle that no honest forge makes, and orders it.
fn order_by_its_manifest(fleet: &Fleet, number: u64, manifest: &Value) {
    let honest = bundle(2);
    let bytes = manifest.to_string().into_bytes();
    let document = ReleaseDocument {
        format: 1,
        id: ReleaseId(id(u128::from(number) + 1000)),
        tenant: device().tenant,
        model: honest.manifest.model.clone(),
        model_version: honest.manifest.model_version,
        counter: number,
        builds: vec![ReleasedBuild {
            device_class: honest.manifest.device_class.clone(),
            bundle: Digest::of(&bytes),
            manifest_bytes: bytes.len() as u64,
            files_bytes: honest.manifest.total_bytes(),
        }],
    };
    let release = {
        let mint = &mut fleet.cloud.world().mint;
        for file in honest.files.values() {
            mint.keep(file.clone());
        }
        mint.keep(bytes.clone());
        mint.publish(&document)
    };
    fleet.order(DesiredModel {
        bundle: Digest::of(&bytes),
        ..order(u128::from(number), 1, release, &honest)
    });
}

fn honest_manifest() -> Value {
    serde_json::to_value(&bundle(2).manifest).unwrap()
}

#[tokio::test]
async fn bundle_that_would_leave_its_folder_is_refused_and_named() {
    let (fleet, agent) = serving_the_first().await;
    let ways_out = [
        "../../../identity",
        "/tmp/espalier-escaped",
        r"..\..\escaped",
        "golden/../../escaped",
    ];
    for (number, path) in (2..).zip(ways_out) {
        let mut manifest = honest_manifest();
        manifest["files"][path] = manifest["files"]["graph.onnx"].clone();
        assert!(Manifest::parse(manifest.to_string().as_bytes()).is_err());
        order_by_its_manifest(&fleet, number, &manifest);
        let failure = fleet.failed(u128::from(number)).await;
        assert_eq!(failure.kind, FailureKind::Untrusted, "{path}: {failure:?}");
        serves(&agent, &bundle(1));
    }
    fleet.refused(Attack::Malformed).await;
    // Not one of its files was asked for.
    let graph = bundle(2).manifest.files[&name("graph.onnx")].sha256;
    let asked = &fleet.cloud.world().asked;
    assert!(asked.iter().all(|(blob, _)| *blob != graph));
}

#[tokio::test]
async fn bundle_whose_names_lie_on_each_other_is_refused_and_named() {
    let (fleet, agent) = serving_the_first().await;
    let mut manifest = honest_manifest();
    manifest["files"]["GRAPH.onnx"] = json!({"size": 1, "sha256": Digest::of(b"x")});
    order_by_its_manifest(&fleet, 2, &manifest);
    assert_eq!(fleet.failed(2).await.kind, FailureKind::Untrusted);
    fleet.refused(Attack::Malformed).await;
    serves(&agent, &bundle(1));
}

#[tokio::test]
async fn source_that_gives_a_byte_now_and_then_ends_as_a_failed_download() {
    let (fleet, agent) = serving_the_first().await;
    let second = fleet.release(2, &bundle(2));
    let graph = bundle(2).manifest.files[&name("graph.onnx")].sha256;
    fleet.cloud.world().faults.trickle = Some(graph);
    fleet.order(order(2, 1, second, &bundle(2)));
    assert_eq!(fleet.failed(2).await.kind, FailureKind::DownloadFailed);
    serves(&agent, &bundle(1));
}

#[tokio::test]
async fn bombs_from_a_broker_are_named_and_touch_nothing() {
    let deep = vec![0x81; 60_000];
    let promising = [&[0xbb][..], &[0xff; 8]].concat();
    for (bomb, attack) in [
        (deep, Attack::Malformed),
        (promising, Attack::Malformed),
        (vec![0x9f; 70_000], Attack::EndlessData),
    ] {
        let (fleet, agent) = serving_the_first().await;
        fleet.cloud.send_desired(bomb);
        fleet.refused(attack).await;
        serves(&agent, &bundle(1));
        let second = fleet.release(2, &bundle(2));
        fleet.order(order(2, 1, second, &bundle(2)));
        fleet.active(2).await;
    }
}
