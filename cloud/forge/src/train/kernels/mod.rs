//! Operations that decide how long a training step takes, with gradients written by hand for the CPU.
//!
//! Burn composes a convolution's gradient from general parts; for pointwise and depthwise layers that costs several
//! times what is needed (a depthwise gradient becomes one convolution for each channel). These kernels do
//! convolution, bias and ReLU6 at once. On any other backend the same operations are composed from Burn's own.

mod add;
mod depthwise;
mod pointwise;
mod upsample;

pub use add::add_relu6;
pub use depthwise::depthwise;
pub use pointwise::pointwise;
pub use upsample::upsample;

use burn::backend::flex::FlexTensor;
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

/// What follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// Clamped to 0 ..= 6: bounded, so that eight bits hold it.
    Relu6,
}

/// The largest value that ReLU6 lets through.
const SIX: f32 = 6.0;

impl Activation {
    fn apply(self, values: &mut [f32]) {
        self.apply_biased(values, 0.0);
    }

    fn apply_biased(self, values: &mut [f32], bias: f32) {
        match self {
            Self::None => values.iter_mut().for_each(|value| *value += bias),
            Self::Relu6 => values
                .iter_mut()
                .for_each(|value| *value = (*value + bias).clamp(0.0, SIX)),
        }
    }

    /// The gradient before the activation, given the one after it and the activation's output.
    fn gradient(self, after: &FlexTensor, output: &FlexTensor) -> FlexTensor {
        let after = after.to_contiguous();
        if self == Self::None {
            return after;
        }
        let [batch, channels, height, width] = dims(output);
        let (after, output) = (Flat::new(&after), Flat::new(output));
        let mut before = vec![0.0; after.values().len()];
        let planes = before
            .par_chunks_mut(height * width)
            .zip(after.values().par_chunks(height * width));
        planes
            .zip(output.values().par_chunks(height * width))
            .for_each(|((before, after), output)| {
                for ((before, &after), &output) in before.iter_mut().zip(after).zip(output) {
                    *before = if output > 0.0 && output < SIX {
                        after
                    } else {
                        0.0
                    };
                }
            });
        tensor(before, [batch, channels, height, width])
    }

    fn compose<const D: usize>(self, tensor: Tensor<D>) -> Tensor<D> {
        match self {
            Self::None => tensor,
            Self::Relu6 => tensor.clamp(0.0, SIX),
        }
    }
}

/// Elements of a tensor, row by row.
struct Flat {
    tensor: FlexTensor,
}

impl Flat {
    fn new(tensor: &FlexTensor) -> Self {
        Self {
            tensor: tensor.to_contiguous(),
        }
    }

    fn values(&self) -> &[f32] {
        self.tensor.as_slice().unwrap_or_default()
    }
}

fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    let shape = tensor.layout().shape();
    std::array::from_fn(|axis| shape[axis])
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

fn add_to(sums: &mut [f32], values: &[f32]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}

/// Sums over pictures, rows and columns: [channels].
fn sum_of_planes(values: &FlexTensor) -> FlexTensor {
    let [_, channels, height, width] = dims(values);
    let values = Flat::new(values);
    let planes: Vec<f32> = values
        .values()
        .par_chunks(height * width)
        .map(|plane| plane.iter().sum())
        .collect();
    let mut sums = vec![0.0; channels];
    for picture in planes.chunks_exact(channels) {
        add_to(&mut sums, picture);
    }
    tensor(sums, [channels])
}
