//! Regions of label maps, and what prompts need to know about a mask.

use std::collections::BTreeSet;

use espalier_runtime::Mask;
use image::GrayImage;

/// Regions with fewer pixels are specks of the annotation.
const LEAST_AREA: u64 = 30;

/// The regions of a label map: one for each value but 0.
#[must_use]
pub fn regions(labels: &GrayImage) -> Vec<Mask> {
    let values: BTreeSet<u8> = labels
        .as_raw()
        .iter()
        .copied()
        .filter(|&value| value != 0)
        .collect();
    let region = |value| {
        let inside = labels
            .as_raw()
            .iter()
            .map(|&label| label == value)
            .collect();
        Mask::from_pixels(labels.width(), labels.height(), inside)
    };
    values
        .into_iter()
        .filter_map(region)
        .filter(|mask| mask.area() >= LEAST_AREA)
        .collect()
}

/// The centre of the pixel deepest inside the mask, as (x, y), and its distance from the outside in pixels: where
/// a person would click. The picture's edge counts as outside. `None` when the mask is empty.
#[must_use]
pub fn deepest_point(mask: &Mask) -> Option<([f32; 2], f32)> {
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let depths = depths(mask.pixels(), width, height);
    let (at, &depth) = depths
        .iter()
        .enumerate()
        .max_by_key(|&(at, &depth)| (depth, std::cmp::Reverse(at)))?;
    let centre = [(at % width) as f32 + 0.5, (at / width) as f32 + 0.5];
    (depth > 0).then_some((centre, depth as f32 / STEP as f32))
}

/// Weights of the 3-4 chamfer distance, within 8 % of the Euclidean one.
const STEP: u32 = 3;
const DIAGONAL: u32 = 4;

/// Distance of every pixel from the outside, in thirds of a pixel.
fn depths(inside: &[bool], width: usize, height: usize) -> Vec<u32> {
    let stride = width + 2;
    let mut depth = vec![0u32; stride * (height + 2)];
    for (row, line) in inside.chunks_exact(width).enumerate() {
        for (column, _) in line.iter().enumerate().filter(|(_, inside)| **inside) {
            let at = (row + 1) * stride + column + 1;
            let nearest = [
                depth[at - 1] + STEP,
                depth[at - stride] + STEP,
                depth[at - stride - 1] + DIAGONAL,
                depth[at - stride + 1] + DIAGONAL,
            ];
            depth[at] = nearest.into_iter().min().unwrap_or(0);
        }
    }
    for row in (1..=height).rev() {
        for column in (1..=width).rev() {
            let at = row * stride + column;
            let nearest = [
                depth[at + 1] + STEP,
                depth[at + stride] + STEP,
                depth[at + stride + 1] + DIAGONAL,
                depth[at + stride - 1] + DIAGONAL,
            ];
            depth[at] = nearest.into_iter().fold(depth[at], u32::min);
        }
    }
    (1..=height)
        .flat_map(|row| depth[row * stride + 1..=row * stride + width].to_vec())
        .collect()
}

/// How much of each cell of a `side` × `side` grid the mask covers, in 0..=255. The picture, scaled by `scale`
/// (grid cells for each pixel), lies in the grid's top left corner.
#[must_use]
pub fn coverage(mask: &Mask, scale: f32, side: usize) -> Vec<u8> {
    const SAMPLES: usize = 4;
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let pixel = |sample: usize| (((sample as f32 + 0.5) / SAMPLES as f32) / scale) as usize;
    let mut counts = vec![0u16; side * side];
    for sample_row in 0..side * SAMPLES {
        let row = pixel(sample_row);
        if row >= height {
            break;
        }
        let line = &mask.pixels()[row * width..(row + 1) * width];
        let cells = &mut counts[sample_row / SAMPLES * side..][..side];
        for sample in 0..side * SAMPLES {
            match line.get(pixel(sample)) {
                Some(&inside) => cells[sample / SAMPLES] += u16::from(inside),
                None => break,
            }
        }
    }
    counts
        .into_iter()
        .map(|count| (usize::from(count) * 255 / (SAMPLES * SAMPLES)) as u8)
        .collect()
}
