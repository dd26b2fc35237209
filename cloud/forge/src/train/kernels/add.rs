//! Addition brought into 0 ..= 6: the end of every residual block.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::Tensor;
use rayon::prelude::*;

use super::{Activation, Flat, SIX, dims, tensor};

/// `a + b`, clamped to 0 ..= 6. Values of different shapes broadcast.
#[must_use]
pub fn add_relu6(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    let same = a.dims() == b.dims();
    let primitives = (
        a.clone().try_into_primitive::<Autodiff<Flex>>(),
        b.clone().try_into_primitive::<Autodiff<Flex>>(),
    );
    let ((Ok(a), Ok(b)), true) = (primitives, same) else {
        return (a + b).clamp(0.0, SIX);
    };
    let ((a, a_node), (b, b_node)) = (a.into_parts(), b.into_parts());
    let output = forward(&a, &b);
    let prepared = AddRelu6
        .prepare::<NoCheckpointing>([a_node, b_node])
        .compute_bound()
        .stateful();
    Tensor::from_primitive::<Autodiff<Flex>>(match prepared {
        OpsKind::Tracked(prepared) => prepared.finish(output.clone(), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    })
}

#[derive(Debug)]
struct AddRelu6;

impl Backward<Flex, 2> for AddRelu6 {
    type State = FlexTensor;

    fn backward(self, ops: Ops<FlexTensor, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let after = gradients.consume::<Flex>(&ops.node);
        let before = Activation::Relu6.gradient(&after, &ops.state);
        for parent in ops.parents.into_iter().flatten() {
            gradients.register::<Flex>(parent.id, before.clone());
        }
    }
}

fn forward(a: &FlexTensor, b: &FlexTensor) -> FlexTensor {
    let shape = dims::<4>(a);
    let plane = shape[2] * shape[3];
    let (a, b) = (Flat::new(a), Flat::new(b));
    let mut sums = vec![0.0; a.values().len()];
    let planes = sums
        .par_chunks_mut(plane)
        .zip(a.values().par_chunks(plane))
        .zip(b.values().par_chunks(plane));
    planes.for_each(|((sums, a), b)| {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = (a + b).clamp(0.0, SIX);
        }
    });
    tensor(sums, shape)
}
