//! Downloads: resumed where they broke off, cut where they must end, thrown away when they are wrong.

use espalier_link::download::{DownloadError, Pace, Patience, fetch_missing};
use espalier_link::{Backoff, Door, DoorError};
use espalier_protocol::Digest;
use espalier_protocol::enrol::Role;
use espalier_slots::content::ContentError;
use espalier_slots::{Disk, Staging, Store};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::Device;
use crate::cloud::Cloud;
use crate::mint::{Bundle, class, device};

const GRAPH: usize = 1_000_000;

struct Scene {
    cloud: Cloud,
    _device: Device,
    door: Door,
    bundle: Bundle,
    graph: Digest,
    store: Store,
}

async fn scene() -> Scene {
    let cloud = Cloud::open();
    let device = Device::enrolled(&cloud, &device(), Role::Device, cloud.by_gateway()).await;
    let bundle = Bundle::new(1, &class(), GRAPH);
    cloud.world().mint.release(1, &bundle);
    let store = Store::open(Arc::new(Disk), &device.folder.path().join("store")).unwrap();
    Scene {
        door: Door::open(&device.identity).unwrap(),
        graph: bundle.manifest.files[&"graph.onnx".parse().unwrap()].sha256,
        cloud,
        _device: device,
        bundle,
        store,
    }
}

impl Scene {
    fn stage(&self) -> Staging {
        let content = self.store.content();
        content
            .stage(&self.bundle.digest(), &self.bundle.manifest_bytes())
            .unwrap()
    }

    /// Fetches everything, and says how many bytes came.
    async fn fetch(&self, staging: &mut Staging) -> (Result<(), DownloadError>, u64) {
        let patience = Patience {
            tries: 3,
            slowest: Pace {
                bytes: 64 * 1024,
                within: Duration::from_secs(1),
            },
            backoff: Backoff {
                first: Duration::from_millis(1),
                longest: Duration::from_millis(5),
            },
        };
        let mut came = 0;
        let mut random = StdRng::seed_from_u64(3);
        let result = fetch_missing(&self.door, staging, patience, &mut random, |bytes| {
            came += bytes
        })
        .await;
        (result, came)
    }

    fn asked_for_graph(&self) -> Vec<u64> {
        let world = self.cloud.world();
        let asked = world
            .asked
            .iter()
            .filter(|(digest, _)| *digest == self.graph);
        asked.map(|(_, begins)| *begins).collect()
    }
}

#[tokio::test]
async fn broken_transfer_is_resumed_where_it_broke_off() {
    let scene = scene().await;
    scene
        .cloud
        .world()
        .faults
        .break_once
        .insert(scene.graph, 300_000);
    let mut staging = scene.stage();
    let (result, came) = scene.fetch(&mut staging).await;
    result.unwrap();
    staging.finish().unwrap();
    assert_eq!(came, scene.bundle.manifest.total_bytes());
    let [first, second] = scene.asked_for_graph()[..] else {
        panic!("{:?}", scene.asked_for_graph())
    };
    assert_eq!(first, 0);
    assert!(second > 0 && second <= 300_000, "resumed at {second}");
}

#[tokio::test]
async fn source_without_ranges_is_read_from_its_start_again() {
    let scene = scene().await;
    scene
        .cloud
        .world()
        .faults
        .break_once
        .insert(scene.graph, 300_000);
    scene.cloud.world().faults.no_ranges = true;
    let mut staging = scene.stage();
    scene.fetch(&mut staging).await.0.unwrap();
    staging.finish().unwrap();
}

#[tokio::test]
async fn source_that_always_breaks_off_without_a_byte_is_given_up() {
    let scene = scene().await;
    scene
        .cloud
        .world()
        .faults
        .break_always
        .insert(scene.graph, 0);
    let (result, _) = scene.fetch(&mut scene.stage()).await;
    assert!(
        matches!(
            result,
            Err(DownloadError::Door(DoorError::Unreachable { .. }))
        ),
        "{result:?}"
    );
    assert_eq!(scene.asked_for_graph().len(), 3);
}

#[tokio::test]
async fn slow_progress_is_progress() {
    let scene = scene().await;
    // Each try brings a tenth; ten times as many tries as are allowed without progress.
    scene
        .cloud
        .world()
        .faults
        .break_always
        .insert(scene.graph, 100_000);
    let mut staging = scene.stage();
    scene.fetch(&mut staging).await.0.unwrap();
    staging.finish().unwrap();
}

#[tokio::test]
async fn byte_now_and_then_is_no_progress() {
    let scene = scene().await;
    scene.cloud.world().faults.trickle = Some(scene.graph);
    let (result, came) = scene.fetch(&mut scene.stage()).await;
    assert!(
        matches!(result, Err(DownloadError::TooSlow(_))),
        "{result:?}"
    );
    assert!(came > 0);
    assert_eq!(scene.asked_for_graph().len(), 3);
}

#[tokio::test]
async fn endless_data_is_cut_off() {
    let scene = scene().await;
    scene.cloud.world().faults.endless = Some(scene.graph);
    let (result, _) = scene.fetch(&mut scene.stage()).await;
    assert!(
        matches!(
            result,
            Err(DownloadError::Content(ContentError::TooLong { .. }))
        ),
        "{result:?}"
    );
}

#[tokio::test]
async fn one_flipped_bit_is_refused() {
    let scene = scene().await;
    scene.cloud.world().faults.flip = Some(scene.graph);
    let (result, _) = scene.fetch(&mut scene.stage()).await;
    assert!(
        matches!(
            result,
            Err(DownloadError::Content(ContentError::FileDigest { .. }))
        ),
        "{result:?}"
    );
    assert_eq!(scene.asked_for_graph(), [0]);
}

#[tokio::test]
async fn part_that_was_altered_on_the_disk_gets_one_clean_try() {
    let scene = scene().await;
    let mut staging = scene.stage();
    let graph = staging
        .missing()
        .iter()
        .find(|missing| missing.entry.sha256 == scene.graph)
        .unwrap()
        .clone();
    let mut intake = staging.intake(&graph).unwrap();
    intake.write(&[0; 5000]).unwrap();
    drop(intake);
    scene.fetch(&mut staging).await.0.unwrap();
    staging.finish().unwrap();
    assert_eq!(scene.asked_for_graph(), [5000, 0]);
}

#[tokio::test]
async fn blob_that_is_not_there_is_a_failure_at_once() {
    let scene = scene().await;
    scene.cloud.world().mint.blobs.remove(&scene.graph);
    let (result, _) = scene.fetch(&mut scene.stage()).await;
    assert!(
        matches!(
            result,
            Err(DownloadError::Door(DoorError::Status { status: 404, .. }))
        ),
        "{result:?}"
    );
    assert_eq!(scene.asked_for_graph(), [0]);
}
