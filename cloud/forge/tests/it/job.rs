use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use espalier_forge::job::{self, JobError};
use espalier_forge::sandbox::spawn::WorkerError;
use espalier_protocol::Digest;
use espalier_protocol::job::{BuildJob, EVALUATION_FILE, Evaluation, GateVerdict, JobEvent};
use espalier_protocol::manifest::{BOM_FILE, MANIFEST_FILE, Manifest};
use espalier_protocol::proof::Bom;
use espalier_runtime::{GraphOptions, golden};
use jiff::Timestamp;

use crate::support::{self, on_this_thread, workshop};

const RECIPE: &str = r#"
[device]
class = "device-x86"
arch = "x86_64"
[quantise]
method = "static-int8"
calibration = { pictures = 3, prompts = 2, seed = 1 }
sensitivity = { agreement_iou = 0.5, pairs = 8, seed = 2 }
[held_out]
pairs = 24
golden = 3
[gate]
agreement_iou = 0.9
"#;

/// A job's folder with a small full model and this recipe; the path of its `job.json`.
fn job(folder: &Path, recipe: &str) -> PathBuf {
    support::write_model(&folder.join("input"), 5);
    let job = BuildJob {
        id: "0197a0e0-0000-7000-8000-000000000001".parse().unwrap(),
        model_version: "0197a0e0-0000-7000-8000-000000000002".parse().unwrap(),
        device_class: "device-x86".parse().unwrap(),
        recipe: recipe.to_owned(),
    };
    let file = folder.join("job.json");
    std::fs::write(&file, serde_json::to_vec(&job).unwrap()).unwrap();
    file
}

/// Everything in the folder but what the job was given.
fn left_over(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut left: Vec<String> = names
        .filter(|name| name != "job.json" && name != "input")
        .collect();
    left.sort();
    left
}

fn now() -> Timestamp {
    "2026-11-24T12:00:00.5Z".parse().unwrap()
}

fn run(file: &Path) -> Result<(JobEvent, Vec<JobEvent>), JobError> {
    let workshop = workshop().expect("checked by the caller");
    let mut events = Vec::new();
    let last = on_this_thread(job::run(
        file,
        &workshop,
        &mut |event| events.push(event),
        now,
        std::future::pending(),
    ))?;
    Ok((last, events))
}

#[test]
fn a_full_model_becomes_a_bundle_that_reproduces_its_golden_answers() {
    if workshop().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = job(folder.path(), RECIPE);
    let (last, events) = run(&file).unwrap();
    let JobEvent::Finished { bundle, evaluation } = last else {
        panic!("{last:?}")
    };
    assert_eq!(left_over(folder.path()), [EVALUATION_FILE, "output"]);
    let output = folder.path().join("output");
    let bytes = std::fs::read(output.join(MANIFEST_FILE)).unwrap();
    assert_eq!(Digest::of(&bytes), bundle);
    let manifest = Manifest::parse(&bytes).unwrap();
    assert_eq!(manifest.golden.len(), 3);
    assert_described(folder.path(), &manifest, &evaluation);
    let report = golden::check_folder(&output, &GraphOptions::default()).unwrap();
    assert_eq!(report.inputs, 3);
    assert!(report.least_iou > 0.99, "{report:?}");
    assert_eq!(evaluation.pairs, 24);
    assert!(
        evaluation.bytes < evaluation.full_bytes / 2,
        "{evaluation:?}"
    );
    assert!(
        evaluation.agreement_iou > 0.9 && evaluation.gate == GateVerdict::Passed,
        "{evaluation:?}"
    );
    assert!(
        evaluation.peak_memory_bytes > 1 << 20
            && evaluation.latency_ms_p95 >= evaluation.latency_ms_p50
    );
    let stages: Vec<&str> = events.iter().filter_map(stage).collect();
    for stage in [
        "inspect",
        "optimise",
        "calibrate",
        "quantise",
        "measure",
        "evaluate",
        "bundle",
    ] {
        assert!(
            stages.contains(&stage),
            "no progress of `{stage}`: {stages:?}"
        );
    }
    // A second run finds the work done.
    let (again, events) = run(&file).unwrap();
    assert!(matches!(again, JobEvent::Finished { bundle: same, .. } if same == bundle));
    assert!(events.is_empty());
}

/// The bill of materials is of this bundle, and says what the forge knows: figures, origin, data.
fn assert_described(folder: &Path, manifest: &Manifest, evaluation: &Evaluation) {
    let bytes = std::fs::read(folder.join("output").join(BOM_FILE)).unwrap();
    let listed = &manifest.files[&BOM_FILE.parse().unwrap()];
    assert_eq!(listed.sha256, Digest::of(&bytes));
    let bom = Bom::parse(&bytes).unwrap();
    bom.describes(manifest).unwrap();
    assert_eq!(bom.metadata.timestamp.to_string(), "2026-11-24T12:00:01Z");
    let build = &bom.metadata.component;
    let full = &build.pedigree.as_ref().unwrap().ancestors[0];
    let mut files: Vec<_> = full
        .components
        .iter()
        .map(|file| (file.name.as_str(), file.sha256()))
        .collect();
    files.sort_unstable();
    let given = ["decoder.onnx", "encoder.onnx", "model.json"].map(|name| {
        let bytes = std::fs::read(folder.join("input").join(name)).unwrap();
        (name, Some(Digest::of(&bytes)))
    });
    assert_eq!(files, given);
    let property = |name: &str| {
        let mut all = build.properties.iter();
        all.find(|property| property.name == name)
            .map(|property| property.value.as_str())
    };
    assert_eq!(property("espalier:recipe"), Some(RECIPE));
    let recipe = Digest::of(RECIPE.as_bytes()).to_string();
    assert_eq!(property("espalier:recipe:sha256"), Some(recipe.as_str()));
    let card = build.model_card.as_ref().unwrap();
    let metric = |kind: &str| {
        let mut all = card.quantitative_analysis.performance_metrics.iter();
        all.find(|metric| metric.kind == kind)
            .map(|metric| metric.value.clone())
    };
    let agreement = evaluation.agreement_iou.to_string();
    assert_eq!(metric("agreement_iou"), Some(agreement));
    let latency = evaluation.latency_ms_p95.to_string();
    assert_eq!(metric("latency_ms_p95"), Some(latency));
    let data: Vec<_> = card
        .model_parameters
        .datasets
        .iter()
        .map(|dataset| dataset.name.as_str())
        .collect();
    let expected = [
        "calibration of activations",
        "search for sensitive layers",
        "evaluation",
        "golden inputs in the bundle",
    ];
    assert_eq!(data, expected);
}

fn stage(event: &JobEvent) -> Option<&str> {
    match event {
        JobEvent::Progress { stage, .. } => Some(stage),
        _ => None,
    }
}

/// Killed between the bill of materials and the end, or with one that a worker made up: written anew either way.
#[test]
fn a_job_that_was_killed_while_it_was_sealed_is_sealed_again() {
    let Some(workshop) = workshop() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = job(folder.path(), RECIPE);
    let place = |name: &str| folder.path().join(name);
    let mut answers = BTreeMap::new();
    let mut tell = |event: JobEvent| {
        if stage(&event) == Some("bundle") {
            answers = files_in(&place("done"));
        }
    };
    let ended = job::run(&file, &workshop, &mut tell, now, std::future::pending());
    let JobEvent::Finished { bundle: first, .. } = on_this_thread(ended).unwrap() else {
        panic!("the job did not finish")
    };
    let done = Digest::of(&std::fs::read(&file).unwrap());
    let bundled = format!(r#"{{"job":"{done}","answer":{{"answer":"bundled"}}}}"#);
    answers.insert("bundle.json".into(), bundled.into_bytes());
    for made_up in [false, true] {
        std::fs::create_dir(place("work")).unwrap();
        std::fs::rename(place("output"), place("work/bundle")).unwrap();
        std::fs::remove_file(place(EVALUATION_FILE)).unwrap();
        std::fs::create_dir(place("done")).unwrap();
        for (name, answer) in &answers {
            std::fs::write(place("done").join(name), answer).unwrap();
        }
        if made_up {
            std::fs::write(place("work/bundle").join(BOM_FILE), b"{}").unwrap();
        }
        let (last, events) = run(&file).unwrap();
        assert!(
            matches!(last, JobEvent::Finished { bundle, .. } if bundle == first),
            "{last:?}"
        );
        assert!(events.is_empty(), "a finished stage ran again");
        assert_eq!(left_over(folder.path()), [EVALUATION_FILE, "output"]);
    }
}

fn files_in(folder: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn a_gate_that_the_build_misses_fails_with_the_figures() {
    if workshop().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = job(
        folder.path(),
        &RECIPE.replace("[gate]", "[gate]\nbytes = 100"),
    );
    run(&file).unwrap();
    let report = std::fs::read(folder.path().join(EVALUATION_FILE)).unwrap();
    let evaluation: Evaluation = serde_json::from_slice(&report).unwrap();
    let GateVerdict::Failed { reasons } = evaluation.gate else {
        panic!("the gate passed")
    };
    assert!(
        reasons.len() == 1 && reasons[0].contains("at most 100"),
        "{reasons:?}"
    );
}

#[test]
fn a_broken_model_is_refused_with_its_reason_and_leaves_no_bundle() {
    if workshop().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = job(folder.path(), RECIPE);
    std::fs::write(folder.path().join("input/encoder.onnx"), b"not a graph").unwrap();
    let error = run(&file).unwrap_err();
    assert_eq!(error.code(), "invalid-model");
    assert!(error.to_string().starts_with("encoder.onnx: "), "{error}");
    assert!(!folder.path().join("output").exists());
}

#[test]
fn a_recipe_for_another_class_is_refused_before_any_work() {
    if workshop().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = job(folder.path(), &RECIPE.replace("device-x86", "gateway-x86"));
    assert!(matches!(run(&file), Err(JobError::Class { .. })));
    assert!(left_over(folder.path()).is_empty());
}

#[test]
fn a_recipe_that_names_a_missing_graph_or_node_is_refused() {
    if workshop().is_none() {
        return;
    }
    for (key, name) in [
        ("graphs = { encodr = \"fp16\" }", "encodr"),
        ("keep_fp32 = [\"nowhere\"]", "nowhere"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = job(
            folder.path(),
            &RECIPE.replace("[quantise]", &format!("[quantise]\n{key}")),
        );
        let error = run(&file).unwrap_err();
        assert_eq!(error.code(), "invalid-recipe", "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_cancelled_job_leaves_its_folder_as_it_was() {
    let Some(workshop) = workshop() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = job(folder.path(), RECIPE);
    let (cancel, cancelled) = tokio::sync::oneshot::channel::<()>();
    let mut cancel = Some(cancel);
    let mut tell = |event: JobEvent| {
        if stage(&event) == Some("calibrate")
            && let Some(cancel) = cancel.take()
        {
            cancel.send(()).unwrap();
        }
    };
    let told = async { cancelled.await.unwrap_or_default() };
    let ended = on_this_thread(job::run(&file, &workshop, &mut tell, now, told));
    assert!(
        matches!(ended, Err(JobError::Worker(WorkerError::Cancelled))),
        "{ended:?}"
    );
    assert!(
        left_over(folder.path()).is_empty(),
        "{:?}",
        left_over(folder.path())
    );
}

#[test]
fn a_killed_job_goes_on_with_the_stage_that_was_not_finished() {
    let Some(workshop) = workshop() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = job(folder.path(), RECIPE);
    let mut forge = Command::new(&workshop.program)
        .args(["build", "--json", "--job"])
        .arg(&file)
        .env(
            espalier_runtime::engine::LIBRARY_VARIABLE,
            &workshop.library,
        )
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Killed when the second stage speaks: the first is finished by then.
    let lines = std::io::BufRead::lines(std::io::BufReader::new(forge.stdout.take().unwrap()));
    let reached = lines
        .map_while(Result::ok)
        .any(|line| line.contains("calibrate"));
    forge.kill().unwrap();
    forge.wait().unwrap();
    assert!(reached);
    assert_eq!(left_over(folder.path()), ["done", "work"]);
    let (last, events) = run(&file).unwrap();
    assert!(matches!(last, JobEvent::Finished { .. }));
    assert!(
        events.iter().all(|event| stage(event) != Some("inspect")),
        "a finished stage ran again"
    );
    assert_eq!(left_over(folder.path()), [EVALUATION_FILE, "output"]);
}
