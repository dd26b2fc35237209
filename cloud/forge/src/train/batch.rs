//! Prompts for objects, as a person or a detector would give them, and batches of them.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::frame::{Frame, MASK_CELL};
use super::target::Target;

/// Points of every prompt of a batch; unused ones have the label -1.
pub const POINTS: usize = 4;
const CELL: f32 = MASK_CELL as f32;

/// One prompt with its truth.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompted {
    /// Points in input pixels with their labels: 1 foreground, 0 background, 2 and 3 a box's corners.
    pub points: Vec<([f32; 2], f32)>,
    /// A previous mask's logits, when there is one.
    pub mask: Option<Vec<f32>>,
    /// How much of each mask cell the object covers, 0 to 1.
    pub truth: Vec<f32>,
}

/// A prompt as training gives it: boxes, clicks, both, and now and then a bad mask to be corrected.
#[must_use]
pub fn prompt(target: &Target, frame: Frame, rng: &mut StdRng) -> Prompted {
    let mut points = Vec::new();
    let mut mask = None;
    let way: f32 = rng.random();
    if way < 0.6 {
        points.extend(corners(target.bounds, rng));
    }
    if way >= 0.52 {
        points.push((click(target, frame, rng), 1.0));
        for _ in 0..extra_clicks(rng) {
            let background = rng.random_bool(0.4);
            let at = if background {
                miss(target, frame, rng)
            } else {
                click(target, frame, rng)
            };
            points.push((at, if background { 0.0 } else { 1.0 }));
        }
    }
    if way > 0.9 {
        mask = Some(bad_mask(target, frame, rng));
    }
    points.truncate(POINTS);
    let truth = target
        .coverage
        .iter()
        .map(|&cell| f32::from(cell) / 255.0)
        .collect();
    Prompted {
        points,
        mask,
        truth,
    }
}

fn extra_clicks(rng: &mut StdRng) -> usize {
    match rng.random_range(0..10) {
        0..7 => 0,
        7..9 => 1,
        _ => 2,
    }
}

/// A box's corners, exact or as loose as a hurried person's.
fn corners([left, top, right, bottom]: [f32; 4], rng: &mut StdRng) -> [([f32; 2], f32); 2] {
    let loose = if rng.random_bool(0.5) { 0.0 } else { 0.07 };
    let (width, height) = ((right - left) * loose, (bottom - top) * loose);
    let mut shift = |length: f32| length * rng.random_range(-1.0f32..1.0);
    [
        ([left + shift(width), top + shift(height)], 2.0),
        ([right + shift(width), bottom + shift(height)], 3.0),
    ]
}

/// A click on the object: half of the time at its deepest point, else anywhere well inside.
fn click(target: &Target, frame: Frame, rng: &mut StdRng) -> [f32; 2] {
    let jitter = |rng: &mut StdRng| rng.random_range(-0.5..0.5) * CELL;
    let inside: Vec<usize> = cells(target, |cell| cell > 200);
    match inside.choose(rng) {
        Some(&cell) if rng.random_bool(0.5) => {
            let [x, y] = centre(cell, frame);
            [x + jitter(rng), y + jitter(rng)]
        }
        _ => target.deepest,
    }
}

/// A click beside the object: within its box widened by half, where it covers nothing.
fn miss(target: &Target, frame: Frame, rng: &mut StdRng) -> [f32; 2] {
    let [left, top, right, bottom] = target.bounds;
    let (width, height) = ((right - left) * 0.5 + 16.0, (bottom - top) * 0.5 + 16.0);
    let beside = |cell: usize| {
        let [x, y] = centre(cell, frame);
        (left - width..right + width).contains(&x) && (top - height..bottom + height).contains(&y)
    };
    let outside: Vec<usize> = cells(target, |cell| cell == 0)
        .into_iter()
        .filter(|&cell| beside(cell))
        .collect();
    outside
        .choose(rng)
        .map_or([0.0, 0.0], |&cell| centre(cell, frame))
}

/// The truth, shifted and frayed: what a first attempt may look like.
fn bad_mask(target: &Target, frame: Frame, rng: &mut StdRng) -> Vec<f32> {
    let side = frame.mask_side();
    let [left, top, right, bottom] = target.bounds;
    let mut shift = |length: f32| (length / CELL * rng.random_range(-0.2f32..0.2)).round() as isize;
    let (across, down) = (shift(right - left), shift(bottom - top));
    let confidence: f32 = rng.random_range(3.0..8.0);
    let at = |cell: usize| {
        let (column, row) = (
            (cell % side).checked_add_signed(across),
            (cell / side).checked_add_signed(down),
        );
        let inside = column
            .zip(row)
            .filter(|(column, row)| *column < side && *row < side);
        let covered =
            inside.is_some_and(|(column, row)| target.coverage[row * side + column] > 127);
        if covered { confidence } else { -confidence }
    };
    (0..side * side).map(at).collect()
}

fn cells(target: &Target, wanted: impl Fn(u8) -> bool) -> Vec<usize> {
    target
        .coverage
        .iter()
        .enumerate()
        .filter(|(_, cell)| wanted(**cell))
        .map(|(at, _)| at)
        .collect()
}

fn centre(cell: usize, frame: Frame) -> [f32; 2] {
    let side = frame.mask_side();
    [
        (cell % side) as f32 * CELL + CELL / 2.0,
        (cell / side) as f32 * CELL + CELL / 2.0,
    ]
}

/// Prompts side by side, ready for the network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// How many prompts.
    pub prompts: usize,
    /// Columns, rows and labels of the points, [`POINTS`] for each prompt.
    pub points: [Vec<f32>; 3],
    /// Previous masks' logits; zeros where there is none.
    pub masks: Vec<f32>,
    /// 1 where there is a previous mask.
    pub has_mask: Vec<f32>,
    /// Truths.
    pub truths: Vec<f32>,
}

impl Batch {
    /// Adds a prompt.
    pub fn push(&mut self, prompted: Prompted) {
        let padding = std::iter::repeat_n(
            ([0.0, 0.0], -1.0),
            POINTS - prompted.points.len().min(POINTS),
        );
        for ([x, y], label) in prompted.points.iter().copied().take(POINTS).chain(padding) {
            for (numbers, number) in self.points.iter_mut().zip([x, y, label]) {
                numbers.push(number);
            }
        }
        self.has_mask
            .push(if prompted.mask.is_some() { 1.0 } else { 0.0 });
        self.masks.extend(
            prompted
                .mask
                .unwrap_or_else(|| vec![0.0; prompted.truth.len()]),
        );
        self.truths.extend(prompted.truth);
        self.prompts += 1;
    }
}
