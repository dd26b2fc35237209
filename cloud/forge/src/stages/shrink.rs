//! Second stage: the build's graphs.

use std::collections::BTreeMap;

use espalier_protocol::BundlePath;
use espalier_protocol::manifest::{MODEL_FILE, ModelDescription};
use espalier_protocol::{Digest, digest::Hasher};
use espalier_runtime::GraphOptions;
use espalier_runtime::graph::NamedTensors;
use serde::{Deserialize, Serialize};

use crate::evaluate::cases::{Purpose, pairs};
use crate::onnx::{self, Limits, ModelProto};
use crate::quantise::layers::{Layer, layers};
use crate::quantise::ranges::Ranges;
use crate::quantise::{self, Plan, Precision, QuantiseError, calibrate};
use crate::recipe::Method;
use crate::sandbox::spawn::Progress;

use super::prepare::write_model;
use super::tuning::{self, Tuning};
use super::{Stage, StageError, Task};

/// What the build's graphs became.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shrunk {
    /// Bytes of the graphs.
    pub bytes: u64,
    /// Elements of their weights.
    pub params: u64,
    /// What was done to each graph, and what was left as it is, in words.
    pub notes: Vec<String>,
}

/// A folded graph with what is to be done to it.
pub(super) struct Part {
    pub(super) model: ModelProto,
    pub(super) method: Method,
    pub(super) layers: Vec<Layer>,
    pub(super) plan: Plan,
    pub(super) ranges: Ranges,
}

/// The parts by file.
pub(super) type Parts = BTreeMap<BundlePath, Part>;

pub(super) fn run(task: &Task, say: &mut dyn FnMut(Progress)) -> Result<Shrunk, StageError> {
    let folders = task.folders();
    let description = ModelDescription::parse(&std::fs::read(folders.folded.join(MODEL_FILE))?)
        .map_err(crate::inspect::InspectError::from)?;
    let mut parts = read_parts(task, &description)?;
    calibrate_parts(task, &mut parts, say)?;
    let mut notes = Vec::new();
    if let Some(search) = &task.recipe.quantise.sensitivity {
        let tuning = Tuning::prepare(task, search, say)?;
        notes.extend(tuning::free_sensitive_layers(
            &tuning,
            &description,
            &mut parts,
            say,
        )?);
    }
    let mut stage = Stage::new(say, "quantise", parts.len() as u64);
    let mut built = BTreeMap::new();
    for (file, part) in &parts {
        built.insert(file.clone(), build_graph(task, file, part, &part.plan)?);
        notes.push(describe(file, part));
        stage.step();
    }
    write_model(&folders.build, &description, &built)?;
    let bytes = built
        .keys()
        .map(|file| Ok(file.under(&folders.build).metadata()?.len()));
    Ok(Shrunk {
        bytes: bytes.sum::<Result<u64, std::io::Error>>()?,
        params: built.values().map(crate::inspect::params).sum(),
        notes,
    })
}

fn read_parts(task: &Task, description: &ModelDescription) -> Result<Parts, StageError> {
    let folder = task.folders().folded;
    let recipe = &task.recipe.quantise;
    let files = description.serving.graphs();
    let names: Vec<&str> = files.iter().map(|file| stem(file)).collect();
    if let Some(unknown) = recipe
        .graphs
        .keys()
        .find(|name| !names.contains(&name.as_str()))
    {
        let known = names.join(", ");
        return Err(StageError::Recipe(format!(
            "quantise.graphs names `{unknown}`; the model's graphs are: {known}"
        )));
    }
    let mut parts = Parts::new();
    for file in files {
        let model = onnx::read_file(&file.under(&folder), &Limits::default())?;
        let method = recipe.method_for(stem(file));
        let layers = model.graph.as_ref().map(layers).unwrap_or_default();
        let plan = Plan::new(method, &layers, &recipe.keep_fp32);
        parts.insert(
            file.clone(),
            Part {
                model,
                method,
                layers,
                plan,
                ranges: Ranges::new(),
            },
        );
    }
    Ok(parts)
}

/// The file name without its ending: how recipes name graphs.
fn stem(file: &BundlePath) -> &str {
    let name = file.as_str().rsplit('/').next().unwrap_or_default();
    name.strip_suffix(".onnx").unwrap_or(name)
}

/// Finds the ranges of all activations that some static layer touches, or reads those of an earlier run.
fn calibrate_parts(
    task: &Task,
    parts: &mut Parts,
    say: &mut dyn FnMut(Progress),
) -> Result<(), StageError> {
    if parts
        .values()
        .all(|part| part.plan.count(Precision::Static) == 0)
    {
        return Ok(());
    }
    let key = calibration_key(task, parts)?;
    let cache = task.folders().ranges;
    let mut found = read_ranges(&cache, key).unwrap_or_default();
    if found.is_empty() {
        found = observe(task, parts, say)?;
        std::fs::write(
            &cache,
            serde_json::to_vec(&CachedRanges {
                key,
                graphs: found.clone(),
            })?,
        )?;
    }
    for (file, ranges) in found {
        if let Some(part) = parts.get_mut(&file) {
            part.ranges = ranges;
        }
    }
    Ok(())
}

/// Ranges that a killed run left, good only for the same graphs and the same calibration.
#[derive(Serialize, Deserialize)]
struct CachedRanges {
    key: Digest,
    graphs: BTreeMap<BundlePath, Ranges>,
}

fn calibration_key(task: &Task, parts: &Parts) -> Result<Digest, StageError> {
    let mut hasher = Hasher::new();
    hasher.update(&serde_json::to_vec(&task.recipe.quantise)?);
    for part in parts.values() {
        hasher.update(Digest::of(&onnx::write(&part.model)).as_bytes());
    }
    Ok(hasher.finish())
}

fn read_ranges(cache: &std::path::Path, key: Digest) -> Option<BTreeMap<BundlePath, Ranges>> {
    let cached: CachedRanges = serde_json::from_slice(&std::fs::read(cache).ok()?).ok()?;
    (cached.key == key).then_some(cached.graphs)
}

fn observe(
    task: &Task,
    parts: &Parts,
    say: &mut dyn FnMut(Progress),
) -> Result<BTreeMap<BundlePath, Ranges>, StageError> {
    let calibration = &task.recipe.quantise.calibration;
    let wanted = calibration.pictures.get() as usize * calibration.prompts.get() as usize;
    let cases = pairs(Purpose::Calibration, calibration.seed, wanted);
    let samples = tuning::samples(task, &cases)?;
    let watched = || {
        parts
            .iter()
            .filter(|(_, part)| part.plan.count(Precision::Static) > 0)
    };
    let samples_of = |file: &BundlePath| samples.get(file).map_or(&[][..], Vec::as_slice);
    let steps = watched()
        .map(|(file, _)| calibrate::steps(samples_of(file).len(), calibration))
        .sum();
    let mut stage = Stage::new(say, "calibrate", steps);
    let scratch = task.work.join("observed.onnx");
    let mut found = BTreeMap::new();
    for (file, part) in watched() {
        let values = calibrate::values(&part.model, &part.plan);
        let samples: &[NamedTensors] = samples_of(file);
        let ranges = calibrate::calibrate(
            &part.model,
            &values,
            samples,
            calibration,
            &scratch,
            &mut || stage.step(),
        );
        found.insert(file.clone(), ranges.map_err(failed(file))?);
    }
    std::fs::remove_file(&scratch)?;
    Ok(found)
}

fn failed(file: &BundlePath) -> impl FnOnce(QuantiseError) -> StageError {
    move |source| StageError::Quantise {
        graph: file.to_string(),
        source,
    }
}

/// Writes one graph by a plan.
pub(super) fn build_graph(
    task: &Task,
    file: &BundlePath,
    part: &Part,
    plan: &Plan,
) -> Result<ModelProto, StageError> {
    let keep = &task.recipe.quantise.keep_fp32;
    let built = match part.method {
        Method::Fp16 => quantise::to_fp16(&part.model, true, keep),
        Method::WeightsFp16 => quantise::to_fp16(&part.model, false, keep),
        Method::Full => Ok(part.model.clone()),
        Method::StaticInt8 | Method::DynamicInt8 | Method::WeightsInt8 => quantise::apply(
            &part.model,
            plan,
            &part.ranges,
            task.recipe.device.integers(),
        ),
    };
    built.map_err(failed(file))
}

fn describe(file: &BundlePath, part: &Part) -> String {
    let count = |precision| part.plan.count(precision);
    match part.method {
        Method::Full => format!("{file}: left in 32-bit floating point"),
        Method::Fp16 => format!("{file}: 16-bit floating point"),
        Method::WeightsFp16 => format!("{file}: weights in 16-bit floating point"),
        Method::StaticInt8 | Method::DynamicInt8 | Method::WeightsInt8 => format!(
            "{file}: of {} layers, {} with 8-bit weights and activations, {} with activations quantised at run time, {} with 8-bit weights only, {} as they were",
            part.layers.len(),
            count(Precision::Static),
            count(Precision::Dynamic),
            count(Precision::Weights),
            count(Precision::Full),
        ),
    }
}

/// All the machine's cores: for work whose speed is not measured.
pub(super) fn quick_options() -> GraphOptions {
    let threads = std::thread::available_parallelism().unwrap_or(std::num::NonZeroUsize::MIN);
    GraphOptions {
        threads,
        ..GraphOptions::default()
    }
}
