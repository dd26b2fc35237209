//! Both models at work: samples for calibration, the search for sensitive layers, and the final comparison.

use std::collections::BTreeMap;
use std::path::Path;

use espalier_protocol::BundlePath;
use espalier_protocol::manifest::ModelDescription;
use espalier_runtime::graph::NamedTensors;
use espalier_runtime::segmentation::{SegmentError, Timings};
use espalier_runtime::{ModelFolder, Segmenter, preprocess};

use crate::evaluate::agreement::{Agreement, Answers, answers, compare as compare_answers};
use crate::evaluate::cases::{Case, Purpose, pairs};
use crate::quantise::Plan;
use crate::quantise::sensitivity::{Ranked, search};
use crate::recipe::Sensitivity;
use crate::sandbox::spawn::Progress;

use super::prepare::write_model;
use super::shrink::{Parts, build_graph, quick_options};
use super::{Stage, StageError, Task};

/// Cases on which single layers are ranked; the plan as a whole is judged on all of them.
const RANKING_CASES: usize = 6;

/// Opens one of the job's own model folders on all cores.
pub(super) fn open(folder: &Path, which: &'static str) -> Result<Segmenter, StageError> {
    let folder = ModelFolder::open(folder).map_err(StageError::run(which))?;
    Segmenter::load(&folder, &quick_options()).map_err(StageError::run(which))
}

/// What each graph of the full model is given for these cases.
pub(super) fn samples(
    task: &Task,
    cases: &[Case],
) -> Result<BTreeMap<BundlePath, Vec<NamedTensors>>, StageError> {
    let model = open(&task.folders().full, "full")?;
    gather(&model, cases).map_err(StageError::run("full"))
}

fn gather(
    model: &Segmenter,
    cases: &[Case],
) -> Result<BTreeMap<BundlePath, Vec<NamedTensors>>, SegmentError> {
    let served = model.task();
    let (mut encoder, mut decoder) = (Vec::new(), Vec::new());
    for case in cases {
        let (input, _) = preprocess::to_tensor(&case.picture, &served.encoder.preprocessing);
        encoder.push(vec![(served.encoder.input.clone(), input)]);
        let embedding = model.encode(&case.picture, &mut Timings::default())?;
        for question in &case.questions {
            decoder.push(model.prompt_inputs(&embedding, &question.prompt)?);
        }
    }
    Ok(BTreeMap::from([
        (served.encoder.graph.clone(), encoder),
        (served.decoder.graph.clone(), decoder),
    ]))
}

/// The full model's answers to the tuning cases, and what they are for.
pub(super) struct Tuning<'a> {
    task: &'a Task,
    search: &'a Sensitivity,
    cases: Vec<Case>,
    full: Answers,
}

impl<'a> Tuning<'a> {
    pub(super) fn prepare(
        task: &'a Task,
        search: &'a Sensitivity,
        say: &mut dyn FnMut(Progress),
    ) -> Result<Self, StageError> {
        let cases = pairs(Purpose::Tuning, search.seed, search.pairs.get() as usize);
        let mut stage = Stage::new(say, "tune", cases.len() as u64);
        let model = open(&task.folders().full, "full")?;
        let full =
            answers(&model, &cases, &mut || stage.step()).map_err(StageError::run("full"))?;
        Ok(Self {
            task,
            search,
            cases,
            full,
        })
    }

    /// Agreement over the first `count` cases of a build by a joined plan.
    fn agreement(
        &self,
        description: &ModelDescription,
        parts: &Parts,
        plan: &Plan,
        count: usize,
    ) -> Result<f64, StageError> {
        let folder = self.task.folders().candidate;
        let mut graphs = BTreeMap::new();
        for (file, part) in parts {
            graphs.insert(
                file.clone(),
                build_graph(self.task, file, part, &plan.part(file.as_str()))?,
            );
        }
        write_model(&folder, description, &graphs)?;
        let model = open(&folder, "edge")?;
        let cases = &self.cases[..count.min(self.cases.len())];
        let build = answers(&model, cases, &mut || {}).map_err(StageError::run("edge"))?;
        Ok(compare_answers(cases, &self.full, &build).mean)
    }
}

/// Frees the layers that lose too much, and says which.
pub(super) fn free_sensitive_layers(
    tuning: &Tuning<'_>,
    description: &ModelDescription,
    parts: &mut Parts,
    say: &mut dyn FnMut(Progress),
) -> Result<Vec<String>, StageError> {
    let whole = Plan::joined(parts.iter().map(|(file, part)| (file.as_str(), &part.plan)));
    let found = {
        let parts = &*parts;
        let mut agreement =
            |plan: &Plan| tuning.agreement(description, parts, plan, tuning.cases.len());
        search(
            &whole,
            tuning.search.agreement_iou.get(),
            &mut agreement,
            || rank(tuning, description, parts, &whole, say),
        )?
    };
    for (file, part) in parts.iter_mut() {
        part.plan = found.plan.part(file.as_str());
    }
    let mut notes = vec![format!(
        "agreement on {} tuning pictures: {:.4}",
        tuning.cases.len(),
        found.agreement
    )];
    notes.extend(found.freed.iter().map(|ranked| {
        format!(
            "{}: activations left in floating point (alone in 8 bits it agrees {:.4})",
            ranked.layer, ranked.agreement
        )
    }));
    Ok(notes)
}

fn rank(
    tuning: &Tuning<'_>,
    description: &ModelDescription,
    parts: &Parts,
    whole: &Plan,
    say: &mut dyn FnMut(Progress),
) -> Result<Vec<Ranked>, StageError> {
    let layers: Vec<&String> = whole.static_layers().collect();
    let mut stage = Stage::new(say, "rank layers", layers.len() as u64);
    let mut ranked = Vec::with_capacity(layers.len());
    for layer in layers {
        let alone = Plan::only(layer);
        let agreement = tuning.agreement(description, parts, &alone, RANKING_CASES)?;
        ranked.push(Ranked {
            layer: layer.clone(),
            agreement,
        });
        stage.step();
    }
    Ok(ranked)
}

/// The build against the full model on the held-out cases.
pub(super) fn compare(task: &Task, say: &mut dyn FnMut(Progress)) -> Result<Agreement, StageError> {
    let held_out = &task.recipe.held_out;
    let cases = pairs(
        Purpose::HeldOut,
        held_out.seed,
        held_out.pairs.get() as usize,
    );
    let mut stage = Stage::new(say, "evaluate", cases.len() as u64 * 2);
    let folders = task.folders();
    let mut ask = |folder: &Path, which| {
        let model = open(folder, which)?;
        answers(&model, &cases, &mut || stage.step()).map_err(StageError::run(which))
    };
    let full = ask(&folders.full, "full")?;
    let build = ask(&folders.build, "edge")?;
    Ok(compare_answers(&cases, &full, &build))
}
