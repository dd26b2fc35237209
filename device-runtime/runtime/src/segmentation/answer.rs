//! What a prompt is answered with.

use std::time::Duration;

use espalier_protocol::manifest::{MaskAnswer, SegmentationAnswer};

use crate::mask::Mask;

/// One mask in pixels of the original picture, with the model's own estimate of its IoU.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredMask {
    /// Which pixels belong to the object.
    pub mask: Mask,
    /// The model's estimate, by design 0 to 1.
    pub score: f32,
}

/// An answer with what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Segmentation {
    /// The masks, best score first; never empty.
    pub masks: Vec<ScoredMask>,
    /// Where the time went.
    pub timings: Timings,
    /// Whether the picture's embedding was already known.
    pub embedding_cached: bool,
}

impl Segmentation {
    /// The answer in the form of golden files and of the wire.
    #[must_use]
    pub fn to_answer(&self) -> SegmentationAnswer {
        let answer = |scored: &ScoredMask| MaskAnswer {
            rle: scored.mask.to_rle(),
            score: scored.score,
        };
        SegmentationAnswer {
            masks: self.masks.iter().map(answer).collect(),
        }
    }
}

/// How long each stage took; zero for a stage that was not needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Decoding the picture file.
    pub decode: Duration,
    /// Resizing and normalising.
    pub preprocess: Duration,
    /// The encoder's run.
    pub encode: Duration,
    /// The decoder's run.
    pub prompt: Duration,
    /// Turning logits into masks of the original size.
    pub masks: Duration,
    /// From the file's bytes to the answer.
    pub total: Duration,
}
