//! Nodes and constants that quantised graphs are written with.

use std::collections::HashSet;

use crate::onnx::build::{Setting, attribute};
use crate::onnx::{GraphProto, NodeProto, TensorProto};
use crate::recipe::Signedness;

use super::ranges::Range;
use super::weights::Int8Weights;

/// A node with one output, named after it.
pub(super) fn node(
    operator: &str,
    inputs: &[&str],
    output: &str,
    settings: Vec<(&str, Setting)>,
) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        name: Some(format!("{operator}/{output}")),
        op_type: Some(operator.to_owned()),
        attribute: settings
            .into_iter()
            .map(|(name, setting)| attribute(name, setting))
            .collect(),
        ..NodeProto::default()
    }
}

/// Names of the constants that hold a value's scale and zero point.
pub(super) struct ScaleNames {
    pub(super) scale: String,
    pub(super) zero: String,
}

/// The scale and zero point of an activation.
pub(super) fn activation_scale(
    value: &str,
    range: Range,
    signedness: Signedness,
) -> (ScaleNames, [TensorProto; 2]) {
    let names = ScaleNames {
        scale: format!("{value}/scale"),
        zero: format!("{value}/zero"),
    };
    let (scale, zero) = range.scale(signedness);
    let zero = match signedness {
        Signedness::Unsigned => {
            TensorProto::from_u8(&names.zero, &[], &[u8::try_from(zero).unwrap_or(0)])
        }
        Signedness::Signed => {
            TensorProto::from_i8(&names.zero, &[], &[i8::try_from(zero).unwrap_or(0)])
        }
    };
    let constants = [TensorProto::from_f32(&names.scale, &[], &[scale]), zero];
    (names, constants)
}

/// `QuantizeLinear` and `DequantizeLinear` from `from` by way of `{value}/int8` to `to`.
pub(super) fn quantise_and_back(
    value: &str,
    from: &str,
    to: &str,
    names: &ScaleNames,
) -> [NodeProto; 2] {
    let int8 = format!("{value}/int8");
    [
        node(
            "QuantizeLinear",
            &[from, &names.scale, &names.zero],
            &int8,
            vec![],
        ),
        node(
            "DequantizeLinear",
            &[&int8, &names.scale, &names.zero],
            to,
            vec![],
        ),
    ]
}

/// Stored 8-bit weights with the node that makes floating-point ones of them, in the QDQ form that ONNX Runtime
/// fuses into integer kernels. The node's output is `{name}/dequantised`.
pub(super) fn dequantised_weights(
    name: &str,
    weights: &Int8Weights,
    axis: usize,
) -> (NodeProto, [TensorProto; 3]) {
    let channels = weights.scales.len();
    let (int8, scale, zero) = (
        format!("{name}/int8"),
        format!("{name}/scale"),
        format!("{name}/zero"),
    );
    let output = format!("{name}/dequantised");
    let axis = Setting::Int(i64::try_from(axis).unwrap_or(0));
    let node = node(
        "DequantizeLinear",
        &[&int8, &scale, &zero],
        &output,
        vec![("axis", axis)],
    );
    let constants = [
        TensorProto::from_i8(int8, &weights.shape, &weights.values),
        TensorProto::from_f32(scale, &[channels], &weights.scales),
        TensorProto::from_i8(zero, &[channels], &vec![0; channels]),
    ];
    (node, constants)
}

/// Removes the constants that nothing reads any more, also from the inputs, where older files list them.
pub(super) fn without_unused_constants(mut graph: GraphProto) -> GraphProto {
    let mut read = HashSet::new();
    collect_reads(&graph, &mut read);
    let unused: HashSet<String> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name().to_owned())
        .filter(|name| !read.contains(name))
        .collect();
    graph
        .initializer
        .retain(|tensor| !unused.contains(tensor.name()));
    graph.input.retain(|value| !unused.contains(value.name()));
    graph
}

fn collect_reads(graph: &GraphProto, read: &mut HashSet<String>) {
    read.extend(
        graph
            .node
            .iter()
            .flat_map(|node| node.input.iter().cloned()),
    );
    read.extend(graph.output.iter().map(|value| value.name().to_owned()));
    graph
        .node
        .iter()
        .flat_map(NodeProto::subgraphs)
        .for_each(|subgraph| collect_reads(subgraph, read));
}
