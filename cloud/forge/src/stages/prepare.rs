//! First stage: the full model is read, checked, made whole, and rewritten without loss.

use std::collections::BTreeMap;
use std::path::Path;

use espalier_protocol::BundlePath;
use espalier_protocol::manifest::{MODEL_FILE, ModelDescription, Serving};
use espalier_runtime::graph::Optimisation;
use espalier_runtime::{Graph, GraphOptions};

use crate::inspect::{Inspection, inspect};
use crate::onnx::{self, Limits, ModelProto};
use crate::quantise::layers;
use crate::sandbox::spawn::Progress;

use super::folders::fresh;
use super::{Stage, StageError, Task};

/// The IR version of everything that we write: old enough for every runtime, new enough for QDQ.
const IR_VERSION: i64 = 8;

pub(super) fn run(task: &Task, say: &mut dyn FnMut(Progress)) -> Result<Inspection, StageError> {
    let mut stage = Stage::new(say, "inspect", 1);
    let full = inspect(&task.input, &Limits::default())?;
    let description = &full.inspection.description;
    if !matches!(description.serving, Serving::PromptableSegmentation(_)) {
        return Err(StageError::Task(description.serving.task()));
    }
    stage.step();
    let folders = task.folders();
    write_model(&folders.full, description, &full.graphs)?;
    let mut stage = Stage::new(say, "optimise", full.graphs.len() as u64);
    let mut folded = BTreeMap::new();
    for (file, graph) in &full.graphs {
        let mut graph = match task.recipe.optimise.fold {
            true => fold(&file.under(&folders.full), &task.work.join("folded.onnx"))?,
            false => graph.clone(),
        };
        graph.graph.iter_mut().for_each(layers::name_nodes);
        folded.insert(file.clone(), graph);
        stage.step();
    }
    check_kept_nodes(&task.recipe.quantise.keep_fp32, &folded)?;
    write_model(&folders.folded, description, &folded)?;
    Ok(full.inspection)
}

/// ONNX Runtime folds constants and batch normalisation and removes what nobody reads, without using anything
/// that only this machine has.
fn fold(graph: &Path, copy: &Path) -> Result<ModelProto, StageError> {
    let options = GraphOptions {
        optimisation: Optimisation::Portable,
        optimised_copy: Some(copy.to_owned()),
        ..GraphOptions::default()
    };
    Graph::load(graph, &options).map_err(StageError::run("full"))?;
    let mut model = onnx::read_file(copy, &Limits::default())?;
    std::fs::remove_file(copy)?;
    model.ir_version = Some(IR_VERSION);
    // ONNX Runtime adds the operator sets that it could have used.
    model
        .opset_import
        .retain(|set| matches!(set.domain(), "" | "ai.onnx"));
    Ok(model)
}

/// Writes a folder that can be served: graphs and their description.
pub(super) fn write_model(
    folder: &Path,
    description: &ModelDescription,
    graphs: &BTreeMap<BundlePath, ModelProto>,
) -> Result<(), StageError> {
    fresh(folder)?;
    for (file, graph) in graphs {
        onnx::write_file(graph, &file.under(folder))?;
    }
    std::fs::write(
        folder.join(MODEL_FILE),
        serde_json::to_vec_pretty(description)?,
    )?;
    Ok(())
}

fn check_kept_nodes(
    kept: &[String],
    graphs: &BTreeMap<BundlePath, ModelProto>,
) -> Result<(), StageError> {
    let nodes = || {
        graphs
            .values()
            .flat_map(|model| &model.graph)
            .flat_map(|graph| &graph.node)
    };
    let unknown: Vec<&str> = kept
        .iter()
        .filter(|name| !nodes().any(|node| node.name() == **name))
        .map(String::as_str)
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(StageError::Recipe(format!(
        "quantise.keep_fp32 names nodes that no graph has: {}",
        unknown.join(", ")
    )))
}
