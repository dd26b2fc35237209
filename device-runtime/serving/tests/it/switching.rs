use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use espalier_protocol::Digest;
use espalier_runtime::golden::GoldenError;
use espalier_runtime::{GraphOptions, ModelFolder};
use espalier_serving::{HostOptions, Limits, Origin};
use futures::future::join_all;
use tempfile::TempDir;

use crate::door::Door;
use crate::tiny;

const CLICK: &str = r#"{"points":[{"x":40,"y":30}]}"#;

/// Every answer must come whole from one bundle, and name it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_under_load_loses_no_request() {
    let sessions = NonZeroUsize::new(2).unwrap();
    let graphs = GraphOptions {
        sessions,
        ..GraphOptions::default()
    };
    let limits = Limits {
        workers: 2,
        queue: 64,
        ..Limits::default()
    };
    let mut door = Door::open(
        HostOptions {
            graphs,
            ..HostOptions::default()
        },
        limits,
    );
    let folders: Vec<_> = [8.0, 14.0]
        .map(|radius| (radius, TempDir::new().unwrap()))
        .into();
    let mut areas = BTreeMap::new();
    for (radius, folder) in &folders {
        let digest = tiny::write_bundle(folder.path(), *radius);
        door.switch_to(*radius);
        areas.insert(
            digest,
            door.ask(&tiny::picture(80, 60), CLICK).await.masks[0].area,
        );
    }
    let paths: Vec<PathBuf> = folders
        .iter()
        .map(|(_, folder)| folder.path().to_owned())
        .collect();
    let done = AtomicBool::new(false);
    let clients = join_all((0..4).map(|client| ask_until(&door, &done, 80 + client, &areas)));
    let switches = async {
        for round in 0..30 {
            let (host, path) = (door.service.host().clone(), paths[round % 2].clone());
            let switch = move || {
                let folder = ModelFolder::open(&path).unwrap();
                let candidate = host
                    .load(&folder)
                    .unwrap()
                    .check_golden(&folder, || ())
                    .unwrap();
                host.switch(candidate, Origin::default())
            };
            let retired = tokio::task::spawn_blocking(switch).await.unwrap();
            wait_until(|| retired.is_gone()).await;
        }
        done.store(true, Ordering::Release);
    };
    let (answered, ()) = tokio::join!(clients, switches);
    let mut by_bundle = BTreeMap::<Digest, usize>::new();
    answered
        .into_iter()
        .flatten()
        .for_each(|digest| *by_bundle.entry(digest).or_default() += 1);
    assert_eq!(by_bundle.len(), 2, "both bundles answered: {by_bundle:?}");
}

/// Asks without a pause; gives the digests of all answers.
async fn ask_until(
    door: &Door,
    done: &AtomicBool,
    width: u32,
    areas: &BTreeMap<Digest, u64>,
) -> Vec<Digest> {
    let picture = tiny::picture(width, 60);
    let mut digests = Vec::new();
    while !done.load(Ordering::Acquire) {
        let answer = door.ask(&picture, CLICK).await;
        let (found, wanted) = (
            answer.masks[0].area as f64,
            areas[&answer.bundle_digest] as f64,
        );
        assert!(
            (found / wanted - 1.0).abs() < 0.2,
            "{found} pixels are not the named bundle's {wanted}"
        );
        digests.push(answer.bundle_digest);
    }
    digests
}

async fn wait_until(reached: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reached() {
        assert!(Instant::now() < deadline, "the old bundle was not unloaded");
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_bundle_that_fails_its_golden_inputs_never_serves() {
    let mut door = Door::open(HostOptions::default(), Limits::default());
    let good = door.switch_to(12.0);
    let (bad, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    tiny::write_bundle(bad.path(), 12.0);
    tiny::write_bundle(other.path(), 8.0);
    std::fs::copy(
        other.path().join("decoder.onnx"),
        bad.path().join("decoder.onnx"),
    )
    .unwrap();
    let bad = ModelFolder::open(bad.path()).unwrap();
    let candidate = door.service.host().load(&bad).unwrap();
    let refused = candidate.check_golden(&bad, || ());
    assert!(matches!(refused, Err(GoldenError::Differs { .. })));
    assert_eq!(door.service.host().instance("tiny").unwrap().bundle(), good);
    assert!(
        door.service
            .host()
            .withdraw(&"tiny".parse().unwrap())
            .is_gone()
    );
    assert!(!door.service.is_ready());
}

/// A rollout of what serves already changes nothing but whose release it is.
#[tokio::test]
async fn same_bundle_by_another_release_is_named_without_a_reload() {
    let door = Door::serving(8.0, HostOptions::default(), Limits::default());
    let before = door.service.host().instance("tiny").unwrap();
    let release = Digest::of(b"the next release");
    before.came_by(release);
    let answer = door.ask(&tiny::picture(80, 60), CLICK).await;
    assert_eq!(answer.release_digest, Some(release));
    let after = door.service.host().instance("tiny").unwrap();
    assert!(Arc::ptr_eq(&before, &after));
}
