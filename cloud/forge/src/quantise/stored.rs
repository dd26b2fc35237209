//! Weights stored in 8 bits and computed in floating point.
//!
//! Written as `Cast` and `Mul`, not as `DequantizeLinear`: ONNX Runtime folds these two into a constant when
//! it loads the graph, so that the layer runs exactly as fast as with 32-bit weights, and any opset has them.

use crate::onnx::build::Setting;
use crate::onnx::{DataType, GraphProto, NodeProto, TensorProto};

use crate::recipe::WeightBits;

use super::layers::{self, Layer};
use super::{Plan, Precision, QuantiseError, emit, weights};

/// Weights with fewer elements stay as they are: their scales would cost as much as they save.
const LEAST_ELEMENTS: u64 = 256;

pub(super) fn apply(mut graph: GraphProto, plan: &Plan) -> Result<GraphProto, QuantiseError> {
    let chosen: Vec<Layer> = layers::layers(&graph)
        .into_iter()
        .filter(|layer| plan.of(layer) == Precision::Weights)
        .collect();
    let mut before: Vec<(usize, [NodeProto; 2])> = Vec::new();
    for layer in &chosen {
        let Some(tensor) = graph
            .initializer
            .iter()
            .find(|tensor| tensor.name() == layer.weight)
        else {
            continue;
        };
        if tensor.elements()? < LEAST_ELEMENTS {
            continue;
        }
        let (nodes, constants) = stored_weights(layer, tensor)?;
        graph.node[layer.at].input[1].clone_from(&nodes[1].output[0]);
        graph.initializer.extend(constants);
        before.push((layer.at, nodes));
    }
    // From the back, so that the indices in front stay right.
    for (at, nodes) in before.into_iter().rev() {
        graph.node.splice(at..at, nodes);
    }
    Ok(graph)
}

fn stored_weights(
    layer: &Layer,
    tensor: &TensorProto,
) -> Result<([NodeProto; 2], [TensorProto; 2]), QuantiseError> {
    let quantised = weights::quantise(tensor, layer.channel_axis, WeightBits::Eight, &[])?;
    let name = format!("{}/weight", layer.name);
    let (int8, scale) = (format!("{name}/int8"), format!("{name}/scale"));
    let (float, output) = (format!("{name}/float"), format!("{name}/dequantised"));
    let scale_shape = weights::broadcast_shape(
        quantised.shape.len(),
        layer.channel_axis,
        quantised.scales.len(),
    );
    let to_float = Setting::Int(i64::from(DataType::Float.number()));
    let nodes = [
        emit::node("Cast", &[&int8], &float, vec![("to", to_float)]),
        emit::node("Mul", &[&float, &scale], &output, vec![]),
    ];
    let constants = [
        TensorProto::from_i8(&int8, &quantised.shape, &quantised.values),
        TensorProto::from_f32(&scale, &scale_shape, &quantised.scales),
    ];
    Ok((nodes, constants))
}
