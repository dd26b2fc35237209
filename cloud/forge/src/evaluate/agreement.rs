//! Agreement with the full model: IoU of the top masks on the same questions.

use espalier_runtime::segmentation::{SegmentError, Timings};
use espalier_runtime::{Mask, Segmenter};
use serde::{Deserialize, Serialize};

use super::cases::{Asking, Case};

/// Mean agreement with the full model; two empty masks count 0, because agreeing on nothing earns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Over all pairs.
    pub mean: f64,
    /// Over the clicks.
    pub click: f64,
    /// Over the boxes.
    pub boxes: f64,
    /// How many pairs there were.
    pub pairs: u64,
}

/// Top masks of a model, for each case and question in order.
pub type Answers = Vec<Vec<Mask>>;

/// What a model answers. `step` is called after each picture.
///
/// # Errors
/// When the model fails on one of them.
pub fn answers(
    model: &Segmenter,
    cases: &[Case],
    step: &mut dyn FnMut(),
) -> Result<Answers, SegmentError> {
    let mut answers = Vec::with_capacity(cases.len());
    for case in cases {
        answers.push(top_masks(model, case)?);
        step();
    }
    Ok(answers)
}

fn top_masks(model: &Segmenter, case: &Case) -> Result<Vec<Mask>, SegmentError> {
    let mut timings = Timings::default();
    let embedding = model.encode(&case.picture, &mut timings)?;
    let mut masks = Vec::with_capacity(case.questions.len());
    for question in &case.questions {
        let answered = model.prompt(&embedding, &question.prompt, &mut timings)?;
        masks.extend(answered.into_iter().take(1).map(|scored| scored.mask));
    }
    Ok(masks)
}

/// Compares the answers of two models to the same cases.
#[must_use]
pub fn compare(cases: &[Case], full: &Answers, build: &Answers) -> Agreement {
    let (mut click, mut boxes) = (Mean::default(), Mean::default());
    for ((case, full), build) in cases.iter().zip(full).zip(build) {
        for ((question, full), build) in case.questions.iter().zip(full).zip(build) {
            let iou = full.iou(build).unwrap_or(0.0);
            match question.asking {
                Asking::Click => click.add(iou),
                Asking::Box => boxes.add(iou),
            }
        }
    }
    Agreement {
        mean: click.and(&boxes).get(),
        click: click.get(),
        boxes: boxes.get(),
        pairs: click.and(&boxes).count,
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            count: self.count + other.count,
        }
    }

    fn get(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum / self.count as f64
        }
    }
}
