//! A small fleet with a signed release, as the use cases would have made it.

use std::sync::atomic::{AtomicU64, Ordering};

use espalier_domain::build::{Build, BuildState, BundleFacts, Product, Progress};
use espalier_domain::model::{ModelFile, ModelVersion};
use espalier_domain::observation::{Observation, Position};
use espalier_domain::release::{Release, ReleaseRefusal, draft};
use espalier_domain::rollout::{Gate, Policy, Rollout, RolloutState, StageSize};
use espalier_domain::{Assignment, Percent, Selector};
use espalier_protocol::enrol::Role;
use espalier_protocol::id::{
    AssignmentId, BuildId, ClaimId, JobId, ModelVersionId, ReleaseId, RolloutId,
};
use espalier_protocol::inventory::Inventory;
use espalier_protocol::job::{Evaluation, GateVerdict};
use espalier_protocol::manifest::FileEntry;
use espalier_protocol::report::{Activation, AssignmentProgress, Installed, ModelState, Step};
use espalier_protocol::trust::PublicKey;
use espalier_protocol::{DeviceIdentity, DeviceName, Digest, Incarnation, Tenant};
use espalier_store::{
    CertificateRecord, DeployerKeys, Edition, EnrolOutcome, Enrolment, NewClaim, NewRelease,
    SignOutcome, StartOutcome, Store, StoreError,
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

static NEXT: AtomicU64 = AtomicU64::new(1);

pub fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

pub fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

/// Ids grow as the cloud's do.
pub fn new_id() -> Uuid {
    Uuid::from_u128(
        0x0190_0000_0000_7000_8000_0000_0000_0000
            | u128::from(NEXT.fetch_add(1, Ordering::Relaxed)),
    )
}

pub fn acme() -> Tenant {
    "acme".parse().unwrap()
}

pub fn device(name: &str) -> DeviceIdentity {
    DeviceIdentity::new(acme(), name.parse().unwrap())
}

pub fn key(name: &str) -> PublicKey {
    PublicKey::from_bytes(*Digest::of(name.as_bytes()).as_bytes())
}

pub async fn claim(store: &Store, max_uses: u32) -> Digest {
    store
        .principals()
        .ensure_tenant(&acme(), now())
        .await
        .unwrap();
    let token = Digest::of(new_id().as_bytes());
    let claim = NewClaim {
        id: ClaimId(new_id()),
        tenant: acme(),
        token,
        class: None,
        max_uses,
        created_at: now(),
        expires_at: later(3600),
    };
    store.claims().create(&claim).await.unwrap();
    token
}

pub fn enrolment(token: Digest, name: &str) -> Enrolment {
    Enrolment {
        token,
        identity: device(name),
        role: Role::Device,
        class: "x86".parse().unwrap(),
        gateway: None,
        public_key: key(name),
        certificate: CertificateRecord {
            serial: new_id().simple().to_string(),
            issued_at: now(),
            expires_at: later(86_400),
        },
        inventory: Inventory {
            agent: "0.1.0".to_owned(),
            ..Inventory::default()
        },
        now: now(),
    }
}

pub async fn enrol(store: &Store, names: &[&str]) {
    let token = claim(store, u32::try_from(names.len()).unwrap()).await;
    for name in names {
        assert_eq!(
            store
                .devices()
                .enrol(&enrolment(token, name))
                .await
                .unwrap(),
            EnrolOutcome::Enrolled
        );
    }
}

pub fn evaluation(gate: GateVerdict) -> Evaluation {
    Evaluation {
        bytes: 1_000_000,
        full_bytes: 4_000_000,
        params: 900_000,
        latency_ms_p50: 11.5,
        latency_ms_p95: 14.25,
        full_latency_ms_p50: 33.0,
        threads: 2,
        peak_memory_bytes: 90_000_000,
        agreement_iou: 0.95,
        agreement_iou_click: 0.94,
        agreement_iou_box: 0.96,
        pairs: 200,
        held_out: "rendered".to_owned(),
        gate,
        notes: vec!["first layer kept".to_owned()],
    }
}

pub fn product(gate: GateVerdict) -> Product {
    let bundle = BundleFacts {
        digest: Digest::of(new_id().as_bytes()),
        manifest_bytes: 2_000,
        files_bytes: 1_000_000,
    };
    Product {
        bundle,
        evaluation: evaluation(gate),
    }
}

pub async fn model(store: &Store) -> ModelVersion {
    store
        .principals()
        .ensure_tenant(&acme(), now())
        .await
        .unwrap();
    let file = |path: &str, size| ModelFile {
        path: path.parse().unwrap(),
        entry: FileEntry {
            size,
            sha256: Digest::of(path.as_bytes()),
        },
    };
    let version = ModelVersion {
        id: ModelVersionId(new_id()),
        tenant: acme(),
        model: "parts".parse().unwrap(),
        task: "promptable-segmentation".to_owned(),
        summary: "Parts on a belt".to_owned(),
        description: Digest::of(b"model.json"),
        files: vec![file("decoder.onnx", 7), file("encoder.onnx", 9)],
        facts: serde_json::json!({ "opset": 17 }),
        created_at: now(),
    };
    store.models().import(&version).await.unwrap();
    version
}

pub async fn queued_build(store: &Store, version: &ModelVersion, class: &str) -> Build {
    let build = Build {
        id: BuildId(new_id()),
        tenant: acme(),
        model_version: version.id,
        device_class: class.parse().unwrap(),
        recipe: "kind = \"int8\"".to_owned(),
        created_at: now(),
        state: BuildState::Queued,
    };
    store.builds().order(&build, JobId(new_id())).await.unwrap();
    build
}

pub async fn passed_build(store: &Store, version: &ModelVersion, class: &str) -> Build {
    let build = queued_build(store, version, class).await;
    let job = store
        .jobs()
        .take("forge", now(), later(60))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(job.lease.build, build.id);
    let end = BuildState::Running(Progress::started())
        .finish(product(GateVerdict::Passed))
        .unwrap();
    let _updated = store.jobs().finish(&job.lease, end, now()).await.unwrap();
    store
        .builds()
        .find(&acme(), build.id)
        .await
        .unwrap()
        .unwrap()
}

pub async fn draft_release(store: &Store, version: &ModelVersion, builds: &[Build]) -> Release {
    let write = |counter| -> Result<NewRelease, ReleaseRefusal> {
        let document = draft(ReleaseId(new_id()), counter, version, builds)?;
        let bytes = serde_json::to_vec(&document).unwrap();
        let builds = builds
            .iter()
            .map(|build| (build.device_class.clone(), build.id))
            .collect();
        Ok(NewRelease {
            document,
            bytes,
            builds,
        })
    };
    store
        .releases()
        .draft(&acme(), &version.model, now(), write)
        .await
        .unwrap()
}

pub async fn signed_release(store: &Store) -> Release {
    let version = model(store).await;
    let build = passed_build(store, &version, "x86").await;
    let release = draft_release(store, &version, &[build]).await;
    let signed = store
        .releases()
        .sign(
            &acme(),
            release.id(),
            2,
            &Edition::default(),
            DeployerKeys::Same,
            now(),
        )
        .await
        .unwrap();
    assert_eq!(signed, SignOutcome::Signed);
    store
        .releases()
        .find(&acme(), release.id())
        .await
        .unwrap()
        .unwrap()
}

pub fn policy(canary: u32) -> Policy {
    let gate = Gate {
        success: Percent::ALL,
        failure: Percent::ZERO,
        timeout_s: 600,
        ..Gate::default()
    };
    Policy::canary_then_rest(Selector::All, StageSize::Count(canary), gate).unwrap()
}

pub fn rollout(release: &Release, policy: Policy) -> Rollout {
    Rollout {
        id: RolloutId(new_id()),
        tenant: acme(),
        release: release.id(),
        model: release.model().clone(),
        policy,
        created_at: now(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        state: RolloutState::Draft,
    }
}

pub async fn draft_rollout(store: &Store, release: &Release, policy: Policy) -> RolloutId {
    let rollout = rollout(release, policy);
    store.rollouts().create(&rollout).await.unwrap();
    rollout.id
}

pub async fn start(store: &Store, rollout: RolloutId) -> StartOutcome {
    store
        .rollouts()
        .start(&acme(), rollout, now(), || AssignmentId(new_id()))
        .await
        .unwrap()
}

pub async fn started_rollout(store: &Store, release: &Release, canary: u32) -> RolloutId {
    let rollout = draft_rollout(store, release, policy(canary)).await;
    assert!(matches!(
        start(store, rollout).await,
        StartOutcome::Started { .. }
    ));
    rollout
}

/// A device's newest assignment.
pub async fn newest_assignment(store: &Store, name: &str) -> Result<Assignment, StoreError> {
    let name: DeviceName = name.parse().unwrap();
    let names = std::slice::from_ref(&name);
    let found = store.assignments().of_devices(&acme(), names, 1).await;
    found.map(|mut found| found.remove(&name).unwrap().remove(0))
}

pub fn observation(name: &str, seq: u64) -> Observation {
    Observation {
        device: device(name),
        position: Position { boot: 1, seq },
        incarnation: Some(Incarnation::from_bytes([1; 16])),
        received_at: now(),
        class: "x86".parse().unwrap(),
        desired_sequence: 0,
        models: Vec::new(),
        progress: None,
        refused: Vec::new(),
        inventory: None,
        traceparent: None,
    }
}

pub fn progress(
    name: &str,
    seq: u64,
    assignment: AssignmentId,
    attempt: u32,
    step: Step,
) -> Observation {
    Observation {
        progress: Some(AssignmentProgress {
            assignment,
            attempt,
            step,
        }),
        ..observation(name, seq)
    }
}

pub fn active(installed: Installed) -> Step {
    Step::Active(Activation {
        installed,
        bytes_downloaded: 1_000_000,
        duration_ms: 1_500,
        golden_agreement: Some(0.75),
        golden_latency_ms: Some(11.5),
    })
}

/// A device that serves `installed` and says so.
pub fn serving(name: &str, seq: u64, installed: Installed) -> Observation {
    let state = ModelState {
        model: "parts".parse().unwrap(),
        active: Some(installed),
        previous: None,
    };
    Observation {
        models: vec![state],
        ..observation(name, seq)
    }
}
