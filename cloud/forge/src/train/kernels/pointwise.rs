//! 1×1 convolution, bias and activation.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Shape, Tensor, module};
use rayon::prelude::*;

use super::{Activation, Flat, dims, tensor};

/// 1×1 convolution of `x` [batch, in, height, width] with `weight` [out, in, 1, 1] and `bias` [out].
#[must_use]
pub fn pointwise(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    activation: Activation,
) -> Tensor<4> {
    let primitives = (
        x.clone().try_into_primitive::<Autodiff<Flex>>(),
        weight.clone().try_into_primitive::<Autodiff<Flex>>(),
        bias.clone().try_into_primitive::<Autodiff<Flex>>(),
    );
    let (Ok(x), Ok(weight), Ok(bias)) = primitives else {
        let options = burn::tensor::ops::ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
        return activation.compose(module::conv2d(x, weight, Some(bias), options));
    };
    let ((x, x_node), (weight, weight_node), (bias, bias_node)) =
        (x.into_parts(), weight.into_parts(), bias.into_parts());
    let output = forward(&x, &weight, &bias, activation);
    let prepared = Pointwise
        .prepare::<NoCheckpointing>([x_node, weight_node, bias_node])
        .compute_bound()
        .stateful();
    Tensor::from_primitive::<Autodiff<Flex>>(match prepared {
        OpsKind::Tracked(prepared) => {
            let state = State {
                x,
                weight,
                output: output.clone(),
                activation,
            };
            prepared.finish(state, output)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    })
}

#[derive(Debug)]
struct Pointwise;

#[derive(Clone, Debug)]
struct State {
    x: FlexTensor,
    weight: FlexTensor,
    output: FlexTensor,
    activation: Activation,
}

impl Backward<Flex, 3> for Pointwise {
    type State = State;

    fn backward(self, ops: Ops<State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let after = gradients.consume::<Flex>(&ops.node);
        let [x, weight, bias] = ops.parents;
        let found = backward(&ops.state, &after, x.is_some());
        for (parent, gradient) in [
            (x, found.x),
            (weight, Some(found.weight)),
            (bias, Some(found.bias)),
        ] {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

fn forward(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: &FlexTensor,
    activation: Activation,
) -> FlexTensor {
    let [batch, inputs, height, width] = dims(x);
    let [outputs, ..] = dims::<4>(weight);
    let cells = height * width;
    let columns = x
        .to_contiguous()
        .reshape(Shape::new([batch, inputs, cells]));
    let mut result = Flex::float_matmul(matrix(weight), columns);
    let bias = Flat::new(bias);
    result
        .storage_mut::<f32>()
        .par_chunks_mut(cells)
        .enumerate()
        .for_each(|(plane, values)| {
            activation.apply_biased(values, bias.values()[plane % outputs]);
        });
    result.reshape(Shape::new([batch, outputs, height, width]))
}

struct Found {
    x: Option<FlexTensor>,
    weight: FlexTensor,
    bias: FlexTensor,
}

fn backward(state: &State, after: &FlexTensor, wants_x: bool) -> Found {
    let [batch, inputs, height, width] = dims(&state.x);
    let [outputs, ..] = dims::<4>(&state.weight);
    let cells = height * width;
    let before = state.activation.gradient(after, &state.output);
    let bias = super::sum_of_planes(&before);
    let before = before.reshape(Shape::new([batch, outputs, cells]));
    let columns = state
        .x
        .to_contiguous()
        .reshape(Shape::new([batch, inputs, cells]));
    let of_pictures = Flat::new(&Flex::float_matmul(before.clone(), columns.transpose(1, 2)));
    // Summed in the pictures' order, so that the sum does not depend on which thread was faster.
    let mut weight = vec![0.0; outputs * inputs];
    for of_picture in of_pictures.values().chunks_exact(outputs * inputs) {
        super::add_to(&mut weight, of_picture);
    }
    let x = wants_x.then(|| {
        let gradient = Flex::float_matmul(matrix(&state.weight).transpose(1, 2), before);
        gradient.reshape(Shape::new([batch, inputs, height, width]))
    });
    Found {
        x,
        weight: tensor(weight, [outputs, inputs, 1, 1]),
        bias,
    }
}

/// The weight as a matrix that is the same for every picture: [1, out, in].
fn matrix(weight: &FlexTensor) -> FlexTensor {
    let [outputs, inputs, ..] = dims::<4>(weight);
    weight
        .to_contiguous()
        .reshape(Shape::new([1, outputs, inputs]))
}
