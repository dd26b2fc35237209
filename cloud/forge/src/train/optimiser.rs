//! AdamW with a clipped gradient, a warm-up and a cosine, and a running mean of the weights.
//!
//! It works on plain arrays rather than on a framework's modules, so that a checkpoint is a handful of arrays and a
//! resumed run goes on bit for bit.

use std::collections::BTreeMap;

use super::recipe::StageRecipe;
use super::weights::{Array, Arrays, decays};

const BETAS: (f32, f32) = (0.9, 0.99);
const EPSILON: f32 = 1e-7;
const DECAY: f32 = 0.02;
/// The longest gradient that is followed as it is.
const LONGEST: f32 = 2.0;
/// How slowly the mean follows the weights.
const MEAN: f32 = 0.997;

/// Weights that learn, and what the optimiser remembers about them.
#[derive(Clone, Debug, PartialEq)]
pub struct Learner {
    /// Updates so far.
    pub step: usize,
    /// The weights.
    pub weights: Arrays,
    /// Their running mean, which is what is measured and exported.
    pub mean: Arrays,
    /// Mean gradients.
    pub first: Arrays,
    /// Mean squared gradients.
    pub second: Arrays,
}

/// The gradient holds something that is not a number: learning has to stop before it reaches the weights.
#[derive(Debug, thiserror::Error)]
#[error(
    "the gradient of `{0}` is not finite; lower the learning rate, or resume from the last checkpoint"
)]
pub struct NotFinite(pub String);

impl Learner {
    /// Begins with these weights.
    #[must_use]
    pub fn new(weights: Arrays) -> Self {
        let zeros: Arrays = weights
            .iter()
            .map(|(name, array)| (name.clone(), zeros(array)))
            .collect();
        Self {
            step: 0,
            mean: weights.clone(),
            first: zeros.clone(),
            second: zeros,
            weights,
        }
    }

    /// Follows a gradient.
    ///
    /// # Errors
    /// [`NotFinite`] when the gradient holds an infinity or no number; the weights stay as they were.
    pub fn follow(
        &mut self,
        gradients: &BTreeMap<String, Vec<f32>>,
        stage: &StageRecipe,
    ) -> Result<(), NotFinite> {
        let mut squares = 0.0f64;
        for (name, gradient) in gradients {
            let sum: f64 = gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum();
            if !sum.is_finite() {
                return Err(NotFinite(name.clone()));
            }
            squares += sum;
        }
        let length = squares.sqrt() as f32;
        let shrink = if length > LONGEST {
            LONGEST / length
        } else {
            1.0
        };
        self.step += 1;
        let rate = rate(stage, self.step);
        let corrections = (
            1.0 - BETAS.0.powi(self.step as i32),
            1.0 - BETAS.1.powi(self.step as i32),
        );
        let follow = MEAN.min((1.0 + self.step as f32) / (10.0 + self.step as f32));
        for (name, gradient) in gradients {
            let states = (
                self.weights.get_mut(name),
                self.first.get_mut(name),
                self.second.get_mut(name),
                self.mean.get_mut(name),
            );
            let (Some(weights), Some(first), Some(second), Some(mean)) = states else {
                continue;
            };
            let keep = if decays(weights) {
                1.0 - rate * DECAY
            } else {
                1.0
            };
            let states = weights
                .values
                .iter_mut()
                .zip(&mut first.values)
                .zip(&mut second.values)
                .zip(&mut mean.values);
            for ((((weight, first), second), mean), &gradient) in states.zip(gradient) {
                let gradient = gradient * shrink;
                *first = BETAS.0 * *first + (1.0 - BETAS.0) * gradient;
                *second = BETAS.1 * *second + (1.0 - BETAS.1) * gradient * gradient;
                let step = (*first / corrections.0) / ((*second / corrections.1).sqrt() + EPSILON);
                *weight = *weight * keep - rate * step;
                *mean = follow * *mean + (1.0 - follow) * *weight;
            }
        }
        Ok(())
    }
}

/// The learning rate of a step, counted from 1.
#[must_use]
pub fn rate(stage: &StageRecipe, step: usize) -> f32 {
    let highest = stage.learning_rate as f32;
    if step <= stage.warm_up {
        return highest * step as f32 / stage.warm_up as f32;
    }
    let rest = stage.steps.saturating_sub(stage.warm_up).max(1) as f32;
    let done = ((step - stage.warm_up) as f32 / rest).min(1.0);
    highest * (0.02 + 0.98 * 0.5 * (1.0 + (std::f32::consts::PI * done).cos()))
}

fn zeros(array: &Array) -> Array {
    Array {
        dims: array.dims.clone(),
        values: vec![0.0; array.values.len()],
    }
}
