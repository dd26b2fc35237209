//! Named weights outside of any framework: begun, read from ONNX, kept in checkpoints.

use std::collections::BTreeMap;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::network::{Init, Layer, Network, Shape};
use crate::onnx::{self, Limits, ModelProto, OnnxError};

/// An array of numbers with its dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its dimensions.
    pub dims: Vec<usize>,
    /// Its numbers, row by row; as many as the dimensions say.
    pub values: Vec<f32>,
}

/// Arrays by name, in the order of their names.
pub type Arrays = BTreeMap<String, Array>;

/// Why a backbone could not be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The file holds another network.
    #[error(
        "the backbone's convolution {at} has weights {found:?} where {layer} needs {needed:?}; it is not MobileNetV2 with folded normalisation"
    )]
    Shape {
        /// Which convolution of the file, from 0.
        at: usize,
        /// The layer that it should fill.
        layer: String,
        /// Its dimensions in the file.
        found: Vec<usize>,
        /// The dimensions that the layer needs.
        needed: Vec<usize>,
    },
    /// The file holds too few convolutions.
    #[error("the backbone has {found} convolutions, {needed} are needed; it is not MobileNetV2")]
    TooFew {
        /// How many it has.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
}

/// First weights for these layers.
#[must_use]
pub fn begin<'a>(layers: impl Iterator<Item = &'a Layer>, seed: u64) -> Arrays {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut arrays = Arrays::new();
    for layer in layers {
        let dims = layer.shape.weight_dims();
        let [outputs, inputs, height, width] = dims;
        let deviation = (2.0 / (inputs * height * width) as f32).sqrt();
        let mut normal = |deviation: f32| -> Vec<f32> {
            (0..dims.iter().product())
                .map(|_| deviation * standard_normal(&mut rng))
                .collect()
        };
        let (weight, bias) = match &layer.init {
            Init::Normal => (normal(deviation), 0.0),
            Init::Quiet(factor) => (normal(deviation * factor), 0.0),
            Init::Exactly(row, bias) => (row.repeat(outputs), *bias),
        };
        arrays.insert(
            layer.weight(),
            Array {
                dims: dims.to_vec(),
                values: weight,
            },
        );
        arrays.insert(
            layer.bias(),
            Array {
                dims: vec![outputs],
                values: vec![bias; outputs],
            },
        );
    }
    arrays
}

/// Box and Muller's transform.
fn standard_normal(rng: &mut StdRng) -> f32 {
    let (radius, angle): (f32, f32) = (
        rng.random_range(f32::EPSILON..1.0),
        rng.random_range(0.0..std::f32::consts::TAU),
    );
    (-2.0 * radius.ln()).sqrt() * angle.cos()
}

/// The backbone's weights from an ONNX file. Its convolutions are taken in the order in which they are computed, and
/// each must have the shape of the layer that it fills.
///
/// # Errors
/// [`WeightsError`] when the file is no valid model or another network.
pub fn read_backbone(path: &Path, network: &Network) -> Result<Arrays, WeightsError> {
    let model = onnx::read_file(path, &Limits::default())?;
    let convolutions = convolutions(&model)?;
    let layers: Vec<&Layer> = network.backbone.layers().collect();
    if convolutions.len() < layers.len() {
        return Err(WeightsError::TooFew {
            found: convolutions.len(),
            needed: layers.len(),
        });
    }
    let mut arrays = Arrays::new();
    for (at, (layer, (weight, bias))) in layers.into_iter().zip(convolutions).enumerate() {
        let needed = layer.shape.weight_dims().to_vec();
        if weight.dims != needed {
            return Err(WeightsError::Shape {
                at,
                layer: layer.name.clone(),
                found: weight.dims,
                needed,
            });
        }
        arrays.insert(layer.weight(), weight);
        arrays.insert(layer.bias(), bias);
    }
    Ok(arrays)
}

/// Weights and biases of a graph's convolutions, in order.
fn convolutions(model: &ModelProto) -> Result<Vec<(Array, Array)>, OnnxError> {
    let missing = |name: &str| OnnxError::Invalid(format!("`{name}` is not a constant"));
    let graph = model
        .graph
        .as_ref()
        .ok_or_else(|| OnnxError::Malformed("it has no graph".into()))?;
    let array = |name: Option<&String>| {
        let name = name.map_or("", String::as_str);
        let tensor = graph
            .initializer
            .iter()
            .find(|tensor| tensor.name() == name)
            .ok_or_else(|| missing(name))?;
        Ok(Array {
            dims: tensor.shape()?,
            values: tensor.to_f32()?,
        })
    };
    let nodes = graph.node.iter().filter(|node| node.op_type() == "Conv");
    nodes
        .map(|node| Ok((array(node.input.get(1))?, array(node.input.get(2))?)))
        .collect()
}

/// The number of weights.
#[must_use]
pub fn count(arrays: &Arrays) -> usize {
    arrays.values().map(|array| array.values.len()).sum()
}

/// Whether a layer's weights are shrunk by weight decay: biases and single filters are not.
#[must_use]
pub fn decays(array: &Array) -> bool {
    array.dims.len() == 4 && array.dims[1] > 1
}

/// How many numbers of the stem's weight belong to one output.
pub const STEM_TAPS: usize = 27;

/// The stem as a layer on columns of 27 numbers: [outputs, 27, 1, 1].
#[must_use]
pub fn as_columns(shape: Shape) -> [usize; 4] {
    match shape {
        Shape::Stem { outputs } => [outputs, STEM_TAPS, 1, 1],
        other => other.weight_dims(),
    }
}
