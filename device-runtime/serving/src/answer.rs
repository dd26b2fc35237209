//! The answer to a segmentation request, as it goes over the wire.

use std::time::Duration;

use espalier_protocol::Digest;
use espalier_protocol::id::ModelVersionId;
use espalier_protocol::manifest::Rle;
use espalier_runtime::segmentation::{ScoredMask, Segmentation, Timings};
use serde::{Deserialize, Serialize};

use crate::host::Instance;
use crate::place::Place;

/// What a segmentation request is answered with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The masks, best score first.
    pub masks: Vec<AnsweredMask>,
    /// Who computed it.
    pub computed_on: Place,
    /// The release that the bundle was installed from; none for a full model.
    pub release_digest: Option<Digest>,
    /// The bundle that computed it, whatever serves by now.
    pub bundle_digest: Digest,
    /// The full model behind it, where that is known.
    pub model_version: Option<ModelVersionId>,
    /// Where the time went.
    pub latency_ms: Latency,
    /// Whether the picture's embedding was already known.
    pub embedding_cached: bool,
}

/// One mask over the original picture, upright.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnsweredMask {
    /// The pixels, in COCO's compressed run lengths.
    pub rle: Rle,
    /// The model's own estimate of the mask's IoU.
    pub score: f32,
    /// Pixels inside.
    pub area: u64,
    /// `[x0, y0, x1, y1]` around the inside, far edges excluded; none for an empty mask.
    pub bbox: Option<[u32; 4]>,
}

/// Milliseconds of each stage; 0 for a stage that was not needed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Decoding the picture's file.
    pub decode: f64,
    /// Resizing and normalising.
    pub preprocess: f64,
    /// The encoder's run.
    pub encode: f64,
    /// The decoder's run.
    pub prompt: f64,
    /// Turning logits into masks of the original size.
    pub masks: f64,
    /// From the file's bytes to the masks, waiting for a worker not included.
    pub total: f64,
}

impl Answer {
    /// The wire form of what an instance computed.
    #[must_use]
    pub fn new(segmentation: &Segmentation, instance: &Instance, place: &Place) -> Self {
        Self {
            masks: segmentation.masks.iter().map(AnsweredMask::from).collect(),
            computed_on: place.clone(),
            release_digest: instance.origin().release,
            bundle_digest: instance.bundle(),
            model_version: instance.origin().model_version,
            latency_ms: segmentation.timings.into(),
            embedding_cached: segmentation.embedding_cached,
        }
    }
}

impl From<&ScoredMask> for AnsweredMask {
    fn from(scored: &ScoredMask) -> Self {
        let mask = &scored.mask;
        Self {
            rle: mask.to_rle(),
            score: scored.score,
            area: mask.area(),
            bbox: mask.bounds(),
        }
    }
}

impl From<Timings> for Latency {
    fn from(timings: Timings) -> Self {
        let milliseconds = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
        Self {
            decode: milliseconds(timings.decode),
            preprocess: milliseconds(timings.preprocess),
            encode: milliseconds(timings.encode),
            prompt: milliseconds(timings.prompt),
            masks: milliseconds(timings.masks),
            total: milliseconds(timings.total),
        }
    }
}
