//! Golden inputs: does this machine compute what the forge computed, and how near is that to the full model?

use std::path::Path;
use std::time::Duration;

use espalier_protocol::BundlePath;
use espalier_protocol::manifest::{
    Golden, GoldenTolerance, MaskAnswer, Prompt, SegmentationAnswer,
};
use serde::de::DeserializeOwned;

use crate::folder::{FolderError, ModelFolder};
use crate::graph::GraphOptions;
use crate::mask::{InvalidRle, Mask};
use crate::picture;
use crate::segmentation::{EmbeddingCache, LoadError, SegmentError, Segmenter};

/// The largest request or answer file in bytes.
const MAX_JSON_BYTES: usize = 8 << 20;

/// Why a bundle did not pass its golden inputs.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    /// The bundle, or one of its golden files, cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The bundle cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It has no golden inputs.
    #[error("the folder has no golden inputs: only a bundle has them")]
    None,
    /// A golden file is not what its place demands.
    #[error("the golden file {file} cannot be used: {reason}")]
    Unusable {
        /// The file.
        file: BundlePath,
        /// What is wrong with it.
        reason: String,
    },
    /// The bundle fails on a golden input.
    #[error("the golden input {input} got no answer: {source}")]
    NoAnswer {
        /// The input.
        input: BundlePath,
        /// Why.
        source: SegmentError,
    },
    /// The answer is too far from the one of the forge.
    #[error(
        "the golden input {input} was answered differently from where the bundle was built: \
         IoU {iou:.4} (at least {min_iou:.4} is needed), score off by {score_difference:.4} (at most {max_difference:.4})"
    )]
    Differs {
        /// The input.
        input: BundlePath,
        /// IoU of the two top masks.
        iou: f64,
        /// The least that is accepted.
        min_iou: f32,
        /// How far the two scores are apart.
        score_difference: f32,
        /// The most that is accepted.
        max_difference: f32,
    },
}

/// A bundle that reproduced all its golden answers.
#[derive(Clone, Debug, PartialEq)]
pub struct GoldenReport {
    /// How many inputs there were; never 0.
    pub inputs: usize,
    /// The least IoU between an answer here and the forge's.
    pub least_iou: f64,
    /// Mean IoU between the answers here and the full model's.
    pub agreement: f64,
    /// Each input's time from its bytes to its answer, in the manifest's order.
    pub latencies: Vec<Duration>,
}

/// Loads the bundle in a folder and runs its golden inputs.
///
/// # Errors
/// When it does not load, does not answer, or answers differently; see [`GoldenError`].
pub fn check_folder(path: &Path, options: &GraphOptions) -> Result<GoldenReport, GoldenError> {
    let folder = ModelFolder::open(path)?;
    let segmenter = Segmenter::load(&folder, options)?;
    check(&folder, &segmenter, || ())
}

/// Runs a loaded bundle's golden inputs: the first answers also warm it up. Before each it calls `pause`, which lets
/// whoever has a better right to the machine go first.
///
/// # Errors
/// At the first input that has no answer or another one than the forge's; see [`GoldenError`].
pub fn check(
    folder: &ModelFolder,
    segmenter: &Segmenter,
    pause: impl Fn(),
) -> Result<GoldenReport, GoldenError> {
    let (inputs, tolerance) = folder.golden().ok_or(GoldenError::None)?;
    let cases = inputs.iter().map(|golden| {
        pause();
        check_one(folder, segmenter, golden, tolerance)
    });
    let cases = cases.collect::<Result<Vec<_>, _>>()?;
    if cases.is_empty() {
        return Err(GoldenError::None);
    }
    Ok(GoldenReport {
        inputs: cases.len(),
        least_iou: cases.iter().map(|case| case.own_iou).fold(1.0, f64::min),
        agreement: cases.iter().map(|case| case.full_iou).sum::<f64>() / cases.len() as f64,
        latencies: cases.into_iter().map(|case| case.latency).collect(),
    })
}

struct Case {
    own_iou: f64,
    full_iou: f64,
    latency: Duration,
}

fn check_one(
    folder: &ModelFolder,
    segmenter: &Segmenter,
    golden: &Golden,
    tolerance: GoldenTolerance,
) -> Result<Case, GoldenError> {
    let file = folder.bytes(&golden.input, picture::MAX_FILE_BYTES)?;
    let prompt: Prompt = read_json(folder, &golden.request)?;
    let own = read_top(folder, &golden.own)?;
    let full = read_top(folder, &golden.full)?;
    // A cache without room: what is measured and compared is computed here and now.
    let answer = segmenter.segment(&file, &prompt, &EmbeddingCache::new(0));
    let answer = answer.map_err(|source| GoldenError::NoAnswer {
        input: golden.input.clone(),
        source,
    })?;
    let Some(top) = answer.masks.first() else {
        return Err(GoldenError::None);
    };
    let own_iou = compare(&top.mask, &own.mask, &golden.own)?;
    let score_difference = (top.score - own.score).abs();
    if own_iou < f64::from(tolerance.min_iou) || score_difference > tolerance.max_abs {
        return Err(GoldenError::Differs {
            input: golden.input.clone(),
            iou: own_iou,
            min_iou: tolerance.min_iou,
            score_difference,
            max_difference: tolerance.max_abs,
        });
    }
    let full_iou = top
        .mask
        .iou(&full.mask)
        .ok_or_else(|| wrong_size(&golden.full))?;
    Ok(Case {
        own_iou,
        full_iou,
        latency: answer.timings.total,
    })
}

/// IoU, but a mask that was reproduced exactly is reproduced, even an empty one.
fn compare(here: &Mask, there: &Mask, file: &BundlePath) -> Result<f64, GoldenError> {
    if here == there {
        return Ok(1.0);
    }
    here.iou(there).ok_or_else(|| wrong_size(file))
}

struct Top {
    mask: Mask,
    score: f32,
}

fn read_top(folder: &ModelFolder, file: &BundlePath) -> Result<Top, GoldenError> {
    let answer: SegmentationAnswer = read_json(folder, file)?;
    let MaskAnswer { rle, score } = answer
        .masks
        .into_iter()
        .next()
        .ok_or_else(|| unusable(file, &"it has no masks"))?;
    let mask = Mask::from_rle(&rle).map_err(|error: InvalidRle| unusable(file, &error))?;
    Ok(Top { mask, score })
}

fn read_json<T: DeserializeOwned>(
    folder: &ModelFolder,
    file: &BundlePath,
) -> Result<T, GoldenError> {
    let bytes = folder.bytes(file, MAX_JSON_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|error| unusable(file, &error))
}

fn wrong_size(file: &BundlePath) -> GoldenError {
    unusable(file, &"its mask has not the size of its picture")
}

fn unusable(file: &BundlePath, reason: &dyn ToString) -> GoldenError {
    GoldenError::Unusable {
        file: file.clone(),
        reason: reason.to_string(),
    }
}
