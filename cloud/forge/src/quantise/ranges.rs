//! The ranges of activations, and the 8-bit scales that follow from them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::recipe::{Calibration, RangeMethod, Signedness};

/// Bins of a histogram.
const BINS: usize = 2048;
/// Levels that 8 bits can tell apart.
const LEVELS: usize = 256;

/// A closed range that holds 0, so that 0 is exact: padding and ReLU depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// At most 0.
    pub low: f32,
    /// At least 0.
    pub high: f32,
}

impl Range {
    /// The smallest range with 0 that holds both.
    #[must_use]
    pub fn holding(low: f32, high: f32) -> Self {
        Self {
            low: low.min(0.0),
            high: high.max(0.0),
        }
    }

    /// Scale and zero point in 8 bits: value = scale × (quantised - zero point).
    #[must_use]
    pub fn scale(self, signedness: Signedness) -> (f32, i32) {
        let span = self.high - self.low;
        let scale = if span > f32::MIN_POSITIVE {
            span / 255.0
        } else {
            1.0
        };
        let lowest = match signedness {
            Signedness::Unsigned => 0,
            Signedness::Signed => -128,
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "0 … 255 by the range's definition"
        )]
        let steps = (-self.low / scale).round_ties_even().clamp(0.0, 255.0) as i32;
        (scale, lowest + steps)
    }
}

/// The ranges of a graph's values, by name.
pub type Ranges = BTreeMap<String, Range>;

/// The values of one tensor over all calibration inputs.
#[derive(Debug, Clone)]
pub struct Histogram {
    low: f32,
    high: f32,
    bins: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// An empty histogram over the exact range that was seen.
    #[must_use]
    pub fn over(seen: Range) -> Self {
        Self {
            low: seen.low,
            high: seen.high,
            bins: vec![0; BINS],
            total: 0,
        }
    }

    /// Counts values.
    pub fn add(&mut self, values: &[f32]) {
        let width = self.high - self.low;
        if width <= 0.0 {
            return;
        }
        let per_unit = BINS as f32 / width;
        for value in values.iter().filter(|value| value.is_finite()) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped to the bins"
            )]
            let bin = ((value - self.low) * per_unit).clamp(0.0, (BINS - 1) as f32) as usize;
            self.bins[bin] += 1;
            self.total += 1;
        }
    }

    /// The range that the method makes of what was counted.
    #[must_use]
    pub fn range(&self, calibration: &Calibration) -> Range {
        let whole = Range::holding(self.low, self.high);
        if self.total == 0 {
            return whole;
        }
        match calibration.method {
            RangeMethod::MinMax => whole,
            RangeMethod::Percentile => self.percentile(calibration.percentile.share()),
            RangeMethod::Entropy => self.least_divergence(),
        }
    }

    fn edge(&self, bin: usize) -> f32 {
        self.low + (self.high - self.low) * bin as f32 / BINS as f32
    }

    /// Cuts the same share of values at both ends.
    fn percentile(&self, share: f64) -> Range {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count"
        )]
        let cut = ((1.0 - share) / 2.0 * self.total as f64) as u64;
        let low = first_past(self.bins.iter(), cut);
        let high = BINS - first_past(self.bins.iter().rev(), cut);
        Range::holding(self.edge(low), self.edge(high.max(low + 1)))
    }

    /// Of the ranges that grow around 0 until they are whole, the one in which 8 bits lose least.
    fn least_divergence(&self) -> Range {
        let candidates = (LEVELS / 2..=BINS).step_by(LEVELS / 8);
        let whole = Range::holding(self.low, self.high);
        let ranges = candidates.map(|kept| {
            let share = kept as f32 / BINS as f32;
            Range {
                low: whole.low * share,
                high: whole.high * share,
            }
        });
        let scored = ranges.map(|range| (self.divergence(range), range));
        scored
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(whole, |(_, range)| range)
    }

    /// Kullback-Leibler divergence of the quantised distribution from the counted one, outliers clipped to the
    /// ends (the way of NVIDIA's TensorRT calibration, GTC 2017, "8-bit inference with TensorRT").
    fn divergence(&self, range: Range) -> f64 {
        let width = (self.high - self.low) / BINS as f32;
        let bin_of = |value: f32| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped to the bins"
            )]
            let bin = ((value - self.low) / width).round().clamp(0.0, BINS as f32) as usize;
            bin
        };
        let (from, to) = (
            bin_of(range.low),
            bin_of(range.high).max(bin_of(range.low) + 1).min(BINS),
        );
        let mut clipped: Vec<f64> = self.bins[from..to]
            .iter()
            .map(|count| *count as f64)
            .collect();
        if let Some(first) = clipped.first_mut() {
            *first += self.bins[..from].iter().sum::<u64>() as f64;
        }
        if let Some(last) = clipped.last_mut() {
            *last += self.bins[to..].iter().sum::<u64>() as f64;
        }
        kullback_leibler(&clipped, &coarse(&self.bins[from..to]))
    }
}

/// How many bins from this end are passed before more than `cut` values are.
fn first_past<'a>(bins: impl Iterator<Item = &'a u64>, cut: u64) -> usize {
    let mut passed = 0;
    bins.take_while(|count| {
        passed += **count;
        passed <= cut
    })
    .count()
}

/// The distribution after it went through 8 bits: each level's values spread evenly over its filled bins.
fn coarse(bins: &[u64]) -> Vec<f64> {
    let mut spread = vec![0.0; bins.len()];
    for level in 0..LEVELS.min(bins.len()) {
        let levels = LEVELS.min(bins.len());
        let (from, to) = (
            level * bins.len() / levels,
            (level + 1) * bins.len() / levels,
        );
        let filled = bins[from..to].iter().filter(|count| **count > 0).count();
        let sum: u64 = bins[from..to].iter().sum();
        for bin in (from..to).filter(|bin| bins[*bin] > 0) {
            spread[bin] = sum as f64 / filled as f64;
        }
    }
    spread
}

fn kullback_leibler(truth: &[f64], guess: &[f64]) -> f64 {
    let (truth_sum, guess_sum): (f64, f64) = (truth.iter().sum(), guess.iter().sum());
    if truth_sum <= 0.0 || guess_sum <= 0.0 {
        return f64::INFINITY;
    }
    let terms = truth
        .iter()
        .zip(guess)
        .filter(|(p, _)| **p > 0.0)
        .map(|(p, q)| {
            let p = p / truth_sum;
            // A value where the guess has none: dear, but not endlessly.
            let q = (q / guess_sum).max(1e-9);
            p * (p / q).ln()
        });
    terms.sum()
}
