//! The engine end to end: from a signed desired state to a serving bundle, or to a named failure.

use std::sync::Arc;

use espalier_link::Status;
use espalier_protocol::desired::{Action, DesiredModel, ReleaseRef};
use espalier_protocol::enrol::Role;
use espalier_protocol::report::{Ack, Activation, Attack, Failure, FailureKind, Step};
use espalier_trust::Deployer;

use crate::agent::{Agent, Device};
use crate::cloud::Cloud;
use crate::mint::{Bundle, class, device, key, model, name, order};

/// A cloud with one device behind a gateway.
pub struct Fleet {
    pub cloud: Cloud,
    pub device: Device,
    sequence: std::sync::atomic::AtomicU64,
}

impl Fleet {
    pub async fn new() -> Self {
        let cloud = Cloud::open();
        let device = Device::enrolled(&cloud, &device(), Role::Device, cloud.by_gateway()).await;
        Self {
            cloud,
            device,
            sequence: Default::default(),
        }
    }

    pub fn store(&self) -> std::path::PathBuf {
        self.device.folder.path().join("store")
    }

    pub fn release(&self, counter: u64, bundle: &Bundle) -> ReleaseRef {
        self.cloud.world().mint.release(counter, bundle)
    }

    /// Orders what `wanted` says, by the next desired state.
    pub fn order(&self, wanted: DesiredModel) {
        let sequence = 1 + self
            .sequence
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let envelope = {
            let world = self.cloud.world();
            world.mint.sign(&world.mint.desired(sequence, vec![wanted]))
        };
        self.cloud.send_desired(envelope);
    }

    pub async fn active(&self, number: u128) -> Activation {
        match self
            .cloud
            .step(number, |step| matches!(step, Step::Active(_)))
            .await
        {
            Step::Active(activation) => activation,
            other => panic!("{other:?}"),
        }
    }

    pub async fn failed(&self, number: u128) -> Failure {
        match self.cloud.step(number, ends).await {
            Step::Failed(failure) | Step::RolledBack(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    pub async fn refused(&self, attack: Attack) {
        self.cloud
            .report(|report| {
                report
                    .refused
                    .iter()
                    .any(|refusal| refusal.attack == attack)
            })
            .await;
    }
}

/// A device that serves the first bundle, by the first desired state.
pub async fn serving_the_first() -> (Fleet, Agent) {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    let first = fleet.release(1, &bundle(1));
    fleet.order(order(1, 1, first, &bundle(1)));
    fleet.active(1).await;
    (fleet, agent)
}

pub fn ends(step: &Step) -> bool {
    matches!(
        step,
        Step::Active(_) | Step::Failed(_) | Step::RolledBack(_)
    )
}

pub fn bundle(seed: u8) -> Bundle {
    Bundle::new(seed, &class(), 200_000)
}

/// A bundle whose trial goes as `fate` says.
pub fn doomed(seed: u8, fate: &str) -> Bundle {
    let mut bundle = bundle(seed);
    bundle.manifest.requires.onnxruntime = fate.into();
    bundle
}

pub fn serves(agent: &Agent, bundle: &Bundle) {
    assert_eq!(agent.bench.serves(&model()), Some(bundle.digest()));
}

#[tokio::test]
async fn release_is_installed_and_every_step_reported() {
    let fleet = Fleet::new().await;
    let (one, release) = (bundle(1), fleet.release(1, &bundle(1)));
    let agent = fleet.device.start();
    fleet.order(order(1, 1, release, &one));
    let activation = fleet.active(1).await;
    assert_eq!(activation.installed.bundle, one.digest());
    assert_eq!(activation.golden_agreement, Some(0.97));
    let bytes = one.manifest.total_bytes() + one.manifest_bytes().len() as u64;
    assert_eq!(activation.bytes_downloaded, bytes);
    serves(&agent, &one);
    let steps: Vec<_> = fleet
        .cloud
        .steps()
        .iter()
        .map(std::mem::discriminant)
        .collect();
    let accepted = std::mem::discriminant(&Step::Accepted);
    let verified = std::mem::discriminant(&Step::Verified);
    let trial = std::mem::discriminant(&Step::Trial);
    let order: Vec<_> = steps
        .into_iter()
        .filter(|step| [accepted, verified, trial].contains(step))
        .collect();
    assert_eq!(order, [accepted, verified, trial]);
    let report = fleet
        .cloud
        .report(|report| report.models.iter().any(|state| state.active.is_some()))
        .await;
    assert_eq!(report.desired_sequence, 1);
}

/// A gateway holds a question until there is news; the first one it must not hold.
#[tokio::test]
async fn device_for_which_there_is_no_news_is_connected_at_once() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    let connected = agent.status(|status| status.connected);
    let at_once = std::time::Duration::from_secs(10);
    tokio::time::timeout(at_once, connected).await.unwrap();
}

#[tokio::test]
async fn update_keeps_the_previous_and_revert_fetches_nothing() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    let first = fleet.release(1, &bundle(1));
    fleet.order(order(1, 1, first, &bundle(1)));
    fleet.active(1).await;
    let second = fleet.release(2, &bundle(2));
    fleet.order(order(2, 1, second, &bundle(2)));
    fleet.active(2).await;
    serves(&agent, &bundle(2));
    let asked = fleet.cloud.world().asked.len();
    fleet.order(DesiredModel {
        action: Action::Revert,
        ..order(3, 1, first, &bundle(1))
    });
    assert_eq!(fleet.active(3).await.bytes_downloaded, 0);
    serves(&agent, &bundle(1));
    assert_eq!(fleet.cloud.world().asked.len(), asked);
}

#[tokio::test]
async fn file_that_two_bundles_share_is_fetched_once() {
    let fleet = Fleet::new().await;
    let _agent = fleet.device.start();
    let first = fleet.release(1, &bundle(1));
    fleet.order(order(1, 1, first, &bundle(1)));
    fleet.active(1).await;
    let mut next = bundle(1);
    next.manifest.requires.memory_bytes += 1;
    let second = fleet.release(2, &next);
    fleet.order(order(2, 1, second, &next));
    assert_eq!(
        fleet.active(2).await.bytes_downloaded,
        next.manifest_bytes().len() as u64
    );
}

#[tokio::test]
async fn bad_bundles_are_rolled_back_by_name_and_the_old_one_serves() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    let good = fleet.release(1, &bundle(1));
    fleet.order(order(1, 1, good, &bundle(1)));
    fleet.active(1).await;
    let fates = [
        ("golden-mismatch", FailureKind::GoldenMismatch),
        ("panic", FailureKind::TrialCrashed),
        ("cannot-serve", FailureKind::LoadFailed),
    ];
    for (number, (fate, kind)) in (2..).zip(fates) {
        let bad = doomed(number as u8, fate);
        let release = fleet.release(number as u64, &bad);
        fleet.order(order(number, 1, release, &bad));
        assert_eq!(fleet.failed(number).await.kind, kind);
        serves(&agent, &bundle(1));
        let left = std::fs::read_dir(fleet.store().join("bundles")).unwrap();
        assert_eq!(left.count(), 1, "a bundle that failed keeps its room");
    }
    let status = agent
        .status(|status| status.models[0].trial == "rolled back")
        .await;
    assert_eq!(status.models[0].active.unwrap().bundle, bundle(1).digest());
}

#[tokio::test]
async fn trial_that_hangs_is_ended_by_its_deadline() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    agent.bench.hold();
    let release = fleet.release(1, &bundle(1));
    fleet.order(order(1, 1, release, &bundle(1)));
    assert_eq!(fleet.failed(1).await.kind, FailureKind::TrialTimeout);
    agent.bench.release();
}

#[tokio::test]
async fn digest_that_failed_is_not_tried_again_without_a_new_attempt() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    let bad = doomed(1, "golden-mismatch");
    let release = fleet.release(1, &bad);
    fleet.order(order(1, 1, release, &bad));
    fleet.failed(1).await;
    fleet.order(order(2, 1, release, &bad));
    assert_eq!(fleet.failed(2).await.kind, FailureKind::AlreadyFailed);
    fleet.order(order(3, 2, release, &bad));
    assert_eq!(fleet.failed(3).await.kind, FailureKind::GoldenMismatch);
    assert_eq!(agent.bench.trials.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn revert_without_a_kept_slot_is_named() {
    let fleet = Fleet::new().await;
    let _agent = fleet.device.start();
    let old = fleet.release(1, &bundle(1));
    let new = fleet.release(2, &bundle(2));
    fleet.order(order(1, 1, new, &bundle(2)));
    fleet.active(1).await;
    fleet.order(DesiredModel {
        action: Action::Revert,
        ..order(2, 1, old, &bundle(1))
    });
    assert_eq!(fleet.failed(2).await.kind, FailureKind::NothingToRevert);
}

#[tokio::test]
async fn newer_order_ends_the_older_download() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    let first = fleet.release(1, &bundle(1));
    let graph = bundle(1).manifest.files[&name("graph.onnx")].sha256;
    // Every try brings a little, so that it neither ends nor fails.
    fleet.cloud.world().faults.break_always.insert(graph, 2_000);
    fleet.order(order(1, 1, first, &bundle(1)));
    fleet
        .cloud
        .step(1, |step| matches!(step, Step::Downloading { .. }))
        .await;
    let second = fleet.release(2, &bundle(2));
    fleet.order(order(2, 1, second, &bundle(2)));
    fleet.active(2).await;
    serves(&agent, &bundle(2));
}

#[tokio::test]
async fn newer_order_breaks_a_trial_off() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    agent.bench.hold();
    for number in 1..=2 {
        let release = fleet.release(u64::from(number), &bundle(number));
        fleet.order(order(u128::from(number), 1, release, &bundle(number)));
        let trial = |step: &Step| matches!(step, Step::Trial);
        fleet.cloud.step(u128::from(number), trial).await;
    }
    agent.bench.release();
    fleet.active(2).await;
    serves(&agent, &bundle(2));
    let ended = |step: &Step| matches!(step, Step::Failed(_) | Step::RolledBack(_));
    assert!(
        !fleet.cloud.steps().iter().any(ended),
        "the first trial ran to its limit"
    );
}

#[tokio::test]
async fn bundle_that_the_machine_cannot_run_is_refused_before_its_files_are_fetched() {
    let mut fleet = Fleet::new().await;
    fleet.device.inventory.memory_bytes = 1 << 30;
    fleet.device.inventory.onnxruntime = Some("1.19.2".into());
    let _agent = fleet.device.start();
    let mut large = bundle(1);
    large.manifest.requires.onnxruntime = "1.18".into();
    large.manifest.requires.memory_bytes = (1 << 30) + 1;
    for (number, demanding) in (1..).zip([large, bundle(2)]) {
        let release = fleet.release(number as u64, &demanding);
        fleet.order(order(number, 1, release, &demanding));
        let failure = fleet.failed(number).await;
        assert_eq!(failure.kind, FailureKind::Unsupported, "{failure:?}");
        let graph = demanding.manifest.files[&name("graph.onnx")].sha256;
        let asked = &fleet.cloud.world().asked;
        assert!(asked.iter().all(|(blob, _)| *blob != graph));
    }
}

#[tokio::test]
async fn same_bundle_under_another_release_answers_by_that_release() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    for number in 1..=2 {
        let release = fleet.release(number, &bundle(1));
        fleet.order(order(u128::from(number), 1, release, &bundle(1)));
        fleet.active(u128::from(number)).await;
        assert_eq!(agent.bench.installed(&model()).unwrap().release, release);
    }
    assert_eq!(agent.bench.trials.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn order_waits_until_its_signer_can_be_verified() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    agent.status(|status| status.connected).await;
    let release = fleet.release(1, &bundle(1));
    fleet.cloud.world().faults.no_metadata = true;
    fleet.order(order(1, 1, release, &bundle(1)));
    fleet.cloud.renewals(12).await;
    assert!(agent.handle.status.borrow().held_up.is_some());
    fleet.cloud.world().faults.no_metadata = false;
    fleet.active(1).await;
    assert_eq!(agent.handle.status.borrow().held_up, None);
}

#[tokio::test]
async fn order_waits_until_expired_metadata_are_renewed() {
    let fleet = Fleet::new().await;
    let renew = |age: i64| {
        let mut world = fleet.cloud.world();
        world.mint.now = crate::mint::noon() - crate::mint::hours(age);
        let next = world.mint.timestamp.version.checked_add(1).unwrap();
        world.mint.sign_online(next);
    };
    renew(24 * 30);
    let _agent = fleet.device.start();
    let wanted = {
        let release = fleet.release(1, &bundle(1));
        order(1, 1, release, &bundle(1))
    };
    let envelope = {
        let world = fleet.cloud.world();
        let mut desired = world.mint.desired(1, vec![wanted]);
        desired.expires_at = crate::mint::noon() + crate::mint::hours(1);
        world.mint.sign(&desired)
    };
    fleet.cloud.send_desired(envelope);
    fleet.refused(Attack::Frozen).await;
    fleet.cloud.renewals(12).await;
    renew(0);
    fleet.active(1).await;
    let refusals: usize = {
        let world = fleet.cloud.world();
        world
            .reports
            .iter()
            .map(|report| report.refused.len())
            .sum()
    };
    assert_eq!(refusals, 1, "the same refusal was reported again and again");
}

#[tokio::test]
async fn order_that_a_disk_failed_is_carried_on_when_it_comes_again() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    let release = fleet.release(1, &bundle(1));
    // The slots cannot be written, and everything else can.
    let in_the_way = fleet.store().join("slots.new");
    std::fs::create_dir(&in_the_way).unwrap();
    fleet.order(order(1, 1, release, &bundle(1)));
    assert_eq!(fleet.failed(1).await.kind, FailureKind::StoreFailed);
    std::fs::remove_dir(&in_the_way).unwrap();
    fleet.cloud.answer_with(Some(503));
    agent.status(|status| !status.connected).await;
    fleet.cloud.answer_with(None);
    fleet.active(1).await;
}

#[tokio::test]
async fn two_models_are_updated_side_by_side() {
    let fleet = Fleet::new().await;
    let agent = fleet.device.start();
    let mut other = bundle(9);
    other.manifest.model = name("belt-parts");
    let first = fleet.release(1, &bundle(1));
    let second = fleet.release(2, &other);
    let envelope = {
        let world = fleet.cloud.world();
        let orders = vec![order(1, 1, first, &bundle(1)), order(2, 1, second, &other)];
        world.mint.sign(&world.mint.desired(1, orders))
    };
    fleet.cloud.send_desired(envelope);
    fleet.active(1).await;
    fleet.active(2).await;
    serves(&agent, &bundle(1));
    assert_eq!(
        agent.bench.serves(&name("belt-parts")),
        Some(other.digest())
    );
}

#[tokio::test]
async fn reports_stay_until_the_cloud_signs_for_them() {
    let fleet = Fleet::new().await;
    let release = fleet.release(1, &bundle(1));
    let agent = fleet.device.start();
    fleet.order(order(1, 1, release, &bundle(1)));
    fleet.active(1).await;
    let last = fleet
        .cloud
        .report(|report| matches!(&report.progress, Some(progress) if ends(&progress.step)))
        .await;
    let ack = |device| Ack {
        device,
        boot: last.boot,
        seq: last.seq,
    };
    // For another device, and by another key: nothing is freed.
    let foreign = fleet
        .cloud
        .world()
        .mint
        .sign_ack(&ack(name("acme/press-8")));
    fleet.cloud.send_ack(foreign);
    fleet.refused(Attack::WrongDevice).await;
    fleet.cloud.send_ack(
        Deployer::new(Arc::new(key()))
            .sign_ack(&ack(device()))
            .unwrap(),
    );
    fleet.refused(Attack::WrongKey).await;
    assert!(agent.handle.status.borrow().reports_waiting > 0);
    for ack in fleet.cloud.acks() {
        fleet.cloud.send_ack(ack);
    }
    agent
        .status(|status: &Status| status.reports_waiting == 0)
        .await;
}
