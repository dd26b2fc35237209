//! From a build that passed to what devices may fetch, over failures, restarts and a new deployer key.

use std::{num::NonZeroU64, path::Path};

use espalier_api::{
    claim::CreateClaim,
    error::ErrorCode,
    release::{
        BundleSignatures, BundleToSign, CreateRelease, ReleaseSignature, ReleaseState, ReleaseView,
        SignedBundle, SigningRequestView,
    },
    tuf::TufTargetsView,
};
use espalier_domain::{
    build::{Build, BuildState, BundleFacts, Product, Progress},
    model::ModelVersion,
};
use espalier_embedded::postgres::{EmbeddedPostgres, PostgresConfig, Programs, Survives};
use espalier_protocol::{
    Digest, Tenant,
    enrol::Role,
    id::{BuildId, JobId, ModelVersionId},
    trust::{DEPLOYER_TARGET, DeployerKeys},
};
use espalier_store::{ConnectOptions, Store, Written};
use espalier_support::skip::skipped;
use espalier_trust::{
    keys::{KeyFolder, KeyRole},
    tuf::{TargetFile, TrustedRoot, TrustedTargets, read_targets, sign_targets},
};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, Response, StatusCode};
use ring::rand::SystemRandom;
use serde_json::json;
use tempfile::{TempDir, tempdir};
use uuid::Uuid;

use crate::{
    ceremony::{server_key, signed_targets},
    device::{Device, claim},
    stack::{Stack, problem},
};

/// Metadata is judged by the server's clock; it ends later than any test.
const FAR: SignedDuration = SignedDuration::from_hours(24 * 300);

/// A database with builds that passed, as the forge would have left them, and the bundle's blobs.
struct Workshop {
    postgres: EmbeddedPostgres,
    builds: Vec<BuildId>,
    manifest: Vec<u8>,
    graph: Vec<u8>,
    _folder: TempDir,
}

impl Workshop {
    async fn open() -> Option<Self> {
        if Programs::find().is_err() {
            skipped("releases", "there is no PostgreSQL here");
            return None;
        }
        let folder = tempdir().unwrap();
        let config = PostgresConfig {
            survives: Survives::Crash,
            ..PostgresConfig::new(folder.path())
        };
        let postgres = EmbeddedPostgres::start(config).await.unwrap();
        let store = Store::connect(&ConnectOptions::new(postgres.url("postgres")))
            .await
            .unwrap();
        store.migrate().await.unwrap();
        let graph = b"a graph".to_vec();
        let model = model(&store).await;
        let manifest = manifest(&model, &graph);
        let builds = vec![
            passed(&store, &model, &manifest, 11).await,
            passed(&store, &model, &manifest, 12).await,
        ];
        store.close().await;
        Some(Self {
            postgres,
            builds,
            manifest,
            graph,
            _folder: folder,
        })
    }

    async fn serve(&self, state: TempDir) -> Stack {
        let url = self.postgres.url("postgres");
        let stack = Stack::launch(state, |flags| flags.database_url = Some(url)).await;
        stack.ready().await;
        stack
    }

    async fn upload(&self, stack: &Stack) {
        for bytes in [&self.manifest, &self.graph] {
            let path = format!("{}/api/v1/blobs/{}", stack.endpoints.api, Digest::of(bytes));
            let put = stack.http.put(path).bearer_auth(&stack.token);
            let answer = put.body(bytes.clone()).send().await.unwrap();
            assert!(answer.status().is_success());
        }
    }

    fn blobs(&self, release: &ReleaseView) -> [Digest; 3] {
        [
            release.digest,
            Digest::of(&self.manifest),
            Digest::of(&self.graph),
        ]
    }
}

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

async fn model(store: &Store) -> ModelVersion {
    let tenant: Tenant = "default".parse().unwrap();
    store
        .principals()
        .ensure_tenant(&tenant, now())
        .await
        .unwrap();
    let version = ModelVersion {
        id: ModelVersionId(Uuid::from_u128(1)),
        tenant,
        model: "parts".parse().unwrap(),
        task: "tensor".to_owned(),
        summary: "Parts on a belt".to_owned(),
        description: Digest::of(b"model.json"),
        files: Vec::new(),
        facts: json!({}),
        created_at: now(),
    };
    store.models().import(&version).await.unwrap();
    version
}

fn manifest(model: &ModelVersion, graph: &[u8]) -> Vec<u8> {
    let file = "graph.onnx";
    let manifest = json!({
        "format": 1,
        "model": model.model,
        "model_version": model.id,
        "device_class": "test-class",
        "serving": { "task": "tensor", "graph": file },
        "requires": { "onnxruntime": "1.20", "opset": 17, "memory_bytes": 1 },
        "golden": [{ "input": file, "request": file, "own": file, "full": file }],
        "golden_tolerance": { "min_iou": 0.9, "max_abs": 0.01 },
        "files": { file: { "size": graph.len(), "sha256": Digest::of(graph) } },
    });
    serde_json::to_vec(&manifest).unwrap()
}

async fn passed(store: &Store, model: &ModelVersion, manifest: &[u8], number: u128) -> BuildId {
    let build = Build {
        id: BuildId(Uuid::from_u128(number)),
        tenant: model.tenant.clone(),
        model_version: model.id,
        device_class: "test-class".parse().unwrap(),
        recipe: "kind = \"int8\"".to_owned(),
        created_at: now(),
        state: BuildState::Queued,
    };
    let job = JobId(Uuid::from_u128(number + 100));
    store.builds().order(&build, job).await.unwrap();
    let job = store.jobs().take("forge", now(), now() + FAR).await;
    let product = Product {
        bundle: BundleFacts {
            digest: Digest::of(manifest),
            manifest_bytes: manifest.len() as u64,
            files_bytes: 7,
        },
        evaluation: serde_json::from_value(json!({
            "bytes": 7, "full_bytes": 70, "params": 1,
            "latency_ms_p50": 1.0, "latency_ms_p95": 1.0, "full_latency_ms_p50": 9.0,
            "threads": 1, "peak_memory_bytes": 1,
            "agreement_iou": 0.9, "agreement_iou_click": 0.9, "agreement_iou_box": 0.9,
            "pairs": 1, "held_out": "none", "gate": { "verdict": "passed" },
        }))
        .unwrap(),
    };
    let end = BuildState::Running(Progress::started()).finish(product);
    let finished = store
        .jobs()
        .finish(&job.unwrap().unwrap().lease, end.unwrap(), now())
        .await;
    assert_eq!(finished.unwrap(), Written::Updated);
    build.id
}

async fn draft(stack: &Stack, build: BuildId) -> ReleaseView {
    let builds = vec![build];
    stack.post("/releases", &CreateRelease { builds }).await
}

/// What the operator's machine does, with the keys of the state folder.
async fn sign(stack: &Stack, release: &ReleaseView, with_deployer: bool) -> Response {
    let request = sign_bundles(stack, release).await;
    hand_in(stack, &request, with_deployer).await
}

/// The first half of it: the bundles' own signatures.
async fn sign_bundles(stack: &Stack, release: &ReleaseView) -> SigningRequestView {
    let path = format!("/releases/{}", release.id);
    let request: SigningRequestView = stack.get(&format!("{path}/signing-request")).await;
    let keys = KeyFolder::new(stack.folder.path().join("keys"));
    let signatures = signed_bundles(&keys, &request);
    let path = format!("{path}/bundle-signatures");
    let _: ReleaseView = stack.post(&path, &signatures).await;
    request
}

/// The second: the release keys' signature.
async fn hand_in(stack: &Stack, request: &SigningRequestView, with_deployer: bool) -> Response {
    let (root, current) = current(stack).await;
    let mut files =
        vec![TargetFile::new(&request.target_name, request.release_json.as_bytes()).unwrap()];
    if with_deployer {
        let keys = request.deployer_json.as_bytes();
        files.push(TargetFile::new(DEPLOYER_TARGET, keys).unwrap());
    }
    let key = KeyFolder::new(stack.folder.path().join("keys"))
        .open(KeyRole::Targets, None)
        .unwrap();
    let expires = current.expires() + FAR;
    let signed = sign_targets(&root, Some(&current), &files, expires, &[&key]).unwrap();
    let targets_json = String::from_utf8(signed.bytes).unwrap();
    let signature = ReleaseSignature { targets_json };
    let path = format!("/releases/{}/signature", request.release);
    stack.call(Method::POST, &path, Some(&signature)).await
}

/// The bundles' own signatures.
fn signed_bundles(keys: &KeyFolder, request: &SigningRequestView) -> BundleSignatures {
    let random = SystemRandom::new();
    let key = keys.open_bundle_key(None, &random).unwrap();
    let sign = |bundle: &BundleToSign| SignedBundle {
        device_class: bundle.device_class.clone(),
        model_sig: String::from_utf8(key.sign(bundle.manifest_json.as_bytes(), &random).unwrap())
            .unwrap(),
    };
    BundleSignatures {
        key: key.public_key().to_pem(),
        bundles: request.bundles.iter().map(sign).collect(),
    }
}

async fn current(stack: &Stack) -> (TrustedRoot, TrustedTargets) {
    let view: TufTargetsView = stack.get("/tuf/targets").await;
    let root = TrustedRoot::read(view.root_json.as_bytes()).unwrap();
    let targets = read_targets(&root, view.targets_json.unwrap().as_bytes()).unwrap();
    (root, targets)
}

async fn device(stack: &Stack, name: &str) -> Device {
    let claim = claim(stack, &CreateClaim::default()).await;
    Device::enrol(claim, name, Role::Device, None).await
}

async fn assert_served(device: &Device, blobs: impl IntoIterator<Item = Digest>) {
    for blob in blobs {
        let answer = device.fetch(&format!("blobs/{blob}")).await;
        assert_eq!(answer.status(), StatusCode::OK, "{blob}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn release_whose_document_cannot_be_kept_stays_a_draft() {
    let Some(workshop) = Workshop::open().await else {
        return;
    };
    let stack = workshop.serve(tempdir().unwrap()).await;
    workshop.upload(&stack).await;
    let release = draft(&stack, workshop.builds[0]).await;
    let blobs = stack.folder.path().join("blobs/sha256");
    let request = sign_bundles(&stack, &release).await;
    let broken = Broken::folder(&blobs);
    let refused = problem(hand_in(&stack, &request, true).await).await;
    assert_eq!(refused.code, ErrorCode::Internal, "{refused:?}");
    drop(broken);
    let (_, targets) = current(&stack).await;
    assert_eq!(targets.version(), NonZeroU64::MIN, "nothing was published");

    let signed = hand_in(&stack, &request, true).await;
    assert!(signed.status().is_success());
    let device = device(&stack, "press-1").await;
    assert_served(&device, workshop.blobs(&release)).await;
    stack.stop().await;
    workshop.postgres.stop().await;
}

/// A folder with a file in its place, for as long as this value lives.
struct Broken<'a>(&'a Path);

impl<'a> Broken<'a> {
    fn folder(path: &'a Path) -> Self {
        std::fs::rename(path, path.with_extension("aside")).unwrap();
        std::fs::write(path, b"").unwrap();
        Self(path)
    }
}

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        std::fs::remove_file(self.0).unwrap();
        std::fs::rename(self.0.with_extension("aside"), self.0).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn release_whose_bundles_carry_no_signature_of_their_own_is_not_signed() {
    let Some(workshop) = Workshop::open().await else {
        return;
    };
    let stack = workshop.serve(tempdir().unwrap()).await;
    workshop.upload(&stack).await;
    let release = draft(&stack, workshop.builds[0]).await;
    let path = format!("/releases/{}", release.id);
    let (_, current) = current(&stack).await;
    let targets_json = String::from_utf8(current.bytes().to_vec()).unwrap();
    let early = ReleaseSignature { targets_json };
    let answer = stack
        .call(Method::POST, &format!("{path}/signature"), Some(&early))
        .await;
    let refused = problem(answer).await;
    assert_eq!(refused.code, ErrorCode::ActionNotAllowed, "{refused:?}");

    let keys = KeyFolder::new(stack.folder.path().join("keys"));
    let request: SigningRequestView = stack.get(&format!("{path}/signing-request")).await;
    let good = signed_bundles(&keys, &request);
    let other_key = tempdir().unwrap();
    let other_key = KeyFolder::new(other_key.path().join("keys"));
    other_key
        .complete_for_development(&SystemRandom::new())
        .unwrap();
    let mut other_bundle = request.clone();
    let manifest = &mut other_bundle.bundles[0].manifest_json;
    *manifest = manifest.replace("\"memory_bytes\":1", "\"memory_bytes\":2");
    let bad = [
        BundleSignatures {
            bundles: Vec::new(),
            ..good.clone()
        },
        BundleSignatures {
            key: signed_bundles(&other_key, &request).key,
            ..good.clone()
        },
        signed_bundles(&keys, &other_bundle),
    ];
    let bundles = format!("{path}/bundle-signatures");
    for signatures in &bad {
        let answer = stack.call(Method::POST, &bundles, Some(signatures)).await;
        let refused = problem(answer).await;
        assert_eq!(refused.code, ErrorCode::InvalidSignature, "{refused:?}");
    }
    let answer = stack.call(Method::POST, &bundles, Some(&good)).await;
    assert!(answer.status().is_success());
    let view: ReleaseView = stack.get(&path).await;
    let model_sig = good.bundles[0].model_sig.as_bytes();
    assert_eq!(view.builds[0].signature, Some(Digest::of(model_sig)));
    assert!(sign(&stack, &release, true).await.status().is_success());
    // What was signed stays as it was signed.
    let answer = stack.call(Method::POST, &bundles, Some(&good)).await;
    let refused = problem(answer).await;
    assert_eq!(refused.code, ErrorCode::ActionNotAllowed, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_with_another_deployer_key_hides_nothing_and_is_signed_for_by_name() {
    let Some(workshop) = Workshop::open().await else {
        return;
    };
    let stack = workshop.serve(tempdir().unwrap()).await;
    workshop.upload(&stack).await;
    let first = draft(&stack, workshop.builds[0]).await;
    assert!(sign(&stack, &first, true).await.status().is_success());
    let (_, targets) = current(&stack).await;
    let old_keys = targets.digest(DEPLOYER_TARGET).unwrap();
    let state = stack.stop().await;
    std::fs::remove_file(state.path().join("keys/deployer.key.json")).unwrap();

    let stack = workshop.serve(state).await;
    let press = device(&stack, "press-1").await;
    assert_served(&press, workshop.blobs(&first)).await;
    assert_served(&press, [old_keys]).await;

    let second = draft(&stack, workshop.builds[1]).await;
    let refused = problem(sign(&stack, &second, false).await).await;
    assert_eq!(refused.code, ErrorCode::InvalidSignature, "{refused:?}");
    let view: ReleaseView = stack.get(&format!("/releases/{}", second.id)).await;
    assert_eq!(view.state, ReleaseState::Draft);
    assert!(sign(&stack, &second, true).await.status().is_success());
    let (_, targets) = current(&stack).await;
    let new_keys = targets.digest(DEPLOYER_TARGET).unwrap();
    assert_ne!(new_keys, old_keys);
    assert_served(&press, workshop.blobs(&second)).await;
    assert_served(&press, [new_keys, old_keys]).await;
    stack.stop().await;
    workshop.postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deployer_key_that_was_let_go_is_not_proposed_again() {
    let Some(workshop) = Workshop::open().await else {
        return;
    };
    let stack = workshop.serve(tempdir().unwrap()).await;
    workshop.upload(&stack).await;
    let release = draft(&stack, workshop.builds[0]).await;
    let proposed = async || -> DeployerKeys {
        let path = format!("/releases/{}/signing-request", release.id);
        let request: SigningRequestView = stack.get(&path).await;
        serde_json::from_str(&request.deployer_json).unwrap()
    };
    let first = proposed().await.keys;
    let fresh = server_key(&stack, "deployer.new.key.json").key();
    assert_eq!(proposed().await.keys, [first[0], fresh]);

    let (root, _) = current(&stack).await;
    let root = String::from_utf8(root.bytes().to_vec()).unwrap();
    let owner = KeyFolder::new(stack.folder.path().join("keys"))
        .open(KeyRole::Targets, None)
        .unwrap();
    let next = signed_targets(&stack, &root, &[fresh], &[&owner]).await;
    let published = stack.call(Method::POST, "/tuf/targets", Some(&next)).await;
    assert!(published.status().is_success());
    assert_eq!(
        proposed().await.keys,
        [fresh],
        "the old key's file still lies there"
    );
    let third = server_key(&stack, "deployer.newer.key.json").key();
    assert_eq!(
        proposed().await.keys,
        [fresh, third],
        "a newer key brings the old one back"
    );
    stack.stop().await;
    workshop.postgres.stop().await;
}
