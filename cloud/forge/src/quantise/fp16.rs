//! 16-bit floating point: weights alone, or the whole computation.

use std::collections::{BTreeMap, HashSet};

use crate::onnx::build::Setting;
use crate::onnx::{DataType, GraphProto, NodeProto, TensorProto, proto};

use super::{QuantiseError, emit};

/// Constants with fewer elements stay in 32 bits: they are settings as often as weights.
const LEAST_ELEMENTS: u64 = 64;
/// The largest finite 16-bit number; larger weights would become infinite.
const LARGEST: f32 = 65_504.0;

/// Operators that ONNX defines for 16 bits and that change no numbers' meaning; the rest computes in 32 bits.
const IN_16_BITS: &[&str] = &[
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Div",
    "Erf",
    "Exp",
    "Flatten",
    "Gather",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "MatMul",
    "Max",
    "MaxPool",
    "Min",
    "Mul",
    "Neg",
    "PRelu",
    "Pad",
    "Relu",
    "Reshape",
    "Sigmoid",
    "Slice",
    "Softplus",
    "Split",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
];

/// Stores large weights in 16 bits, with a cast behind each that ONNX Runtime folds when it loads the graph.
pub(super) fn weights(
    mut graph: GraphProto,
    keep_fp32: &[String],
) -> Result<GraphProto, QuantiseError> {
    let kept = constants_of(&graph, keep_fp32);
    let mut casts = Vec::new();
    for tensor in &mut graph.initializer {
        if !shrinkable(tensor)? || kept.contains(tensor.name()) {
            continue;
        }
        let name = tensor.name().to_owned();
        let stored = format!("{name}/fp16");
        *tensor = TensorProto::from_f32_as_f16(&stored, &tensor.shape()?, &tensor.to_f32()?);
        casts.push(cast(&stored, &name, DataType::Float));
    }
    graph.node.splice(0..0, casts);
    Ok(graph)
}

/// Computes in 16 bits wherever the operator and its neighbours allow; inputs and outputs stay as they are.
///
/// Every node that takes part reads 16-bit twins of its floating-point inputs; its outputs are cast back under
/// their old names. Casts that only undo each other are then left out.
pub(super) fn computation(
    graph: GraphProto,
    keep_fp32: &[String],
) -> Result<GraphProto, QuantiseError> {
    let floats = float_values(&graph);
    let mut writer = Halves {
        constants: BTreeMap::new(),
        made: HashSet::new(),
        nodes: Vec::new(),
    };
    let mut written = graph;
    for tensor in &written.initializer {
        if tensor.element_type()? == DataType::Float
            && tensor.to_f32()?.iter().all(|v| v.abs() <= LARGEST)
        {
            writer
                .constants
                .insert(tensor.name().to_owned(), tensor.clone());
        }
    }
    for node in std::mem::take(&mut written.node) {
        let joins = IN_16_BITS.contains(&node.op_type())
            && matches!(node.domain(), "" | "ai.onnx")
            && !keep_fp32.iter().any(|kept| kept == node.name());
        if joins {
            writer.halve(node, &floats)?
        } else {
            writer.nodes.push(node)
        }
    }
    written.node = writer.nodes;
    for name in writer
        .made
        .iter()
        .filter_map(|twin| twin.strip_suffix(TWIN))
    {
        if let Some(tensor) = writer.constants.get(name) {
            written.initializer.push(TensorProto::from_f32_as_f16(
                twin(name),
                &tensor.shape()?,
                &tensor.to_f32()?,
            ));
        }
    }
    Ok(without_unread_casts(written))
}

const TWIN: &str = "/fp16";

fn twin(value: &str) -> String {
    format!("{value}{TWIN}")
}

struct Halves {
    constants: BTreeMap<String, TensorProto>,
    /// The twins that exist.
    made: HashSet<String>,
    nodes: Vec<NodeProto>,
}

impl Halves {
    fn halve(
        &mut self,
        mut node: NodeProto,
        floats: &HashSet<String>,
    ) -> Result<(), QuantiseError> {
        for input in node
            .input
            .iter_mut()
            .filter(|input| floats.contains(input.as_str()))
        {
            let half = twin(input);
            if self.made.insert(half.clone()) && !self.constants.contains_key(input.as_str()) {
                self.nodes.push(cast(input, &half, DataType::Float16));
            }
            *input = half;
        }
        let outputs: Vec<String> = node
            .output
            .iter()
            .filter(|output| floats.contains(output.as_str()))
            .cloned()
            .collect();
        for output in node
            .output
            .iter_mut()
            .filter(|output| floats.contains(output.as_str()))
        {
            *output = twin(output);
        }
        self.nodes.push(node);
        for output in outputs {
            self.made.insert(twin(&output));
            self.nodes
                .push(cast(&twin(&output), &output, DataType::Float));
        }
        Ok(())
    }
}

/// The values that hold 32-bit floats: constants and inputs by their types, results by what made them.
fn float_values(graph: &GraphProto) -> HashSet<String> {
    let is_float = |value: &&proto::ValueInfoProto| match value
        .r#type
        .as_ref()
        .and_then(|t| t.value.as_ref())
    {
        Some(proto::TypeValue::Tensor(tensor)) => tensor.elem_type() == DataType::Float.number(),
        _ => false,
    };
    let constants = graph
        .initializer
        .iter()
        .filter(|t| t.element_type().is_ok_and(|e| e == DataType::Float));
    let mut floats: HashSet<String> = constants.map(|tensor| tensor.name().to_owned()).collect();
    floats.extend(
        graph
            .input
            .iter()
            .filter(is_float)
            .map(|value| value.name().to_owned()),
    );
    for node in &graph.node {
        let follows_input =
            IN_16_BITS.contains(&node.op_type()) || FOLLOWING.contains(&node.op_type());
        let data = if node.op_type() == "Where" {
            node.input.get(1)
        } else {
            node.input.first()
        };
        let casts_to_float = node.op_type() == "Cast"
            && node
                .attribute
                .iter()
                .any(|a| a.name() == "to" && a.i() == i64::from(DataType::Float.number()));
        if casts_to_float || (follows_input && data.is_some_and(|input| floats.contains(input))) {
            floats.extend(node.output.iter().filter(|name| !name.is_empty()).cloned());
        }
    }
    floats
}

/// Operators outside [`IN_16_BITS`] whose result has the type of their data.
const FOLLOWING: &[&str] = &[
    "Abs",
    "Cos",
    "Expand",
    "Identity",
    "InstanceNormalization",
    "LayerNormalization",
    "Log",
    "Pow",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "Resize",
    "Sin",
    "Softmax",
    "Sqrt",
    "Tile",
    "Where",
];

fn shrinkable(tensor: &TensorProto) -> Result<bool, QuantiseError> {
    let large = tensor.element_type()? == DataType::Float && tensor.elements()? >= LEAST_ELEMENTS;
    Ok(large && tensor.to_f32()?.iter().all(|value| value.abs() <= LARGEST))
}

fn constants_of(graph: &GraphProto, nodes: &[String]) -> HashSet<String> {
    let kept = graph
        .node
        .iter()
        .filter(|node| nodes.iter().any(|name| name == node.name()));
    kept.flat_map(|node| node.input.iter().cloned()).collect()
}

fn cast(from: &str, to: &str, data_type: DataType) -> NodeProto {
    emit::node(
        "Cast",
        &[from],
        to,
        vec![("to", Setting::Int(i64::from(data_type.number())))],
    )
}

/// Drops casts whose result nobody reads.
fn without_unread_casts(mut graph: GraphProto) -> GraphProto {
    let read: HashSet<String> = graph
        .node
        .iter()
        .flat_map(|node| node.input.iter().cloned())
        .chain(graph.output.iter().map(|value| value.name().to_owned()))
        .collect();
    let captured = graph
        .node
        .iter()
        .any(|node| node.subgraphs().next().is_some());
    if !captured {
        graph.node.retain(|node| {
            node.op_type() != "Cast" || node.output.iter().any(|output| read.contains(output))
        });
    }
    graph
}
