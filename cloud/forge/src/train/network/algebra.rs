//! The operations that the network is made of.

use super::layer::Layer;

/// Keeps a mean finite where all weights are zero.
pub const LEAST_WEIGHT: f32 = 1e-3;

/// A side of the picture that coordinates run along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From left to right: [1, 1, 1, width].
    Across,
    /// From top to bottom: [1, 1, height, 1].
    Down,
}

impl Side {
    /// The side at right angles.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Across => Self::Down,
            Self::Down => Self::Across,
        }
    }
}

/// Whoever can carry out, or write down, these operations. Every value has four axes: batch, channel, row, column.
/// Operations on two values broadcast axes of length one.
pub trait Algebra {
    /// A value.
    type Value: Clone;

    /// Convolution, bias and activation.
    fn convolve(&mut self, x: &Self::Value, layer: &Layer) -> Self::Value;
    /// `a + b`.
    fn add(&mut self, a: &Self::Value, b: &Self::Value) -> Self::Value;
    /// `a - b`.
    fn subtract(&mut self, a: &Self::Value, b: &Self::Value) -> Self::Value;
    /// `a · b`.
    fn multiply(&mut self, a: &Self::Value, b: &Self::Value) -> Self::Value;
    /// `a / b`.
    fn divide(&mut self, a: &Self::Value, b: &Self::Value) -> Self::Value;
    /// `x · scale + shift`.
    fn affine(&mut self, x: &Self::Value, scale: f32, shift: f32) -> Self::Value;
    /// `x`, brought into `low ..= high`.
    fn clip(&mut self, x: &Self::Value, low: f32, high: f32) -> Self::Value;
    /// `|x|`.
    fn absolute(&mut self, x: &Self::Value) -> Self::Value;
    /// `e^x`.
    fn exponential(&mut self, x: &Self::Value) -> Self::Value;
    /// `1 / (1 + e^-x)`.
    fn sigmoid(&mut self, x: &Self::Value) -> Self::Value;
    /// The greatest over the channels; one channel remains.
    fn greatest(&mut self, x: &Self::Value) -> Self::Value;
    /// The sum over the channels; one channel remains.
    fn total(&mut self, x: &Self::Value) -> Self::Value;
    /// The mean over rows and columns; one of each remains.
    fn mean(&mut self, x: &Self::Value) -> Self::Value;
    /// The values' channels, one after the other.
    fn join(&mut self, parts: &[&Self::Value]) -> Self::Value;
    /// The channels from `first` to before `last`.
    fn channels(&mut self, x: &Self::Value, first: usize, last: usize) -> Self::Value;
    /// The row at this place.
    fn row(&mut self, x: &Self::Value, at: usize) -> Self::Value;
    /// For every channel of `features` and every channel k of `weights`, the sum of their product over the picture:
    /// [batch, channels, k, 1].
    fn weigh(&mut self, features: &Self::Value, weights: &Self::Value) -> Self::Value;
    /// Twice the rows and columns, each cell four times.
    fn upsample(&mut self, x: &Self::Value) -> Self::Value;
    /// Other rows and columns, each a weighted mean of the old ones: `down` holds a row of weights for each new row
    /// [batch, 1, new rows, rows], `across` a column for each new column [batch, 1, columns, new columns]. Weights
    /// need not add up to 1; where they are all zero, so is the result.
    fn resample(
        &mut self,
        x: &Self::Value,
        down: &Self::Value,
        across: &Self::Value,
    ) -> Self::Value;
    /// The value, through which nothing learns.
    fn detach(&mut self, x: &Self::Value) -> Self::Value;
    /// A value of a picture, repeated for each of its prompts.
    fn spread(&mut self, x: &Self::Value) -> Self::Value;
    /// Pixel coordinates of the centres of `cells` cells of `size` pixels.
    fn centres(&mut self, side: Side, cells: usize, size: f32) -> Self::Value;
    /// Numbers that never change, one in each row: [1, 1, numbers, 1].
    fn constant(&mut self, numbers: &[f32]) -> Self::Value;
    /// `a + b`, brought into 0 ..= 6.
    fn add_relu6(&mut self, a: &Self::Value, b: &Self::Value) -> Self::Value;
}
