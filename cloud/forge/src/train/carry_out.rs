//! The network's operations, carried out by Burn.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::kernels::{self, Activation};
use super::network::{Algebra, LEAST_WEIGHT, Layer, Shape, Side};
use super::weights::{Array, Arrays, as_columns};

/// Burn's tensors and the weights that they are convolved with.
pub struct CarryOut<'a> {
    device: &'a Device,
    weights: &'a Leaves,
    prompts: usize,
}

/// Weights on a device: those that learn, and those that are frozen.
pub struct Leaves {
    weights: BTreeMap<String, Tensor<4>>,
    biases: BTreeMap<String, Tensor<1>>,
}

impl Leaves {
    /// Puts weights on a device; what comes from `learning` gets gradients.
    #[must_use]
    pub fn new(learning: &Arrays, frozen: &Arrays, device: &Device) -> Self {
        let mut leaves = Self {
            weights: BTreeMap::new(),
            biases: BTreeMap::new(),
        };
        for (arrays, learns) in [(learning, true), (frozen, false)] {
            for (name, array) in arrays {
                leaves.put(name, array, learns, device);
            }
        }
        leaves
    }

    fn put(&mut self, name: &str, array: &Array, learns: bool, device: &Device) {
        let data = TensorData::new(array.values.clone(), array.dims.clone());
        if array.dims.len() == 1 {
            let tensor = Tensor::from_data(data, device);
            self.biases.insert(
                name.to_owned(),
                if learns {
                    tensor.require_grad()
                } else {
                    tensor
                },
            );
        } else {
            let tensor = Tensor::from_data(data, device);
            self.weights.insert(
                name.to_owned(),
                if learns {
                    tensor.require_grad()
                } else {
                    tensor
                },
            );
        }
    }

    /// The gradients of the weights that learn, by name.
    #[must_use]
    pub fn gradients(&self, gradients: &burn::tensor::Gradients) -> BTreeMap<String, Vec<f32>> {
        let weights = self
            .weights
            .iter()
            .filter_map(|(name, leaf)| Some((name, leaf.grad(gradients)?.into_data())));
        let biases = self
            .biases
            .iter()
            .filter_map(|(name, leaf)| Some((name, leaf.grad(gradients)?.into_data())));
        weights
            .chain(biases)
            .map(|(name, data)| (name.clone(), data.try_to_vec().unwrap_or_default()))
            .collect()
    }
}

impl<'a> CarryOut<'a> {
    /// Carries out on `device` with these weights; [`Algebra::spread`] repeats each picture for `prompts` prompts.
    #[must_use]
    pub fn new(device: &'a Device, weights: &'a Leaves, prompts: usize) -> Self {
        Self {
            device,
            weights,
            prompts,
        }
    }

    fn of_values<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), self.device)
    }
}

impl Algebra for CarryOut<'_> {
    type Value = Tensor<4>;

    fn convolve(&mut self, x: &Tensor<4>, layer: &Layer) -> Tensor<4> {
        let weight = self.weights.weights[&layer.weight()].clone();
        let bias = self.weights.biases[&layer.bias()].clone();
        match layer.shape {
            Shape::Pointwise { .. } => {
                kernels::pointwise(x.clone(), weight, bias, layer.activation)
            }
            Shape::Depthwise { stride, .. } => {
                kernels::depthwise(x.clone(), weight, bias, stride, layer.activation)
            }
            Shape::Stem { .. } => stem(
                x,
                weight.reshape(as_columns(layer.shape)),
                bias,
                layer.activation,
            ),
        }
    }

    fn add(&mut self, a: &Tensor<4>, b: &Tensor<4>) -> Tensor<4> {
        a.clone() + b.clone()
    }

    fn add_relu6(&mut self, a: &Tensor<4>, b: &Tensor<4>) -> Tensor<4> {
        kernels::add_relu6(a.clone(), b.clone())
    }

    fn subtract(&mut self, a: &Tensor<4>, b: &Tensor<4>) -> Tensor<4> {
        a.clone() - b.clone()
    }

    fn multiply(&mut self, a: &Tensor<4>, b: &Tensor<4>) -> Tensor<4> {
        a.clone() * b.clone()
    }

    fn divide(&mut self, a: &Tensor<4>, b: &Tensor<4>) -> Tensor<4> {
        a.clone() / b.clone()
    }

    fn affine(&mut self, x: &Tensor<4>, scale: f32, shift: f32) -> Tensor<4> {
        x.clone() * scale + shift
    }

    fn clip(&mut self, x: &Tensor<4>, low: f32, high: f32) -> Tensor<4> {
        x.clone().clamp(low, high)
    }

    fn absolute(&mut self, x: &Tensor<4>) -> Tensor<4> {
        x.clone().abs()
    }

    fn exponential(&mut self, x: &Tensor<4>) -> Tensor<4> {
        x.clone().exp()
    }

    fn sigmoid(&mut self, x: &Tensor<4>) -> Tensor<4> {
        activation::sigmoid(x.clone())
    }

    fn greatest(&mut self, x: &Tensor<4>) -> Tensor<4> {
        x.clone().max_dim(1)
    }

    fn total(&mut self, x: &Tensor<4>) -> Tensor<4> {
        x.clone().sum_dim(1)
    }

    fn mean(&mut self, x: &Tensor<4>) -> Tensor<4> {
        x.clone().mean_dim(3).mean_dim(2)
    }

    fn join(&mut self, parts: &[&Tensor<4>]) -> Tensor<4> {
        Tensor::cat(parts.iter().map(|&part| part.clone()).collect(), 1)
    }

    fn channels(&mut self, x: &Tensor<4>, first: usize, last: usize) -> Tensor<4> {
        x.clone().narrow(1, first, last - first)
    }

    fn row(&mut self, x: &Tensor<4>, at: usize) -> Tensor<4> {
        x.clone().narrow(2, at, 1)
    }

    fn weigh(&mut self, features: &Tensor<4>, weights: &Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = features.dims();
        let [_, maps, ..] = weights.dims();
        let cells = height * width;
        let features: Tensor<3> = features.clone().reshape([batch, channels, cells]);
        let weights: Tensor<3> = weights.clone().reshape([batch, maps, cells]);
        features
            .matmul(weights.swap_dims(1, 2))
            .reshape([batch, channels, maps, 1])
    }

    fn upsample(&mut self, x: &Tensor<4>) -> Tensor<4> {
        kernels::upsample(x.clone())
    }

    fn resample(&mut self, x: &Tensor<4>, down: &Tensor<4>, across: &Tensor<4>) -> Tensor<4> {
        let down = down.clone() / (down.clone().sum_dim(3) + LEAST_WEIGHT);
        let across = across.clone() / (across.clone().sum_dim(2) + LEAST_WEIGHT);
        let rows = columns_mixed(x.clone(), across);
        columns_mixed(rows.swap_dims(2, 3), down.swap_dims(2, 3)).swap_dims(2, 3)
    }

    fn detach(&mut self, x: &Tensor<4>) -> Tensor<4> {
        x.clone().detach()
    }

    fn spread(&mut self, x: &Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let apart: Tensor<5> = x.clone().reshape([batch, 1, channels, height, width]);
        let spread = apart.expand([batch, self.prompts, channels, height, width]);
        spread.reshape([batch * self.prompts, channels, height, width])
    }

    fn centres(&mut self, side: Side, cells: usize, size: f32) -> Tensor<4> {
        let values = (0..cells).map(|cell| (cell as f32 + 0.5) * size).collect();
        let shape = match side {
            Side::Across => [1, 1, 1, cells],
            Side::Down => [1, 1, cells, 1],
        };
        self.of_values(values, shape)
    }

    fn constant(&mut self, numbers: &[f32]) -> Tensor<4> {
        self.of_values(numbers.to_vec(), [1, 1, numbers.len(), 1])
    }
}

/// Mixes the columns of every row [batch, channels, rows, columns] by [batch, 1, columns, new columns]: one large
/// product for each of the batch.
fn columns_mixed(x: Tensor<4>, weights: Tensor<4>) -> Tensor<4> {
    let [batch, channels, rows, columns] = x.dims();
    let [.., new_columns] = weights.dims();
    let lines: Tensor<3> = x.reshape([batch, channels * rows, columns]);
    let weights: Tensor<3> = weights.reshape([batch, columns, new_columns]);
    lines
        .matmul(weights)
        .reshape([batch, channels, rows, new_columns])
}

/// The stem as a pointwise layer on columns of 27 numbers. A picture needs no gradient, so the columns are cut out
/// of the plain numbers.
fn stem(
    picture: &Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    activation: Activation,
) -> Tensor<4> {
    let [batch, channels, height, width] = picture.dims();
    let (rows, columns) = (height / 2, width / 2);
    let pixels: Vec<f32> = picture.clone().into_data().try_to_vec().unwrap_or_default();
    let mut cut = Vec::with_capacity(batch * channels * 9 * rows * columns);
    for plane in pixels.chunks_exact(height * width) {
        for tap in 0..9 {
            for row in 0..rows {
                let line = (row * 2 + tap / 3)
                    .checked_sub(1)
                    .filter(|&line| line < height);
                let line = line.map(|line| &plane[line * width..][..width]);
                cut.extend((0..columns).map(|column| {
                    let at = (column * 2 + tap % 3).checked_sub(1);
                    at.and_then(|at| line?.get(at)).copied().unwrap_or(0.0)
                }));
            }
        }
    }
    let data = TensorData::new(cut, [batch, channels * 9, rows, columns]);
    kernels::pointwise(
        Tensor::from_data(data, &picture.device()),
        weight,
        bias,
        activation,
    )
}
