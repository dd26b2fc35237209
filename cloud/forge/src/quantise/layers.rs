//! The nodes that carry weights, and the nodes between them that 8-bit numbers can pass through.

use crate::onnx::{GraphProto, NodeProto, TensorProto};

use super::wiring::Wiring;

/// What a layer computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A convolution.
    Conv,
    /// A transposed convolution: only its weights are quantised, ONNX Runtime has no 8-bit kernel.
    ConvTranspose,
    /// `A·B + C` with a constant B.
    Gemm,
    /// `A·B` with a constant B.
    MatMul,
}

/// A node with constant weights.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Index of the node.
    pub at: usize,
    /// Name of the node.
    pub name: String,
    /// What it computes.
    pub kind: Kind,
    /// Its activation input.
    pub input: String,
    /// Its output.
    pub output: String,
    /// Its weights.
    pub weight: String,
    /// The axis of the weights that counts output channels.
    pub channel_axis: usize,
    /// Its constant bias, if it has one.
    pub bias: Option<String>,
}

/// The layers of a graph, in its order: those with floating-point weights inside the file.
#[must_use]
pub fn layers(graph: &GraphProto) -> Vec<Layer> {
    let wiring = Wiring::of(graph);
    graph
        .node
        .iter()
        .enumerate()
        .filter_map(|(at, node)| layer(at, node, &wiring))
        .collect()
}

fn layer(at: usize, node: &NodeProto, wiring: &Wiring<'_>) -> Option<Layer> {
    let kind = match (node.domain(), node.op_type()) {
        ("" | "ai.onnx", "Conv") => Kind::Conv,
        ("" | "ai.onnx", "ConvTranspose") => Kind::ConvTranspose,
        ("" | "ai.onnx", "Gemm") => Kind::Gemm,
        ("" | "ai.onnx", "MatMul") => Kind::MatMul,
        _ => return None,
    };
    let (input, weight) = (node.input.first()?, node.input.get(1)?);
    let weights = wiring.constant(weight)?;
    let bias = node.input.get(2).filter(|name| !name.is_empty());
    let bias_is_constant = bias.is_none_or(|bias| wiring.constant(bias).is_some());
    let usable = weights.to_f32().is_ok() && wiring.constant(input).is_none() && bias_is_constant;
    if !usable {
        return None;
    }
    Some(Layer {
        at,
        name: node.name().to_owned(),
        kind,
        input: input.clone(),
        output: node.output.first()?.clone(),
        weight: weight.clone(),
        channel_axis: channel_axis(kind, node, weights)?,
        bias: bias.cloned(),
    })
}

fn channel_axis(kind: Kind, node: &NodeProto, weights: &TensorProto) -> Option<usize> {
    let number = |name: &str| node.attribute.iter().find(|a| a.name() == name);
    match kind {
        Kind::Conv if weights.dims.len() >= 3 => Some(0),
        Kind::ConvTranspose if weights.dims.len() >= 3 => Some(1),
        Kind::MatMul if weights.dims.len() == 2 => Some(1),
        Kind::Gemm => {
            let is_one = |name: &str| number(name).is_none_or(|a| a.f() == 1.0);
            let untransposed = number("transA").is_none_or(|a| a.i() == 0);
            let transposed_weights = number("transB").is_some_and(|a| a.i() == 1);
            (is_one("alpha") && is_one("beta") && untransposed)
                .then_some(usize::from(!transposed_weights))
        }
        _ => None,
    }
}

/// Whether ONNX Runtime computes this operator in 8 bits when its inputs and output are quantised.
#[must_use]
pub fn passes_8_bits(node: &NodeProto) -> bool {
    let known = [
        "Add",
        "Mul",
        "Concat",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "Sigmoid",
    ];
    let resizes =
        || node.op_type() == "Resize" && !node.attribute.iter().any(|a| a.s() == b"cubic");
    matches!(node.domain(), "" | "ai.onnx") && (known.contains(&node.op_type()) || resizes())
}

/// The inputs of a passing node that carry data, not settings.
#[must_use]
pub fn data_inputs(node: &NodeProto) -> &[String] {
    match node.op_type() {
        "Add" | "Mul" | "Concat" => &node.input,
        _ => node.input.get(..1).unwrap_or_default(),
    }
}

/// Gives every node a name of its own, so that plans and recipes can speak of it.
pub fn name_nodes(graph: &mut GraphProto) {
    let mut seen = std::collections::HashSet::new();
    for (at, node) in graph.node.iter_mut().enumerate() {
        if node.name().is_empty() || !seen.insert(node.name().to_owned()) {
            let stem = node.output.first().cloned().unwrap_or_default();
            let name = format!("{}/{stem}#{at}", node.op_type());
            seen.insert(name.clone());
            node.name = Some(name);
        }
    }
}
