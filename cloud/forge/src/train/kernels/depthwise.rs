//! 3×3 depthwise convolution with padding 1, bias and activation.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::{ConvOptions, ModuleOps};
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, module};
use rayon::prelude::*;

use super::{Activation, Flat, dims, tensor};

/// Weights of one channel.
const TAPS: usize = 9;

/// Depthwise convolution of `x` [batch, channels, height, width] with `weight` [channels, 1, 3, 3] and `bias`
/// [channels]; `stride` is 1 or 2.
#[must_use]
pub fn depthwise(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    stride: usize,
    activation: Activation,
) -> Tensor<4> {
    let primitives = (
        x.clone().try_into_primitive::<Autodiff<Flex>>(),
        weight.clone().try_into_primitive::<Autodiff<Flex>>(),
        bias.clone().try_into_primitive::<Autodiff<Flex>>(),
    );
    let (Ok(x), Ok(weight), Ok(bias)) = primitives else {
        let [_, channels, ..] = x.dims();
        let options = burn::tensor::ops::ConvOptions::new([stride; 2], [1, 1], [1, 1], channels);
        return activation.compose(module::conv2d(x, weight, Some(bias), options));
    };
    let ((x, x_node), (weight, weight_node), (bias, bias_node)) =
        (x.into_parts(), weight.into_parts(), bias.into_parts());
    let output = forward(&x, &weight, bias, stride, activation);
    let prepared = Depthwise
        .prepare::<NoCheckpointing>([x_node, weight_node, bias_node])
        .compute_bound()
        .stateful();
    Tensor::from_primitive::<Autodiff<Flex>>(match prepared {
        OpsKind::Tracked(prepared) => {
            let state = State {
                x,
                weight,
                output: output.clone(),
                stride,
                activation,
            };
            prepared.finish(state, output)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    })
}

#[derive(Debug)]
struct Depthwise;

#[derive(Clone, Debug)]
struct State {
    x: FlexTensor,
    weight: FlexTensor,
    output: FlexTensor,
    stride: usize,
    activation: Activation,
}

impl Backward<Flex, 3> for Depthwise {
    type State = State;

    fn backward(self, ops: Ops<State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let after = gradients.consume::<Flex>(&ops.node);
        let state = ops.state;
        let before = state.activation.gradient(&after, &state.output);
        let [x, weight, bias] = ops.parents;
        if let Some(bias) = bias {
            gradients.register::<Flex>(bias.id, super::sum_of_planes(&before));
        }
        if let Some(weight) = weight {
            gradients.register::<Flex>(weight.id, weight_gradient(&state, &before));
        }
        if let Some(x) = x {
            gradients.register::<Flex>(x.id, x_gradient(&state, before));
        }
    }
}

fn forward(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: FlexTensor,
    stride: usize,
    activation: Activation,
) -> FlexTensor {
    let mut output = convolve(x.clone(), weight.clone(), Some(bias), stride);
    let [_, _, height, width] = dims(&output);
    output
        .storage_mut::<f32>()
        .par_chunks_mut(height * width)
        .for_each(|plane| activation.apply(plane));
    output
}

fn convolve(
    x: FlexTensor,
    weight: FlexTensor,
    bias: Option<FlexTensor>,
    stride: usize,
) -> FlexTensor {
    let [channels, ..] = dims::<4>(&weight);
    let options = ConvOptions::new([stride; 2], [1, 1], [1, 1], channels);
    <Flex as ModuleOps<Flex>>::conv2d(x, weight, bias, options)
}

/// The gradient of the input is the gradient of the output, spread by the stride, convolved with the turned kernel.
fn x_gradient(state: &State, before: FlexTensor) -> FlexTensor {
    let turned: Vec<f32> = {
        let weight = Flat::new(&state.weight);
        weight
            .values()
            .chunks_exact(TAPS)
            .flat_map(|kernel| kernel.iter().rev().copied().collect::<Vec<_>>())
            .collect()
    };
    let turned = tensor(turned, dims::<4>(&state.weight));
    let spread = if state.stride == 1 {
        before
    } else {
        spread(&before, dims(&state.x), state.stride)
    };
    convolve(spread, turned, None, 1)
}

fn spread(before: &FlexTensor, shape: [usize; 4], stride: usize) -> FlexTensor {
    let [_, _, height, width] = shape;
    let [_, _, rows, columns] = dims::<4>(before);
    let before = Flat::new(before);
    let mut result = vec![0.0; shape.iter().product()];
    let planes = result
        .par_chunks_mut(height * width)
        .zip(before.values().par_chunks(rows * columns));
    planes.for_each(|(plane, values)| {
        for (row, values) in values.chunks_exact(columns).enumerate() {
            let line = &mut plane[row * stride * width..][..width];
            for (cell, &value) in line.iter_mut().step_by(stride).zip(values) {
                *cell = value;
            }
        }
    });
    tensor(result, shape)
}

fn weight_gradient(state: &State, before: &FlexTensor) -> FlexTensor {
    let [_, channels, height, width] = dims(&state.x);
    let [_, _, rows, columns] = dims::<4>(before);
    let (x, before) = (Flat::new(&state.x), Flat::new(before));
    let planes: Vec<[f32; TAPS]> = before
        .values()
        .par_chunks(rows * columns)
        .zip(x.values().par_chunks(height * width))
        .map(|(before, x)| {
            plane_gradient(before, x, [rows, columns], [height, width], state.stride)
        })
        .collect();
    let mut gradient = vec![0.0; channels * TAPS];
    for picture in planes.chunks_exact(channels) {
        super::add_to(&mut gradient, picture.as_flattened());
    }
    tensor(gradient, [channels, 1, 3, 3])
}

/// For each tap, the sum over the output plane of gradient × input below the tap.
fn plane_gradient(
    before: &[f32],
    x: &[f32],
    [rows, columns]: [usize; 2],
    [height, width]: [usize; 2],
    stride: usize,
) -> [f32; TAPS] {
    let padded_width = width + 2;
    let mut padded = vec![0.0; padded_width * (height + 2)];
    for (line, padded) in x
        .chunks_exact(width)
        .zip(padded[padded_width..].chunks_exact_mut(padded_width))
    {
        padded[1..=width].copy_from_slice(line);
    }
    let mut sums = [0.0; TAPS];
    for (row, gradient) in before.chunks_exact(columns).take(rows).enumerate() {
        let lines = &padded[row * stride * padded_width..];
        let line = |tap: usize| &lines[tap * padded_width..][..padded_width];
        row_gradient(gradient, [line(0), line(1), line(2)], stride, &mut sums);
    }
    sums
}

/// Adds one row's part; nine chains of additions hide each other's latency.
fn row_gradient(
    gradient: &[f32],
    [upper, middle, lower]: [&[f32]; 3],
    stride: usize,
    sums: &mut [f32; TAPS],
) {
    let [
        mut a,
        mut b,
        mut c,
        mut d,
        mut e,
        mut f,
        mut g,
        mut h,
        mut i,
    ] = *sums;
    let mut at = 0;
    for &gradient in gradient {
        let (up, mid, low) = (&upper[at..at + 3], &middle[at..at + 3], &lower[at..at + 3]);
        a += gradient * up[0];
        b += gradient * up[1];
        c += gradient * up[2];
        d += gradient * mid[0];
        e += gradient * mid[1];
        f += gradient * mid[2];
        g += gradient * low[0];
        h += gradient * low[1];
        i += gradient * low[2];
        at += stride;
    }
    *sums = [a, b, c, d, e, f, g, h, i];
}
