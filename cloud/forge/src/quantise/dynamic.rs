//! Dynamic quantisation: `MatMul` and `Gemm` measure their input while they run. No calibration, and for
//! transformers usually faster than static.

use crate::onnx::build::Setting;
use crate::onnx::{DataType, GraphProto, NodeProto, TensorProto};

use crate::recipe::WeightBits;

use super::layers::{self, Layer};
use super::{Plan, Precision, QuantiseError, emit, weights};

pub(super) fn apply(
    mut graph: GraphProto,
    plan: &Plan,
    bits: WeightBits,
) -> Result<GraphProto, QuantiseError> {
    let chosen: Vec<Layer> = layers::layers(&graph)
        .into_iter()
        .filter(|layer| plan.of(layer) == Precision::Dynamic)
        .collect();
    for layer in chosen.iter().rev() {
        let Some(tensor) = graph
            .initializer
            .iter()
            .find(|tensor| tensor.name() == layer.weight)
        else {
            continue;
        };
        let (nodes, constants) = integer_product(layer, tensor, bits)?;
        graph.initializer.extend(constants);
        graph.node.splice(layer.at..=layer.at, nodes);
    }
    Ok(graph)
}

/// The nodes that take a layer's place: quantise the input, multiply integers, scale the product, add the bias.
fn integer_product(
    layer: &Layer,
    tensor: &TensorProto,
    bits: WeightBits,
) -> Result<(Vec<NodeProto>, Vec<TensorProto>), QuantiseError> {
    let quantised = weights::quantise(tensor, layer.channel_axis, bits, &[])?;
    let (shape, values) = columns_last(&quantised, layer.channel_axis);
    let part = |suffix: &str| format!("{}/{suffix}", layer.name);
    let (weight, weight_scale, weight_zero) = (
        part("weight/int8"),
        part("weight/scale"),
        part("weight/zero"),
    );
    let (int8, scale, zero) = (part("input/int8"), part("input/scale"), part("input/zero"));
    let (sum, float, factor) = (part("sum"), part("float"), part("factor"));
    let product = if layer.bias.is_some() {
        part("product")
    } else {
        layer.output.clone()
    };
    let quantise_input = NodeProto {
        output: vec![int8.clone(), scale.clone(), zero.clone()],
        ..emit::node("DynamicQuantizeLinear", &[&layer.input], &int8, vec![])
    };
    let to_float = Setting::Int(i64::from(DataType::Float.number()));
    let mut nodes = vec![
        quantise_input,
        emit::node(
            "MatMulInteger",
            &[&int8, &weight, &zero, &weight_zero],
            &sum,
            vec![],
        ),
        emit::node("Cast", &[&sum], &float, vec![("to", to_float)]),
        emit::node("Mul", &[&scale, &weight_scale], &factor, vec![]),
        emit::node("Mul", &[&float, &factor], &product, vec![]),
    ];
    if let Some(bias) = &layer.bias {
        nodes.push(emit::node("Add", &[&product, bias], &layer.output, vec![]));
    }
    let channels = quantised.scales.len();
    let constants = vec![
        TensorProto::from_i8(&weight, &shape, &values),
        TensorProto::from_f32(&weight_scale, &[channels], &quantised.scales),
        TensorProto::from_i8(&weight_zero, &[channels], &vec![0; channels]),
    ];
    Ok((nodes, constants))
}

/// `MatMulInteger` has no transposition: channels must be the last axis.
fn columns_last(weights: &weights::Int8Weights, axis: usize) -> (Vec<usize>, Vec<i8>) {
    match (weights.shape.as_slice(), axis) {
        ([rows, columns], 0) => {
            let transposed = (0..*columns)
                .flat_map(|c| (0..*rows).map(move |r| weights.values[r * columns + c]));
            (vec![*columns, *rows], transposed.collect())
        }
        _ => (weights.shape.clone(), weights.values.clone()),
    }
}
