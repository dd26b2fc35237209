//! The import check: what a full model is, or why it is refused.
//!
//! A model is a folder with ONNX graphs and, usually, a `model.json` that says how they are served. The
//! official export of SAM and MobileSAM needs none: it is recognised by the names of its tensors. Every
//! graph is read with limits, checked, and described; nothing is run here.

mod error;
mod external;
mod operators;
mod sam;

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use espalier_protocol::manifest::{
    FORMAT, MAX_MANIFEST_BYTES, MODEL_FILE, ModelDescription, Serving, TensorGraph,
};
use espalier_protocol::{BundlePath, ModelName, name::MAX_NAME_LEN};
use serde::{Deserialize, Serialize};

use crate::onnx::{
    DataType, Limits, ModelProto, TensorProto, TypeProto, ValueInfoProto, proto, read_file,
};

pub use error::InspectError;

/// The most graphs in a model's folder; stops a folder of a million files.
const MAX_GRAPHS: usize = 64;

/// An input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortReport {
    /// The tensor's name.
    pub name: String,
    /// Its element type: `float32`.
    pub element: String,
    /// Its axes: a number, or a name where the size is free; absent when not even the rank is known.
    pub shape: Option<Vec<String>>,
}

/// What one graph is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphReport {
    /// The file, relative to the model's folder.
    pub file: BundlePath,
    /// Bytes of the file, and of the weights outside it.
    pub bytes: u64,
    /// ONNX opset.
    pub opset: i64,
    /// The tool that wrote it.
    pub producer: String,
    /// Its inputs.
    pub inputs: Vec<PortReport>,
    /// Its outputs.
    pub outputs: Vec<PortReport>,
    /// Elements of its floating-point weights.
    pub params: u64,
    /// How often each operator occurs.
    pub operators: BTreeMap<String, u64>,
    /// Files beside it that hold weights, with their sizes.
    pub external: BTreeMap<String, u64>,
}

/// Where the description of a model came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// From its `model.json`.
    Given,
    /// The tensor names are those of the official SAM export.
    SamExport,
    /// A single graph of unknown meaning: tensors in, tensors out.
    SingleGraph,
}

/// What a full model is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// How it is served.
    pub description: ModelDescription,
    /// Who said so.
    pub origin: Origin,
    /// Its graphs.
    pub graphs: Vec<GraphReport>,
}

impl Inspection {
    /// Bytes of all graphs.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.graphs.iter().map(|graph| graph.bytes).sum()
    }

    /// Elements of all weights.
    #[must_use]
    pub fn params(&self) -> u64 {
        self.graphs.iter().map(|graph| graph.params).sum()
    }
}

/// A model whose graphs were read, checked and made whole (no weights outside).
pub struct FullModel {
    /// What it is.
    pub inspection: Inspection,
    /// The graphs by file, in the order of the report.
    pub graphs: BTreeMap<BundlePath, ModelProto>,
}

/// Reads and checks the model at `path`: a folder, or one `.onnx` file.
///
/// # Errors
/// [`InspectError`], by what is wrong and where.
pub fn inspect(path: &Path, limits: &Limits) -> Result<FullModel, InspectError> {
    let (folder, files) = find_graphs(path)?;
    let given = read_description(&folder)?;
    let wanted = given
        .as_ref()
        .map(|description| description.serving.graphs().into_iter().cloned().collect());
    let files = match wanted {
        Some(wanted) => only_described(wanted, &files)?,
        None => files,
    };
    let mut graphs = BTreeMap::new();
    let mut reports = Vec::new();
    for file in files {
        let (model, report) = read_graph(&folder, &file, limits)?;
        reports.push(report);
        graphs.insert(file, model);
    }
    let (description, origin) = match given {
        Some(description) => (description, Origin::Given),
        None => recognise(path, &reports)?,
    };
    check_names(&description.serving, &reports)?;
    Ok(FullModel {
        inspection: Inspection {
            description,
            origin,
            graphs: reports,
        },
        graphs,
    })
}

fn find_graphs(path: &Path) -> Result<(PathBuf, Vec<BundlePath>), InspectError> {
    let unreadable = |source| InspectError::Unreadable {
        path: path.to_owned(),
        source,
    };
    if path.metadata().map_err(unreadable)?.is_file() {
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        return Ok((folder, vec![bundle_path(path)?]));
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file
            .extension()
            .is_some_and(|extension| extension == "onnx")
        {
            files.push(bundle_path(&file)?);
        }
        if files.len() > MAX_GRAPHS {
            return Err(InspectError::TooManyGraphs(files.len()));
        }
    }
    files.sort();
    if files.is_empty() {
        Err(InspectError::NoGraph(path.to_owned()))
    } else {
        Ok((path.to_owned(), files))
    }
}

fn bundle_path(file: &Path) -> Result<BundlePath, InspectError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.parse()
        .map_err(|_| InspectError::FileName(name.chars().take(80).collect()))
}

fn read_description(folder: &Path) -> Result<Option<ModelDescription>, InspectError> {
    let path = folder.join(MODEL_FILE);
    let unreadable = |source| InspectError::Unreadable {
        path: path.clone(),
        source,
    };
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_MANIFEST_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(Some(ModelDescription::parse(&bytes)?))
}

fn only_described(
    wanted: Vec<BundlePath>,
    present: &[BundlePath],
) -> Result<Vec<BundlePath>, InspectError> {
    match wanted.iter().find(|graph| !present.contains(graph)) {
        Some(missing) => Err(InspectError::MissingGraph(missing.clone())),
        None => Ok(wanted),
    }
}

fn read_graph(
    folder: &Path,
    file: &BundlePath,
    limits: &Limits,
) -> Result<(ModelProto, GraphReport), InspectError> {
    let name = file.as_str();
    let path = file.under(folder);
    let mut model = read_file(&path, limits).map_err(|source| InspectError::Onnx {
        file: name.to_owned(),
        source,
    })?;
    let opset = opset(&model);
    if !operators::OPSETS.contains(&opset) {
        return Err(InspectError::Opset {
            file: name.to_owned(),
            found: opset,
        });
    }
    let unknown = operators::unknown(&model);
    if !unknown.is_empty() {
        return Err(InspectError::UnknownOperators {
            file: name.to_owned(),
            operators: unknown,
        });
    }
    let external = external::bring_in(&mut model, name, folder)?;
    let own_bytes = path.metadata().map_or(0, |metadata| metadata.len());
    let report = report(&model, file, own_bytes, opset, external);
    Ok((model, report))
}

/// The version of ONNX's own operator set; 0 when it names none.
#[must_use]
pub fn opset(model: &ModelProto) -> i64 {
    let own = model
        .opset_import
        .iter()
        .find(|set| matches!(set.domain(), "" | "ai.onnx"));
    own.map_or(0, proto::OperatorSetIdProto::version)
}

fn report(
    model: &ModelProto,
    file: &BundlePath,
    own_bytes: u64,
    opset: i64,
    external: BTreeMap<String, u64>,
) -> GraphReport {
    let graph = model.graph.clone().unwrap_or_default();
    // Older exporters list the weights among the inputs.
    let given = |value: &&ValueInfoProto| {
        !graph
            .initializer
            .iter()
            .any(|weight| weight.name() == value.name())
    };
    GraphReport {
        file: file.clone(),
        bytes: own_bytes + external.values().sum::<u64>(),
        opset,
        producer: format!("{} {}", model.producer_name(), model.producer_version())
            .trim()
            .to_owned(),
        inputs: graph.input.iter().filter(given).map(port).collect(),
        outputs: graph.output.iter().map(port).collect(),
        params: params(model),
        operators: operators::count(&graph),
        external,
    }
}

/// Elements of a graph's weights. Shapes and axes (64-bit integers) and the scales and zero points of
/// quantisation are no weights.
#[must_use]
pub fn params(model: &ModelProto) -> u64 {
    let Some(graph) = &model.graph else { return 0 };
    let quantisers = graph
        .node
        .iter()
        .filter(|node| matches!(node.op_type(), "QuantizeLinear" | "DequantizeLinear"));
    let scales: HashSet<&str> = quantisers
        .flat_map(|node| node.input.iter().skip(1).map(String::as_str))
        .collect();
    let is_weight = |tensor: &&TensorProto| {
        let number = !matches!(
            tensor.element_type(),
            Ok(DataType::Int64 | DataType::Bool | DataType::String) | Err(_)
        );
        number && !tensor.dims.is_empty() && !scales.contains(tensor.name())
    };
    graph
        .initializer
        .iter()
        .filter(is_weight)
        .map(|tensor| tensor.elements().unwrap_or(0))
        .sum()
}

fn port(value: &ValueInfoProto) -> PortReport {
    let tensor = match value.r#type.as_ref() {
        Some(TypeProto {
            value: Some(proto::TypeValue::Tensor(tensor)),
            ..
        }) => Some(tensor),
        _ => None,
    };
    let element = tensor.and_then(|tensor| DataType::from_number(tensor.elem_type()));
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    PortReport {
        name: value.name().to_owned(),
        element: element.map_or("not a tensor", DataType::name).to_owned(),
        shape: shape.map(|shape| shape.dim.iter().map(axis).collect()),
    }
}

fn axis(dimension: &proto::DimensionProto) -> String {
    match &dimension.value {
        Some(proto::DimensionValue::Fixed(size)) => size.to_string(),
        Some(proto::DimensionValue::Named(name)) => name.clone(),
        None => "?".to_owned(),
    }
}

fn recognise(
    path: &Path,
    graphs: &[GraphReport],
) -> Result<(ModelDescription, Origin), InspectError> {
    let model = model_name(path)?;
    let described = |serving| ModelDescription {
        format: FORMAT,
        model,
        summary: String::new(),
        serving,
    };
    if let Some(serving) = sam::recognise(graphs) {
        return Ok((
            described(Serving::PromptableSegmentation(serving)),
            Origin::SamExport,
        ));
    }
    match graphs {
        [only] => {
            let serving = Serving::Tensor(TensorGraph {
                graph: only.file.clone(),
            });
            Ok((described(serving), Origin::SingleGraph))
        }
        several => Err(InspectError::Undescribed(several.len())),
    }
}

/// A name from the file or folder: its letters and digits, joined by `-`.
fn model_name(path: &Path) -> Result<ModelName, InspectError> {
    let stem = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase();
    let words = stem
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let slug: String = words
        .collect::<Vec<_>>()
        .join("-")
        .chars()
        .take(MAX_NAME_LEN)
        .collect();
    slug.trim_end_matches('-')
        .parse()
        .map_err(|_| InspectError::FileName(stem.clone()))
}

fn check_names(serving: &Serving, graphs: &[GraphReport]) -> Result<(), InspectError> {
    let Serving::PromptableSegmentation(sam) = serving else {
        return Ok(());
    };
    let graph = |file: &BundlePath| {
        let found = graphs.iter().find(|graph| graph.file == *file);
        found.ok_or_else(|| InspectError::MissingGraph(file.clone()))
    };
    let encoder = graph(&sam.encoder.graph)?;
    encoder.has_inputs([&sam.encoder.input])?;
    encoder.has_outputs(&sam.encoder.outputs)?;
    let decoder = graph(&sam.decoder.graph)?;
    let mask_input = sam
        .decoder
        .mask_input
        .iter()
        .flat_map(|mask| [&mask.mask, &mask.has_mask]);
    let prompts = [&sam.decoder.point_coords, &sam.decoder.point_labels];
    decoder.has_inputs(
        sam.decoder
            .embeddings
            .iter()
            .chain(prompts)
            .chain(mask_input)
            .chain(&sam.decoder.original_size),
    )?;
    decoder.has_outputs([&sam.decoder.masks, &sam.decoder.scores])
}

impl GraphReport {
    fn has_inputs<'a>(
        &self,
        names: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), InspectError> {
        self.has("the input", &self.inputs, names)
    }

    fn has_outputs<'a>(
        &self,
        names: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), InspectError> {
        self.has("the output", &self.outputs, names)
    }

    fn has<'a>(
        &self,
        what: &'static str,
        ports: &[PortReport],
        names: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), InspectError> {
        let missing = names
            .into_iter()
            .find(|name| !ports.iter().any(|port| port.name == **name));
        match missing {
            None => Ok(()),
            Some(name) => Err(InspectError::MissingTensor {
                file: self.file.to_string(),
                what,
                name: name.clone(),
                present: ports.iter().map(|port| port.name.clone()).collect(),
            }),
        }
    }
}
