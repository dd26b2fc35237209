//! Variations of an example: cut, mirrored, in other light.

use espalier_runtime::{Mask, Picture};
use rand::Rng;
use rand::rngs::StdRng;

use super::Example;

/// A window of a picture.
struct Window {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

/// A random variation: a window of at least 45 % of each side, mirrored half of the time, in other light and colour.
#[must_use]
pub fn augment(example: &Example, rng: &mut StdRng) -> Example {
    let window = window(&example.picture, rng);
    let mirror = rng.random_bool(0.5);
    let gain: [f32; 3] = {
        let light: f32 = rng.random_range(0.75..1.25);
        [0, 1, 2].map(|_| light * rng.random_range(0.9..1.1))
    };
    let lift: f32 = rng.random_range(-18.0..18.0);
    let source = example.picture.rgb();
    let columns = example.picture.width();
    let pixels = || window.pixels(mirror, columns);
    let rgb = pixels().flat_map(|at| {
        std::array::from_fn::<u8, 3, _>(|c| {
            (f32::from(source[at * 3 + c]) * gain[c] + lift).clamp(0.0, 255.0) as u8
        })
    });
    let cut = |mask: &Mask| {
        let inside = pixels().map(|at| mask.pixels()[at]).collect();
        Mask::from_pixels(window.width, window.height, inside)
    };
    let masks = example
        .masks
        .iter()
        .filter_map(cut)
        .filter(|mask| mask.area() > 30)
        .collect();
    match Picture::from_rgb(window.width, window.height, rgb.collect()) {
        Some(picture) => Example { picture, masks },
        None => example.clone(),
    }
}

fn window(picture: &Picture, rng: &mut StdRng) -> Window {
    let part = |side: u32, rng: &mut StdRng| {
        let length =
            ((side as f32 * rng.random_range(0.45f32..1.0)) as u32).clamp(side.min(48), side);
        (rng.random_range(0..=side - length), length)
    };
    if rng.random_bool(0.35) {
        return Window {
            left: 0,
            top: 0,
            width: picture.width(),
            height: picture.height(),
        };
    }
    let (left, width) = part(picture.width(), rng);
    let (top, height) = part(picture.height(), rng);
    Window {
        left,
        top,
        width,
        height,
    }
}

impl Window {
    /// Indices of the window's pixels in its picture of `columns` columns, row by row.
    fn pixels(&self, mirror: bool, columns: u32) -> impl Iterator<Item = usize> {
        let (left, width) = (self.left, self.width);
        (self.top..self.top + self.height).flat_map(move |y| {
            (0..width).map(move |x| {
                let column = if mirror { width - 1 - x } else { x };
                (y * columns + left + column) as usize
            })
        })
    }
}
