//! Weights in 8 bits: symmetric, one scale for each output channel.

use crate::onnx::{OnnxError, TensorProto};
use crate::recipe::WeightBits;

/// Quantised weights with their scales, in the weights' own layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Int8Weights {
    /// The shape.
    pub shape: Vec<usize>,
    /// The values; the range is symmetric, so -128 never occurs.
    pub values: Vec<i8>,
    /// One scale for each channel: value × scale is the weight.
    pub scales: Vec<f32>,
}

/// Quantises a weight tensor along `axis` to so many bits. `floor` gives a smallest scale by channel, or is empty.
///
/// # Errors
/// When the tensor is not floating point, or a weight is not a finite number.
pub fn quantise(
    tensor: &TensorProto,
    axis: usize,
    bits: WeightBits,
    floor: &[f32],
) -> Result<Int8Weights, OnnxError> {
    let shape = tensor.shape()?;
    let weights = tensor.to_f32()?;
    if !weights.iter().all(|weight| weight.is_finite()) {
        return Err(OnnxError::Tensor {
            tensor: tensor.name().to_owned(),
            problem: "a weight is not a finite number; train or export the model again".to_owned(),
        });
    }
    let channels = Channels::along(&shape, axis);
    let mut largest = vec![0.0_f32; channels.count];
    for (at, weight) in weights.iter().enumerate() {
        let channel = &mut largest[channels.of(at)];
        *channel = channel.max(weight.abs());
    }
    let scales: Vec<f32> = largest
        .iter()
        .enumerate()
        .map(|(at, most)| scale(*most / bits.largest(), floor.get(at)))
        .collect();
    let values = weights
        .iter()
        .enumerate()
        .map(|(at, weight)| round(weight / scales[channels.of(at)], bits))
        .collect();
    Ok(Int8Weights {
        shape,
        values,
        scales,
    })
}

/// A channel of zeros may have any scale; 1 is as good as another.
fn scale(exact: f32, floor: Option<&f32>) -> f32 {
    let scale = exact.max(floor.copied().unwrap_or(0.0));
    if scale > f32::MIN_POSITIVE {
        scale
    } else {
        1.0
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped to the range of i8 before"
)]
fn round(value: f32, bits: WeightBits) -> i8 {
    value
        .round_ties_even()
        .clamp(-bits.largest(), bits.largest()) as i8
}

/// Which channel an element belongs to.
struct Channels {
    count: usize,
    stride: usize,
}

impl Channels {
    fn along(shape: &[usize], axis: usize) -> Self {
        let count = shape.get(axis).copied().unwrap_or(1);
        let stride = shape.iter().skip(axis + 1).product::<usize>().max(1);
        Self { count, stride }
    }

    fn of(&self, element: usize) -> usize {
        element / self.stride % self.count
    }
}

/// The shape in which one scale for each channel multiplies the weights: 1 everywhere but at `axis`.
#[must_use]
pub fn broadcast_shape(rank: usize, axis: usize, channels: usize) -> Vec<usize> {
    (0..rank)
        .map(|at| if at == axis { channels } else { 1 })
        .collect()
}
