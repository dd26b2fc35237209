//! The demo, stage by stage.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use espalier_api::{
    build::{BuildState, BuildView, EvaluationView},
    model::ModelVersionView,
    release::{ReleaseState, ReleaseView},
    rollout::{AssignmentDetail, RolloutState, RolloutView},
    tuf::TufTargetsView,
};
use espalier_protocol::id::{ModelVersionId, RolloutId};
use espalier_support::{Operator, programs::checkout, walk};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Arguments, attacks,
    fleet::{DEVICE_CLASS, Fleet, GATEWAY_CLASS, Member},
    picture::Subject,
    record::{DeviceRecord, ModelRecord, Record, ReleaseRecord, SegmentationRecord},
    stages::{Stage, Stages},
    up::Up,
};

/// The line of work that the demo brings to the fleet.
pub const MODEL: &str = "sam";
/// The least IoU of a rendered picture's mask with the exact one.
const LEAST_OVERLAP: f64 = 0.85;
/// How long the whole fleet may take.
const ROLLED_OUT_WITHIN: Duration = Duration::from_secs(120);

/// All that runs after the show.
pub struct Stack {
    up: Up,
    fleet: Fleet,
    _scratch: TempDir,
}

impl Stack {
    /// Says where everything is, and waits for Ctrl-C.
    pub async fn stay(&self, record: &Record) {
        let endpoints = self.up.operator.endpoints();
        let token = self.up.operator.token().unwrap_or_default();
        println!(
            "\nThe attacks were rollouts too: in the console the gateway's last one failed, and it serves on."
        );
        println!("\nEverything stays up until Ctrl-C:");
        println!("  console   {}/#token={token}", endpoints.api);
        println!("  API       {}/docs/", endpoints.api);
        for Member { agent, .. } in &self.fleet.members {
            if let Ok(doors) = agent.doors() {
                println!(
                    "  {:9} http://{}/v1/models/{MODEL}/segment",
                    agent.spec().name,
                    doors.serving
                );
            }
        }
        if let Some(segmentation) = &record.segmentation {
            println!("  overlay   {}", segmentation.overlay_png.display());
        }
        // Nothing else can end the wait; a broken signal handler ends the demo, which is right too.
        let _ = tokio::signal::ctrl_c().await;
        println!("\nstopping ...");
    }

    /// Ends everything in good order.
    ///
    /// # Errors
    /// When a part does not end.
    pub async fn stop(self) -> Result<()> {
        self.fleet.stop().await?;
        self.up.stop().await
    }
}

/// Runs all stages; what each found goes into the record even if a later one fails.
///
/// # Errors
/// The first stage that fails.
pub async fn show(arguments: &Arguments, record: &mut Record) -> Result<Stack> {
    let mut stages = Stages::new();
    let result = run(arguments, record, &mut stages).await;
    record.stages = stages.into_records();
    result
}

async fn run(arguments: &Arguments, record: &mut Record, stages: &mut Stages) -> Result<Stack> {
    let scratch = tempfile::Builder::new()
        .prefix("espalier-demo-")
        .tempdir()
        .context("no scratch folder")?;
    let folder = scratch.path();
    let model = checkout().join("models").join(MODEL);
    let state = folder.join("cloud");
    let up = stages.run("start", |_| Up::start(&state)).await?;
    let operator = &up.operator;

    let version = stages.run("import", |_| operator.import(&model)).await?;
    let builds = stages
        .run("build", |stage| forge(operator, version.id, stage))
        .await?;
    record.full_model = builds
        .first()
        .and_then(evaluation)
        .map(|measured| full_model(&version, measured))
        .transpose()?;
    record.builds = builds
        .iter()
        .filter_map(|build| Some(edge_build(build, evaluation(build)?)))
        .collect();

    let release = stages.run("release", |_| async {
        let ids: Vec<_> = builds.iter().map(|build| build.id).collect();
        operator.release(&ids).await
    });
    let release = release.await?;
    record.release = Some(release_record(operator, &release).await?);

    let fleet = stages.run("enrol", |stage| {
        let folder = folder.join("fleet");
        async move { Fleet::enrol(operator, &folder, &stage).await }
    });
    let fleet = fleet.await?;
    let rollout = stages
        .run("roll out", |stage| roll_out(operator, &release, stage))
        .await?;

    let subject = match &arguments.image {
        Some(path) => Subject::own(path)?,
        None => Subject::rendered(&folder.join("scene")).await?,
    };
    let answers = stages
        .run("segment", |stage| segment(&fleet, &subject, stage))
        .await?;
    record.devices = devices(operator, &fleet, rollout, &answers).await?;
    record.segmentation = Some(segmentation(arguments, &fleet, &subject, &answers).await?);
    check(record, &release)?;

    let refused = stages
        .run("attack", |stage| {
            attacks::offer(operator, &fleet, folder, version.id, stage)
        })
        .await?;
    record.refused = refused;
    Ok(Stack {
        up,
        fleet,
        _scratch: scratch,
    })
}

async fn forge(
    operator: &Operator,
    version: ModelVersionId,
    stage: Stage,
) -> Result<Vec<BuildView>> {
    let mut ordered = Vec::new();
    for class in [DEVICE_CLASS, GATEWAY_CLASS] {
        ordered.push((
            class,
            operator
                .order_build(version, class, &recipe(class, "int8"))
                .await?,
        ));
    }
    let mut builds = Vec::new();
    for (class, id) in ordered {
        let hear = |state: &BuildState| {
            if let BuildState::Running {
                stage: step,
                done,
                total,
                ..
            } = state
            {
                stage.say(format_args!("{class}: {step} {done}/{total}"));
            }
        };
        builds.push(operator.built(id, hear).await?);
    }
    Ok(builds)
}

/// The committed recipe that makes builds of a class in these number formats.
pub fn recipe(class: &str, numbers: &str) -> PathBuf {
    checkout()
        .join("cloud/forge/recipes")
        .join(format!("{class}-{numbers}.toml"))
}

async fn roll_out(operator: &Operator, release: &ReleaseView, stage: Stage) -> Result<RolloutId> {
    let id = operator.roll_out(release.id, "all", 1).await?;
    let hear = |view: &RolloutView| {
        stage.say(format_args!(
            "{} of {} devices serve the release",
            view.counts.active, view.counts.total
        ));
    };
    let ended = operator.ended(id, ROLLED_OUT_WITHIN, hear).await?;
    ensure!(
        matches!(ended.state, RolloutState::Completed { .. }),
        "the rollout ended as {:?}",
        ended.state
    );
    Ok(id)
}

/// Every member segments the same picture with the bytes that it installed.
async fn segment(fleet: &Fleet, subject: &Subject, stage: Stage) -> Result<Vec<Value>> {
    let http = reqwest::Client::new();
    let mut answers = Vec::new();
    for Member { agent, .. } in &fleet.members {
        let answer = agent
            .segment(&http, MODEL, &subject.bytes, &subject.prompt())
            .await?;
        stage.say(format_args!(
            "{} answered in {} ms",
            agent.spec().name,
            answer["latency_ms"]["total"]
        ));
        answers.push(answer);
    }
    Ok(answers)
}

async fn devices(
    operator: &Operator,
    fleet: &Fleet,
    rollout: RolloutId,
    answers: &[Value],
) -> Result<Vec<DeviceRecord>> {
    let assignments = operator.assignments(rollout).await?;
    let mut devices = Vec::new();
    for (Member { agent, via }, answer) in fleet.members.iter().zip(answers) {
        let name = &agent.spec().name;
        let view = operator.device(name).await?;
        let active = view
            .models
            .iter()
            .find(|model| model.model.as_str() == MODEL)
            .and_then(|model| model.active.as_ref());
        let active = active.with_context(|| format!("{name} reported nothing active"))?;
        let assignment = walk::of_device(&assignments, &view.name)
            .with_context(|| format!("{name} has no assignment"))?;
        let bytes_downloaded = match &assignment.detail {
            AssignmentDetail::Active(activation) => activation.bytes_downloaded,
            _ => 0,
        };
        devices.push(DeviceRecord {
            id: name.clone(),
            kind: if agent.spec().gateway {
                "gateway"
            } else {
                "device"
            },
            via,
            release_digest: active.release_digest.to_string(),
            state: assignment.phase.clone(),
            bytes_downloaded,
            served_digest: text(&answer["release_digest"]),
            bundle_digest: text(&answer["bundle_digest"]),
        });
    }
    Ok(devices)
}

/// The overlay is drawn by the gateway's own command, from its installed bytes.
async fn segmentation(
    arguments: &Arguments,
    fleet: &Fleet,
    subject: &Subject,
    answers: &[Value],
) -> Result<SegmentationRecord> {
    let overlay =
        std::path::absolute(&arguments.overlay).context("an overlay path that is none")?;
    let (image, out) = (subject.path.to_string_lossy(), overlay.to_string_lossy());
    let point = format!("{},{}", subject.click.0, subject.click.1);
    fleet
        .gateway()
        .command(&["infer", &image, "--point", &point, "-o", &out])
        .await?;
    let answer = answers.first().context("nobody answered")?;
    Ok(SegmentationRecord {
        image: subject.path.clone(),
        overlay_png: overlay,
        mask_rle: answer["masks"][0]["rle"].clone(),
        iou_with_truth: subject.iou(answer)?,
        latency_ms: answer["latency_ms"]["total"]
            .as_f64()
            .context("an answer without its time")?,
    })
}

/// The demo's claims, checked: all serve the release's digest, and the mask is the object.
fn check(record: &Record, release: &ReleaseView) -> Result<()> {
    let digest = release.digest.to_string();
    for device in &record.devices {
        let agree = device.release_digest == digest && device.served_digest == digest;
        ensure!(
            agree,
            "{} serves {} and not {digest}",
            device.id,
            device.served_digest
        );
    }
    let overlap = record
        .segmentation
        .as_ref()
        .and_then(|segmentation| segmentation.iou_with_truth);
    ensure!(
        overlap.is_none_or(|iou| iou >= LEAST_OVERLAP),
        "the mask overlaps the exact one by {overlap:?}, and {LEAST_OVERLAP} is the least"
    );
    Ok(())
}

fn evaluation(build: &BuildView) -> Option<&EvaluationView> {
    match &build.state {
        BuildState::Passed { evaluation, .. } => Some(evaluation),
        _ => None,
    }
}

/// Agreement with itself is complete, and there is no gate before it.
fn full_model(version: &ModelVersionView, measured: &EvaluationView) -> Result<ModelRecord> {
    let graphs = version.facts["graphs"].as_array();
    let graphs = graphs.context("an imported model without graphs")?;
    Ok(ModelRecord {
        device_class: "cloud".to_owned(),
        bytes: measured.full_bytes,
        params: graphs
            .iter()
            .filter_map(|graph| graph["params"].as_u64())
            .sum(),
        latency_ms_p50: measured.full_latency_ms_p50,
        agreement_iou: 1.0,
        gate: "passed".to_owned(),
    })
}

fn edge_build(build: &BuildView, evaluation: &EvaluationView) -> ModelRecord {
    ModelRecord {
        device_class: build.device_class.to_string(),
        bytes: evaluation.bytes,
        params: evaluation.params,
        latency_ms_p50: evaluation.latency_ms_p50,
        agreement_iou: evaluation.agreement_iou,
        gate: "passed".to_owned(),
    }
}

/// The signatures are those of the TUF targets that name the release.
async fn release_record(operator: &Operator, release: &ReleaseView) -> Result<ReleaseRecord> {
    ensure!(
        matches!(release.state, ReleaseState::Signed { .. }),
        "the release was not signed"
    );
    let targets: TufTargetsView = operator.get("/tuf/targets").await?;
    let signed = targets
        .targets_json
        .context("the release is signed, but there are no targets")?;
    let signed: Value = serde_json::from_str(&signed).context("targets that are no JSON")?;
    let signatures = signed["signatures"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| text(&one["keyid"]));
    Ok(ReleaseRecord {
        id: release.id.to_string(),
        digest: release.digest.to_string(),
        signatures: signatures.collect(),
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
