//! How wrong masks and scores are: focal and an overlap, as Segment Anything and its descendants learn with.
//!
//! Two things differ from theirs, because objects of a few cells matter here as much as those that fill the picture.
//! The focal loss is taken relative to the object's area rather than to the picture's, or small objects would
//! not count; and the overlap is Tanimoto's, which is the IoU itself where masks are certain and is greatest at
//! the truth where cells are covered in part (dice ranks the same masks the same way, but flattens towards 1).

use burn::tensor::{Tensor, TensorData, activation};

use super::network::{Answer, MASKS};

/// Weight of the focal loss beside the overlap.
const FOCAL: f32 = 2.0;
/// Cells that are added to an object's area, so that the smallest do not outweigh everything.
const LEAST_AREA: f32 = 64.0;
/// Keeps the overlap of two empty masks finite; far below one cell.
const SPECK: f32 = 0.2;
/// Weight of the alternatives' loss beside the first mask's.
const ALTERNATIVES: f32 = 0.4;

/// The losses of a batch.
pub struct Losses {
    /// What is minimised: one number.
    pub total: Tensor<1>,
    /// Mean IoU of the first mask with the truth, at the masks' own resolution.
    pub first_iou: f32,
}

/// Compares an answer with the truths [batch, 1, rows, columns].
#[must_use]
pub fn losses(answer: &Answer<Tensor<4>>, truths: &Tensor<4>) -> Losses {
    let [batch, masks, ..] = answer.masks.dims();
    let of_masks = mask_losses(answer.masks.clone(), truths.clone());
    let first: Tensor<2> = of_masks.clone().narrow(1, 0, 1);
    let others = of_masks.narrow(1, 1, MASKS - 1).min_dim(1);
    let ious = ious(&answer.masks, truths);
    let device = truths.device();
    let wanted: Tensor<2> =
        Tensor::from_data(TensorData::new(ious.clone(), [batch, masks]), &device);
    let scores: Tensor<2> = answer.scores.clone().reshape([batch, masks]);
    let judged = (scores - wanted).powf_scalar(2.0).mean();
    let total = first.mean() + others.mean() * ALTERNATIVES + judged;
    let first_iou = ious.iter().step_by(masks).sum::<f32>() / batch.max(1) as f32;
    Losses { total, first_iou }
}

/// The loss of every mask: [batch, masks].
fn mask_losses(logits: Tensor<4>, truths: Tensor<4>) -> Tensor<2> {
    let [batch, masks, rows, columns] = logits.dims();
    let cells = rows * columns;
    let logits: Tensor<3> = logits.reshape([batch, masks, cells]);
    let truths: Tensor<3> = truths.reshape([batch, 1, cells]);
    let inside = activation::sigmoid(logits.clone());
    let entropy = activation::softplus(logits.clone(), 1.0) - logits * truths.clone();
    let surprise = inside.clone() - truths.clone();
    let area = truths.clone().sum_dim(2) + LEAST_AREA;
    let focal: Tensor<3> = (surprise.clone() * surprise * entropy).sum_dim(2) / area;
    let shared: Tensor<3> = (inside.clone() * truths.clone()).sum_dim(2);
    let both = (inside.clone() * inside).sum_dim(2) + (truths.clone() * truths).sum_dim(2);
    let overlap = (shared.clone() + SPECK) / (both - shared + SPECK);
    (focal * FOCAL - overlap + 1.0).reshape([batch, masks])
}

/// IoU of every mask with the truth, both cut at one half: [batch · masks].
fn ious(logits: &Tensor<4>, truths: &Tensor<4>) -> Vec<f32> {
    let [_, masks, rows, columns] = logits.dims();
    let cells = rows * columns;
    let logits: Vec<f32> = logits.clone().into_data().try_to_vec().unwrap_or_default();
    let truths: Vec<f32> = truths.clone().into_data().try_to_vec().unwrap_or_default();
    let pairs = logits
        .chunks_exact(cells)
        .enumerate()
        .map(|(at, mask)| (mask, &truths[at / masks * cells..][..cells]));
    pairs.map(|(mask, truth)| iou(mask, truth)).collect()
}

fn iou(mask: &[f32], truth: &[f32]) -> f32 {
    let (mut shared, mut either) = (0u32, 0u32);
    for (&logit, &covered) in mask.iter().zip(truth) {
        let (a, b) = (logit > 0.0, covered > 0.5);
        shared += u32::from(a && b);
        either += u32::from(a || b);
    }
    if either == 0 {
        0.0
    } else {
        shared as f32 / either as f32
    }
}
