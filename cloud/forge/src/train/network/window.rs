//! The part of a picture that a prompt asks about, seen at one size whatever its own.
//!
//! With a box, the decoder looks at a window around it; without one, at the whole picture. An object of ten pixels and
//! one of three hundred so look alike to it, which is what lets few pictures teach it much (compare RoIAlign in
//! Mask R-CNN, He et al. 2017). A window is seen, and its masks are put back, by two products with matrices of hat
//! functions: exact for any runtime that multiplies matrices, and learnt through like any layer.

use super::algebra::{Algebra, Side};
use super::prompt::Bounds;
use crate::train::frame::{Frame, Grid};

/// Cells along each side of a window.
pub const CELLS: usize = 40;
/// Cells along each side where borders are drawn.
pub const FINE_CELLS: usize = 2 * CELLS;
/// A window is so many times as wide and high as its box …
const ROOM: f32 = 1.5;
/// … and so many pixels wider on each side.
const MARGIN: f32 = 4.0;
/// The logit of everything outside of the window.
const OUTSIDE: f32 = -8.0;

/// A window: centre and half its sides in input pixels, along x and y; [batch, 1, 1, 1] each.
pub struct Window<V> {
    centre: [V; 2],
    half: [V; 2],
    frame: Frame,
}

impl<V: Clone> Window<V> {
    /// The window of a prompt with these bounds.
    pub fn around<A: Algebra<Value = V>>(a: &mut A, bounds: &Bounds<V>, frame: Frame) -> Self {
        let middle = frame.side() as f32 / 2.0;
        let elsewhere = a.affine(&bounds.given, -middle, middle);
        let mut or_whole = |boxed: &V, scale: f32, shift: f32| {
            let boxed = a.affine(boxed, scale, shift);
            let boxed = a.multiply(&boxed, &bounds.given);
            a.add(&boxed, &elsewhere)
        };
        Self {
            centre: [0, 1].map(|side| or_whole(&bounds.centre[side], 1.0, 0.0)),
            half: [0, 1].map(|side| or_whole(&bounds.half[side], ROOM, MARGIN)),
            frame,
        }
    }

    /// Where a coordinate in input pixels lies in the window, in pixels of a frame that the window fills.
    pub fn place<A: Algebra<Value = V>>(&self, a: &mut A, at: &V, side: usize) -> V {
        let away = a.subtract(at, &self.centre[side]);
        let placed = self.scale(a, &away, side);
        a.affine(&placed, 1.0, self.frame.side() as f32 / 2.0)
    }

    /// A length in input pixels, in pixels of a frame that the window fills.
    pub fn scale<A: Algebra<Value = V>>(&self, a: &mut A, length: &V, side: usize) -> V {
        let relative = a.divide(length, &self.half[side]);
        a.affine(&relative, self.frame.side() as f32 / 2.0, 0.0)
    }

    /// What a value over the whole frame shows in the window: [batch, channels, `cells`, `cells`]; zero beyond the
    /// frame.
    pub fn look<A: Algebra<Value = V>>(&self, a: &mut A, x: &V, grid: Grid, cells: usize) -> V {
        let down = self.hats(a, 1, cells, grid, Side::Down);
        let across = self.hats(a, 0, cells, grid, Side::Across);
        a.resample(x, &down, &across)
    }

    /// A window's logits, back in the whole frame.
    pub fn put_back<A: Algebra<Value = V>>(&self, a: &mut A, logits: &V, grid: Grid) -> V {
        let down = self.hats(a, 1, FINE_CELLS, grid, Side::Across);
        let across = self.hats(a, 0, FINE_CELLS, grid, Side::Down);
        let above = a.affine(logits, 1.0, -OUTSIDE);
        let above = a.resample(&above, &down, &across);
        a.affine(&above, 1.0, OUTSIDE)
    }

    /// How near every cell of the window, along `window`, is to every cell of the frame, along the other side: 1 when
    /// they meet, 0 from the larger of both cells' sizes on.
    fn hats<A: Algebra<Value = V>>(
        &self,
        a: &mut A,
        side: usize,
        cells: usize,
        grid: Grid,
        window: Side,
    ) -> V {
        let relative = a.centres(window, cells, 2.0 / cells as f32);
        let relative = a.affine(&relative, 1.0, -1.0);
        let away = a.multiply(&relative, &self.half[side]);
        let seen = a.add(&away, &self.centre[side]);
        let there = a.centres(window.other(), grid.cells, grid.size);
        let reach = {
            let of_window = a.affine(&self.half[side], 2.0 / cells as f32, 0.0);
            let of_frame = a.affine(&self.half[side], 0.0, grid.size);
            let both = a.join(&[&of_window, &of_frame]);
            a.greatest(&both)
        };
        let distance = a.subtract(&seen, &there);
        let distance = a.absolute(&distance);
        let distance = a.divide(&distance, &reach);
        let nearness = a.affine(&distance, -1.0, 1.0);
        a.clip(&nearness, 0.0, 1.0)
    }
}
