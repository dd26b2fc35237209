//! The QDQ writer: which values are quantised, and the graph with the quantisers in place.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::onnx::build::Setting;
use crate::onnx::{GraphProto, NodeProto, TensorProto};
use crate::recipe::IntegerFormat;

use super::layers::{self, Layer};
use super::ranges::Ranges;
use super::wiring::Wiring;
use super::{Plan, Precision, QuantiseError, emit, weights};

/// What the writer does at each node and value.
pub(super) struct Choice<'g> {
    /// Layers in 8 bits, by the index of their node.
    layers: BTreeMap<usize, Layer>,
    /// Nodes between them that pass 8 bits on.
    passing: HashSet<usize>,
    /// Values that come out of an integer kernel: everybody reads the quantised version.
    settled: HashSet<&'g str>,
    /// Values made in floating point that a quantised node reads: only those nodes read the quantised version.
    taken_in: HashSet<&'g str>,
}

impl<'g> Choice<'g> {
    /// Decides for a graph and a plan.
    pub(super) fn new(graph: &'g GraphProto, plan: &Plan) -> Self {
        let wiring = Wiring::of(graph);
        let static_layers = layers::layers(graph)
            .into_iter()
            .filter(|layer| plan.of(layer) == Precision::Static);
        let mut choice = Self {
            layers: static_layers.map(|layer| (layer.at, layer)).collect(),
            passing: HashSet::new(),
            settled: HashSet::new(),
            taken_in: HashSet::new(),
        };
        let leading = choice.leading_to_layers(&wiring);
        for (at, node) in graph.node.iter().enumerate() {
            let Some(output) = node.output.first() else {
                continue;
            };
            if choice.layers.contains_key(&at) {
                choice.settled.insert(wiring.settled(output).0);
            } else if leading.contains(&at) && choice.reads_only_settled(node) {
                choice.passing.insert(at);
                choice.settled.insert(wiring.settled(output).0);
            }
        }
        for at in choice.layers.keys() {
            let input = graph.node[*at].input.first().map_or("", String::as_str);
            if !choice.settled.contains(input) {
                choice.taken_in.insert(input);
            }
        }
        choice
    }

    /// Passing nodes whose result ends in an 8-bit layer; before floating-point work they would only lose.
    fn leading_to_layers(&self, wiring: &Wiring<'g>) -> HashSet<usize> {
        let mut leading = HashSet::new();
        for (at, node) in wiring.nodes().iter().enumerate().rev() {
            let Some(output) = node.output.first().filter(|_| layers::passes_8_bits(node)) else {
                continue;
            };
            let (value, _) = wiring.settled(output);
            let useful =
                |reader: &usize| self.layers.contains_key(reader) || leading.contains(reader);
            if wiring.readers(value).iter().any(useful) {
                leading.insert(at);
            }
        }
        leading
    }

    fn reads_only_settled(&self, node: &NodeProto) -> bool {
        layers::data_inputs(node)
            .iter()
            .all(|input| self.settled.contains(input.as_str()))
    }

    /// Every value whose range must be known.
    pub(super) fn values(&self) -> impl Iterator<Item = &'g str> {
        self.settled.iter().chain(&self.taken_in).copied()
    }
}

/// Writes the 8-bit layers of the plan; the others stay as they are.
pub(super) fn apply(
    graph: GraphProto,
    plan: &Plan,
    ranges: &Ranges,
    format: IntegerFormat,
) -> Result<GraphProto, QuantiseError> {
    let choice = Choice::new(&graph, plan);
    if choice.layers.is_empty() {
        return Ok(graph);
    }
    let mut writer = Writer::new(&graph, ranges, format);
    for value in choice.values() {
        writer.declare(value)?;
    }
    for input in graph.input.iter().map(|value| value.name()) {
        writer.take_in(&choice, input);
    }
    for (at, node) in graph.node.iter().enumerate() {
        let mut node = node.clone();
        if let Some(layer) = choice.layers.get(&at) {
            writer.replace_weights(layer, &mut node)?;
        }
        if choice.layers.contains_key(&at) || choice.passing.contains(&at) {
            writer.redirect_inputs(&choice, &mut node);
        }
        writer.place(&choice, node);
    }
    let (nodes, constants) = (writer.nodes, writer.constants);
    let mut written = graph;
    written.node = nodes;
    written.initializer.extend(constants);
    Ok(written)
}

struct Writer<'g> {
    wiring: Wiring<'g>,
    ranges: &'g Ranges,
    format: IntegerFormat,
    scales: HashMap<&'g str, emit::ScaleNames>,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl<'g> Writer<'g> {
    fn new(graph: &'g GraphProto, ranges: &'g Ranges, format: IntegerFormat) -> Self {
        let nodes = Vec::with_capacity(graph.node.len() * 3);
        Self {
            wiring: Wiring::of(graph),
            ranges,
            format,
            scales: HashMap::new(),
            nodes,
            constants: Vec::new(),
        }
    }

    fn declare(&mut self, value: &'g str) -> Result<(), QuantiseError> {
        let range = self
            .ranges
            .get(value)
            .ok_or_else(|| QuantiseError::NoRange(value.to_owned()))?;
        let (names, constants) = emit::activation_scale(value, *range, self.format.activations);
        self.constants.extend(constants);
        self.scales.insert(value, names);
        Ok(())
    }

    /// A floating-point value gets a quantised twin beside it.
    fn take_in(&mut self, choice: &Choice<'_>, value: &str) {
        if choice.taken_in.contains(value)
            && let Some(names) = self.scales.get(value)
        {
            self.nodes
                .extend(emit::quantise_and_back(value, value, &twin(value), names));
        }
    }

    fn redirect_inputs(&self, choice: &Choice<'_>, node: &mut NodeProto) {
        if let Some(input) = node
            .input
            .first_mut()
            .filter(|input| choice.taken_in.contains(input.as_str()))
        {
            *input = twin(input);
        }
    }

    /// Places a node, and the quantisers behind its outputs.
    fn place(&mut self, choice: &Choice<'_>, mut node: NodeProto) {
        let outputs = node.output.clone();
        let mut behind = Vec::new();
        for (output, value) in node.output.iter_mut().zip(&outputs) {
            if choice.settled.contains(value.as_str())
                && let Some(names) = self.scales.get(value.as_str())
            {
                // The value keeps its name for all its readers, graph outputs among them.
                *output = format!("{value}/float");
                behind.extend(emit::quantise_and_back(value, output, value, names));
            }
        }
        self.nodes.push(node);
        self.nodes.extend(behind);
        outputs.iter().for_each(|value| self.take_in(choice, value));
    }

    fn replace_weights(
        &mut self,
        layer: &Layer,
        node: &mut NodeProto,
    ) -> Result<(), QuantiseError> {
        let input_scale = self
            .ranges
            .get(&layer.input)
            .map_or(1.0, |range| range.scale(self.format.activations).0);
        let bias = self.bias(layer)?;
        let floor: Vec<f32> = bias
            .iter()
            .map(|bias| least_weight_scale(*bias, input_scale))
            .collect();
        let Some(tensor) = self.wiring.constant(&layer.weight) else {
            return Ok(());
        };
        let quantised = weights::quantise(tensor, layer.channel_axis, self.format.weights, &floor)?;
        // Named after the node, not the tensor: two layers may share weights and differ in the floor.
        let name = format!("{}/weight", layer.name);
        let (dequantise, constants) =
            emit::dequantised_weights(&name, &quantised, layer.channel_axis);
        node.input[1].clone_from(&dequantise.output[0]);
        self.nodes.push(dequantise);
        self.constants.extend(constants);
        if !bias.is_empty() {
            self.replace_bias(layer, node, &bias, input_scale, &quantised.scales);
        }
        Ok(())
    }

    fn bias(&self, layer: &Layer) -> Result<Vec<f32>, QuantiseError> {
        let tensor = layer
            .bias
            .as_ref()
            .and_then(|bias| self.wiring.constant(bias));
        Ok(tensor
            .map(TensorProto::to_f32)
            .transpose()?
            .unwrap_or_default())
    }

    /// A bias is added to the integer sum, so its scale is that of the sum: input scale × weight scale.
    fn replace_bias(
        &mut self,
        layer: &Layer,
        node: &mut NodeProto,
        bias: &[f32],
        input_scale: f32,
        scales: &[f32],
    ) {
        if bias.len() != scales.len() {
            // A bias that is broadcast (Gemm allows it) stays as it is; the runtime adds it in floating point.
            return;
        }
        let sums: Vec<f32> = scales.iter().map(|scale| scale * input_scale).collect();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "float casts saturate, and the weight scale has a floor"
        )]
        let values: Vec<i32> = bias
            .iter()
            .zip(&sums)
            .map(|(bias, sum)| (bias / sum).round_ties_even() as i32)
            .collect();
        let name = format!("{}/bias", layer.name);
        let (int32, scale, output) = (
            format!("{name}/int32"),
            format!("{name}/scale"),
            format!("{name}/dequantised"),
        );
        self.constants
            .push(TensorProto::from_i32(&int32, &[values.len()], &values));
        self.constants
            .push(TensorProto::from_f32(&scale, &[sums.len()], &sums));
        let axis = vec![("axis", Setting::Int(0))];
        self.nodes.push(emit::node(
            "DequantizeLinear",
            &[&int32, &scale],
            &output,
            axis,
        ));
        node.input[2] = output;
    }
}

fn twin(value: &str) -> String {
    format!("{value}/quantised")
}

/// The least weight scale with which a bias still fits 32 bits, with room for the sum beside it.
fn least_weight_scale(bias: f32, input_scale: f32) -> f32 {
    const ROOM: f32 = (1 << 30) as f32;
    bias.abs() / (input_scale * ROOM)
}
