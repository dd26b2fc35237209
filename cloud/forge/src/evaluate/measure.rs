//! What a model costs here: latency and peak memory, measured in a process that does nothing else.

use std::path::Path;
use std::time::{Duration, Instant};

use espalier_runtime::folder::FolderError;
use espalier_runtime::segmentation::{LoadError, SegmentError, Timings};
use espalier_runtime::{GraphOptions, ModelFolder, Segmenter};
use serde::{Deserialize, Serialize};

use super::cases::{Case, Purpose, cases};

/// Pictures that take turns.
const PICTURES: usize = 4;
/// Inferences before the clock starts: the first ones pay for page faults and lazy allocations.
const WARM_UP: usize = 2;
/// Inferences that are timed.
const TIMED: usize = 20;

/// The cost of one model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Median of one whole inference (preprocessing, encoder, one prompt, masks), in milliseconds.
    pub latency_ms_p50: f64,
    /// 95th percentile of the same.
    pub latency_ms_p95: f64,
    /// Most resident memory of this process, in bytes.
    pub peak_memory_bytes: u64,
}

/// Why a model could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// Its folder is unusable.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// It does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It does not run.
    #[error(transparent)]
    Run(#[from] SegmentError),
    /// The kernel does not say how much memory was used.
    #[error("peak memory cannot be read from /proc/self/status")]
    NoMemoryFigure,
}

/// Measures the model in `folder`. Call it in a fresh process: peak memory is the whole process's.
///
/// # Errors
/// [`MeasureError`].
pub fn measure(
    folder: &Path,
    options: &GraphOptions,
    step: &mut dyn FnMut(),
) -> Result<Cost, MeasureError> {
    let pictures: Vec<Case> = cases(Purpose::Tuning, u64::from(u16::MAX))
        .take(PICTURES)
        .collect();
    let model = Segmenter::load(&ModelFolder::open(folder)?, options)?;
    let mut times = Vec::with_capacity(TIMED);
    for (number, case) in pictures.iter().cycle().take(WARM_UP + TIMED).enumerate() {
        let time = infer(&model, case)?;
        if number >= WARM_UP {
            times.push(time);
        }
        step();
    }
    times.sort_unstable();
    Ok(Cost {
        latency_ms_p50: percentile(&times, 0.5),
        latency_ms_p95: percentile(&times, 0.95),
        peak_memory_bytes: peak_memory().ok_or(MeasureError::NoMemoryFigure)?,
    })
}

/// How many steps [`measure`] reports.
pub const STEPS: u64 = (WARM_UP + TIMED) as u64;

fn infer(model: &Segmenter, case: &Case) -> Result<Duration, SegmentError> {
    let mut timings = Timings::default();
    let started = Instant::now();
    let embedding = model.encode(&case.picture, &mut timings)?;
    for question in case.questions.iter().take(1) {
        model.prompt(&embedding, &question.prompt, &mut timings)?;
    }
    Ok(started.elapsed())
}

/// The nearest-rank percentile of sorted times, in milliseconds.
fn percentile(sorted: &[Duration], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a small count"
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    let time = sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default();
    time.as_secs_f64() * 1e3
}

fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}
