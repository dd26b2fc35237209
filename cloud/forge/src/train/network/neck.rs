//! From the backbone's taps to the embedding: computed once for each picture, however many prompts follow.

use super::algebra::Algebra;
use super::layer::{Init, Layer};
use crate::train::frame::CHANNELS;

/// Channels of the embedding at stride 8.
pub const EMBEDDING: usize = 64;
/// Channels of the detail at stride 4.
pub const DETAIL: usize = 32;

/// What a decoder needs to know about a picture.
#[derive(Clone, Debug)]
pub struct Embedding<V> {
    /// Meaning, at stride 8.
    pub meaning: V,
    /// Borders, at stride 4.
    pub detail: V,
}

/// A feature pyramid with one output.
#[derive(Clone, Debug)]
pub struct Neck {
    detail: Layer,
    detail_down: Layer,
    detail_in: Layer,
    lateral: [Layer; 3],
    refine: [Block; 2],
}

/// Filter and mix, added to what came in.
#[derive(Clone, Debug)]
pub struct Block {
    filter: Layer,
    mix: Layer,
}

impl Block {
    /// A block of so many channels.
    #[must_use]
    pub fn new(name: &str, channels: usize) -> Self {
        Self {
            filter: Layer::depthwise(format!("{name}.filter"), channels, 1),
            mix: Layer::pointwise(format!("{name}.mix"), channels, channels)
                .linear()
                .starting(Init::Quiet(0.4)),
        }
    }

    /// Filter and mix.
    pub fn forward<A: Algebra>(&self, algebra: &mut A, x: &A::Value) -> A::Value {
        let filtered = algebra.convolve(x, &self.filter);
        let mixed = algebra.convolve(&filtered, &self.mix);
        algebra.add_relu6(x, &mixed)
    }

    /// Its layers.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        [&self.filter, &self.mix].into_iter()
    }
}

impl Neck {
    /// The neck for MobileNetV2's taps.
    #[must_use]
    pub fn new() -> Self {
        let lateral = |at: usize| {
            Layer::pointwise(format!("neck.lateral.{at}"), CHANNELS[at], EMBEDDING).linear()
        };
        Self {
            detail: Layer::pointwise("neck.detail", CHANNELS[0], DETAIL),
            detail_down: Layer::depthwise("neck.detail_down", DETAIL, 2),
            detail_in: Layer::pointwise("neck.detail_in", DETAIL, EMBEDDING).linear(),
            lateral: [lateral(1), lateral(2), lateral(3)],
            refine: [
                Block::new("neck.refine.0", EMBEDDING),
                Block::new("neck.refine.1", EMBEDDING),
            ],
        }
    }

    /// The embedding of a picture.
    pub fn forward<A: Algebra>(
        &self,
        algebra: &mut A,
        taps: &[A::Value; 4],
    ) -> Embedding<A::Value> {
        let [s4, s8, s16, s32] = taps;
        let detail = algebra.convolve(s4, &self.detail);
        let coarse = algebra.convolve(s32, &self.lateral[2]);
        let coarse = algebra.upsample(&coarse);
        let middle = algebra.convolve(s16, &self.lateral[1]);
        let middle = algebra.add_relu6(&coarse, &middle);
        let middle = self.refine[0].forward(algebra, &middle);
        let middle = algebra.upsample(&middle);
        let down = algebra.convolve(&detail, &self.detail_down);
        let down = algebra.convolve(&down, &self.detail_in);
        let fine = algebra.convolve(s8, &self.lateral[0]);
        let fine = algebra.add(&fine, &down);
        let fine = algebra.add_relu6(&middle, &fine);
        Embedding {
            meaning: self.refine[1].forward(algebra, &fine),
            detail,
        }
    }

    /// Its layers.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        [&self.detail, &self.detail_down, &self.detail_in]
            .into_iter()
            .chain(&self.lateral)
            .chain(self.refine.iter().flat_map(Block::layers))
    }
}

impl Default for Neck {
    fn default() -> Self {
        Self::new()
    }
}
