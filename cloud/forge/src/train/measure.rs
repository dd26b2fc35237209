//! How good an exported model is, asked through the same door as anyone who serves it.
//!
//! Protocols: *box* is the object's exact box, *click* is one click at the object's deepest point; the mask with the
//! best predicted score counts, never the best one; IoU is taken at the picture's own size and averaged over objects.

use std::path::Path;

use espalier_protocol::manifest::{PointLabel, PointPrompt, Prompt};
use espalier_runtime::segmentation::{LoadError, SegmentError, Timings};
use espalier_runtime::{GraphOptions, Mask, ModelFolder, Segmenter};
use rayon::prelude::*;

use super::corpus::{Corpus, CorpusError};
use crate::data::{DataError, Example, Row, Split, deepest_point, read_example};
use crate::scenes::{SceneSpec, alternating_style};

/// Why a model could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] espalier_runtime::folder::FolderError),
    /// The graphs.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// An answer.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The pictures.
    #[error(transparent)]
    Data(#[from] DataError),
    /// What was learnt from.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
}

/// Mean IoUs over the objects of a set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Objects.
    pub objects: usize,
    /// With a box.
    pub boxed: f64,
    /// With one click.
    pub clicked: f64,
    /// The filled box itself: what a model has to beat.
    pub filled_box: f64,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            objects,
            boxed,
            clicked,
            filled_box,
        } = self;
        write!(
            f,
            "{objects} objects: box {boxed:.4}, one click {clicked:.4} (filled box {filled_box:.4})"
        )
    }
}

/// Measures the model in `folder` on rendered scenes of the seeds `first ..`, which training never draws.
///
/// # Errors
/// [`MeasureError`].
pub fn on_scenes(folder: &Path, first: u64, count: u64) -> Result<Figures, MeasureError> {
    let spec = |seed| SceneSpec {
        seed,
        style: alternating_style(seed),
        width: 640,
        height: 480,
    };
    measure(folder, count as usize, |at| {
        Ok(Example::from_scene(&spec(first + at as u64)))
    })
}

/// Measures the model in `folder` on the first pictures of what it learnt from.
///
/// # Errors
/// [`MeasureError`].
pub fn on_corpus(folder: &Path, corpus: &Corpus, count: usize) -> Result<Figures, MeasureError> {
    measure(folder, count.min(corpus.len()), |at| {
        Ok(corpus.example(at)?.1)
    })
}

/// Measures the model in `folder` on the rows of a set that are for measuring.
///
/// # Errors
/// [`MeasureError`].
pub fn on_rows(
    folder: &Path,
    data: &Path,
    rows: &[Row],
    set: &str,
) -> Result<Figures, MeasureError> {
    let rows: Vec<&Row> = rows
        .iter()
        .filter(|row| row.set == set && row.split == Split::Val && !row.masks.is_empty())
        .collect();
    measure(folder, rows.len(), |at| Ok(read_example(data, rows[at])?))
}

fn measure(
    folder: &Path,
    count: usize,
    example: impl Fn(usize) -> Result<Example, MeasureError> + Sync,
) -> Result<Figures, MeasureError> {
    let options = GraphOptions {
        sessions: std::num::NonZeroUsize::MIN.saturating_add(1),
        ..GraphOptions::default()
    };
    let segmenter = Segmenter::load(&ModelFolder::open(folder)?, &options)?;
    let of_pictures: Vec<Vec<[f64; 3]>> = (0..count)
        .into_par_iter()
        .map(|at| picture(&segmenter, &example(at)?))
        .collect::<Result<_, _>>()?;
    let all: Vec<[f64; 3]> = of_pictures.into_iter().flatten().collect();
    let mean = |at: usize| all.iter().map(|ious| ious[at]).sum::<f64>() / all.len().max(1) as f64;
    Ok(Figures {
        objects: all.len(),
        boxed: mean(0),
        clicked: mean(1),
        filled_box: mean(2),
    })
}

fn picture(segmenter: &Segmenter, example: &Example) -> Result<Vec<[f64; 3]>, MeasureError> {
    let mut timings = Timings::default();
    let embedding = segmenter.encode(&example.picture, &mut timings)?;
    let mut ious = Vec::new();
    for mask in &example.masks {
        let (Some(bounds), Some((deepest, _))) = (mask.bounds(), deepest_point(mask)) else {
            continue;
        };
        let bounds = bounds.map(|edge| edge as f32);
        let boxed = Prompt {
            points: vec![],
            bounds: Some(bounds),
        };
        let clicked = Prompt {
            points: vec![PointPrompt {
                x: deepest[0],
                y: deepest[1],
                label: PointLabel::Foreground,
            }],
            bounds: None,
        };
        let mut best = |prompt: &Prompt| -> Result<f64, MeasureError> {
            let masks = segmenter.prompt(&embedding, prompt, &mut timings)?;
            Ok(masks
                .first()
                .and_then(|scored| scored.mask.iou(mask))
                .unwrap_or(0.0))
        };
        ious.push([best(&boxed)?, best(&clicked)?, filled(mask, bounds)]);
    }
    Ok(ious)
}

/// IoU of a mask with its own filled box.
fn filled(mask: &Mask, [left, top, right, bottom]: [f32; 4]) -> f64 {
    mask.area() as f64 / f64::from((right - left) * (bottom - top))
}
