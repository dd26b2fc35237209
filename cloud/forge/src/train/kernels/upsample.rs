//! Twice the size, each cell four times.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Tensor, module};
use rayon::prelude::*;

use super::{Flat, dims, tensor};

/// Doubles both sides of [batch, channels, height, width] by repeating cells.
#[must_use]
pub fn upsample(x: Tensor<4>) -> Tensor<4> {
    let Ok(primitive) = x.clone().try_into_primitive::<Autodiff<Flex>>() else {
        let [_, _, height, width] = x.dims();
        let options = InterpolateOptions::new(InterpolateMode::Nearest)
            .with_output_size([height * 2, width * 2]);
        return module::interpolate(x, options);
    };
    let (x, node) = primitive.into_parts();
    let output = forward(&x);
    let prepared = Upsample
        .prepare::<NoCheckpointing>([node])
        .compute_bound()
        .stateless(output);
    Tensor::from_primitive::<Autodiff<Flex>>(prepared)
}

#[derive(Debug)]
struct Upsample;

impl Backward<Flex, 1> for Upsample {
    type State = ();

    fn backward(self, ops: Ops<(), 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let after = gradients.consume::<Flex>(&ops.node);
        if let [Some(x)] = ops.parents {
            gradients.register::<Flex>(x.id, backward(&after));
        }
    }
}

fn forward(x: &FlexTensor) -> FlexTensor {
    let [batch, channels, height, width] = dims(x);
    let x = Flat::new(x);
    let mut result = vec![0.0; batch * channels * height * width * 4];
    let planes = result
        .par_chunks_mut(height * width * 4)
        .zip(x.values().par_chunks(height * width));
    planes.for_each(|(result, x)| {
        for (rows, line) in result
            .chunks_exact_mut(width * 4)
            .zip(x.chunks_exact(width))
        {
            let (upper, lower) = rows.split_at_mut(width * 2);
            for (pair, &value) in upper.chunks_exact_mut(2).zip(line) {
                pair.fill(value);
            }
            lower.copy_from_slice(upper);
        }
    });
    tensor(result, [batch, channels, height * 2, width * 2])
}

fn backward(after: &FlexTensor) -> FlexTensor {
    let [batch, channels, height, width] = dims(after);
    let (rows, columns) = (height / 2, width / 2);
    let after = Flat::new(after);
    let mut result = vec![0.0; batch * channels * rows * columns];
    let planes = result
        .par_chunks_mut(rows * columns)
        .zip(after.values().par_chunks(height * width));
    planes.for_each(|(result, after)| {
        for (line, pair) in result
            .chunks_exact_mut(columns)
            .zip(after.chunks_exact(width * 2))
        {
            let (upper, lower) = pair.split_at(width);
            for (at, cell) in line.iter_mut().enumerate() {
                *cell = upper[at * 2] + upper[at * 2 + 1] + lower[at * 2] + lower[at * 2 + 1];
            }
        }
    });
    tensor(result, [batch, channels, rows, columns])
}
