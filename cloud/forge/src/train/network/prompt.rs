//! Prompts as pictures: soft maps of clicks, box and previous mask, computed inside the graph.

use super::algebra::{Algebra, Side};
use super::window::{CELLS, FINE_CELLS, Window};
use crate::train::frame::Frame;

/// A prompt in Segment Anything's terms, four axes each.
#[derive(Clone, Debug)]
pub struct Prompt<V> {
    /// Column of each point in input pixels: [batch, points, 1, 1].
    pub x: V,
    /// Row of each point in input pixels: [batch, points, 1, 1].
    pub y: V,
    /// 1 foreground, 0 background, 2 and 3 a box's corners, -1 nothing: [batch, points, 1, 1].
    pub label: V,
    /// A previous mask's logits, as masks are given: [batch, 1, rows, columns].
    pub mask: V,
    /// 1 when there is a previous mask, else 0: [batch, 1, 1, 1].
    pub has_mask: V,
}

/// Maps in the window's cells.
pub const COARSE_MAPS: usize = 13;
/// Maps in its fine cells.
pub const FINE_MAPS: usize = 8;

/// A prompt, drawn.
pub struct Drawn<V> {
    /// Everything: [batch, [`COARSE_MAPS`], …].
    pub coarse: V,
    /// Where the prompt is sharp, in fine cells: [batch, [`FINE_MAPS`], …].
    pub fine: V,
    /// Where the object surely is, and where it surely is not: [batch, 2, …].
    pub evidence: V,
}

/// The box's numbers: [batch, 1, 1, 1] each. Without a box `given` is 0 and the others are harmless.
pub struct Bounds<V> {
    /// 1 when there is a box, else 0.
    pub given: V,
    /// Its middle, along x and y.
    pub centre: [V; 2],
    /// Half its width and height.
    pub half: [V; 2],
}

impl<V: Clone> Bounds<V> {
    /// The bounds of a prompt, in input pixels.
    pub fn of<A: Algebra<Value = V>>(a: &mut A, prompt: &Prompt<V>) -> Self {
        let first = is(a, &prompt.label, 2.0);
        let last = is(a, &prompt.label, 3.0);
        let mut centre_and_half = |along: &V| {
            let low = a.multiply(along, &first);
            let low = a.total(&low);
            let high = a.multiply(along, &last);
            let high = a.total(&high);
            let sum = a.add(&low, &high);
            let difference = a.subtract(&high, &low);
            let half = a.affine(&difference, 0.5, 0.0);
            (a.affine(&sum, 0.5, 0.0), a.clip(&half, 1.0, 1e4))
        };
        let (x, half_width) = centre_and_half(&prompt.x);
        let (y, half_height) = centre_and_half(&prompt.y);
        let given = a.total(&last);
        Self {
            given: a.clip(&given, 0.0, 1.0),
            centre: [x, y],
            half: [half_width, half_height],
        }
    }

    /// The same box as a window shows it.
    fn seen_through<A: Algebra<Value = V>>(&self, a: &mut A, window: &Window<V>) -> Self {
        Self {
            given: self.given.clone(),
            centre: [0, 1].map(|side| window.place(a, &self.centre[side], side)),
            half: [0, 1].map(|side| window.scale(a, &self.half[side], side)),
        }
    }
}

/// Draws a prompt as its window shows it. The maps know where the box lies in the window, which is always the same,
/// and how large it is in the picture, which the window hides.
pub fn draw<A: Algebra>(
    a: &mut A,
    prompt: &Prompt<A::Value>,
    bounds: &Bounds<A::Value>,
    window: &Window<A::Value>,
    frame: Frame,
) -> Drawn<A::Value> {
    let side = frame.side() as f32;
    let clicks = [1.0, 0.0].map(|label| is(a, &prompt.label, label));
    let size = {
        let halves = a.add(&bounds.half[0], &bounds.half[1]);
        let relative = a.affine(&halves, 1.0 / side, 0.0);
        a.multiply(&relative, &bounds.given)
    };
    let mask = {
        let logits = a.affine(&prompt.mask, 0.125, 0.0);
        let bounded = a.clip(&logits, -1.0, 1.0);
        a.multiply(&bounded, &prompt.has_mask)
    };
    let mask_coarse = window.look(a, &mask, frame.mask_grid(), CELLS);
    let mask = window.look(a, &mask, frame.mask_grid(), FINE_CELLS);
    let prompt = &Prompt {
        x: window.place(a, &prompt.x, 0),
        y: window.place(a, &prompt.y, 1),
        ..prompt.clone()
    };
    let bounds = bounds.seen_through(a, window);
    let (coarse, fine) = (
        Canvas::new(a, CELLS, side / CELLS as f32),
        Canvas::new(a, FINE_CELLS, side / FINE_CELLS as f32),
    );

    let near = coarse.spots(a, prompt, &clicks[0], side / 48.0);
    let around = coarse.spots(a, prompt, &clicks[0], side / 12.0);
    let far = coarse.spots(a, prompt, &clicks[0], side / 3.5);
    let not_near = coarse.spots(a, prompt, &clicks[1], side / 48.0);
    let not_around = coarse.spots(a, prompt, &clicks[1], side / 12.0);
    let [inside, bell, across, down] = coarse.bounds(a, &bounds);
    let given = coarse.fill(a, &bounds.given);
    let size = coarse.fill(a, &size);
    let has_mask = coarse.fill(a, &prompt.has_mask);
    let all = [
        &near,
        &around,
        &far,
        &not_near,
        &not_around,
        &inside,
        &bell,
        &across,
        &down,
        &given,
        &size,
        &mask_coarse,
        &has_mask,
    ];
    let evidence = evidence(
        a,
        &coarse,
        &bounds,
        [&near, &not_near, &inside, &mask_coarse],
    );
    let coarse_maps = a.join(&all);

    let near = fine.spots(a, prompt, &clicks[0], side / 64.0);
    let not_near = fine.spots(a, prompt, &clicks[1], side / 64.0);
    let [inside, bell, across, down] = fine.bounds(a, &bounds);
    let given = fine.fill(a, &bounds.given);
    let fine_maps = a.join(&[
        &near, &not_near, &inside, &bell, &across, &down, &given, &mask,
    ]);
    Drawn {
        coarse: coarse_maps,
        fine: fine_maps,
        evidence,
    }
}

/// Sure foreground: beside clicks, in the middle of the box, inside the previous mask. Sure background: beside
/// background clicks, and in a rim around the box.
fn evidence<A: Algebra>(
    a: &mut A,
    canvas: &Canvas<A::Value>,
    bounds: &Bounds<A::Value>,
    [near, not_near, inside, mask]: [&A::Value; 4],
) -> A::Value {
    let middle = canvas.bell(a, bounds, 2.0);
    let masked = a.clip(mask, 0.0, 1.0);
    let foreground = a.add(near, &middle);
    let foreground = a.add(&foreground, &masked);
    let wide = Bounds {
        given: bounds.given.clone(),
        centre: bounds.centre.clone(),
        half: [0, 1].map(|side| a.affine(&bounds.half[side], 1.25, 8.0)),
    };
    let [within_rim, ..] = canvas.bounds(a, &wide);
    let rim = a.subtract(&within_rim, inside);
    let background = a.add(not_near, &rim);
    a.join(&[&foreground, &background])
}

/// 1 where the label is this one, else 0.
fn is<A: Algebra>(a: &mut A, label: &A::Value, wanted: f32) -> A::Value {
    let difference = a.affine(label, 1.0, -wanted);
    let distance = a.absolute(&difference);
    let likeness = a.affine(&distance, -1.0, 1.0);
    a.clip(&likeness, 0.0, 1.0)
}

/// A grid of cells to draw on.
struct Canvas<V> {
    across: V,
    down: V,
    ones: V,
    cell: f32,
}

impl<V: Clone> Canvas<V> {
    fn new<A: Algebra<Value = V>>(a: &mut A, cells: usize, size: f32) -> Self {
        let (across, down) = (
            a.centres(Side::Across, cells, size),
            a.centres(Side::Down, cells, size),
        );
        let (flat_across, flat_down) = (a.affine(&across, 0.0, 0.5), a.affine(&down, 0.0, 0.5));
        let ones = a.add(&flat_across, &flat_down);
        Self {
            across,
            down,
            ones,
            cell: size,
        }
    }

    /// A number everywhere.
    fn fill<A: Algebra<Value = V>>(&self, a: &mut A, number: &V) -> V {
        a.multiply(&self.ones, number)
    }

    /// A soft spot of this radius, in pixels, at each chosen point.
    fn spots<A: Algebra<Value = V>>(
        &self,
        a: &mut A,
        prompt: &Prompt<V>,
        chosen: &V,
        radius: f32,
    ) -> V {
        let mut bell = |axis: &V, at: &V| {
            let away = a.subtract(axis, at);
            let away = a.affine(&away, 1.0 / radius, 0.0);
            let squared = a.multiply(&away, &away);
            let exponent = a.affine(&squared, -0.5, 0.0);
            a.exponential(&exponent)
        };
        let (across, down) = (bell(&self.across, &prompt.x), bell(&self.down, &prompt.y));
        let across = a.multiply(&across, chosen);
        let spots = a.multiply(&across, &down);
        a.greatest(&spots)
    }

    /// The box as four maps: inside (soft by one cell), a bell that fills it, and how far inside it is along each
    /// side, from 1 in the middle over 0 at the edge to -1.
    fn bounds<A: Algebra<Value = V>>(&self, a: &mut A, bounds: &Bounds<V>) -> [V; 4] {
        let mut along = |axis: &V, side: usize| {
            let away = a.subtract(axis, &bounds.centre[side]);
            let away = a.absolute(&away);
            let depth = a.subtract(&bounds.half[side], &away);
            let soft = a.affine(&depth, 1.0 / self.cell, 0.5);
            let inside = a.clip(&soft, 0.0, 1.0);
            let relative = a.divide(&depth, &bounds.half[side]);
            let relative = a.clip(&relative, -1.0, 1.0);
            let relative = a.multiply(&relative, &bounds.given);
            (
                a.multiply(&inside, &bounds.given),
                a.multiply(&relative, &self.ones),
            )
        };
        let (inside_across, across) = along(&self.across, 0);
        let (inside_down, down) = along(&self.down, 1);
        let inside = a.multiply(&inside_across, &inside_down);
        [inside, self.bell(a, bounds, 0.7), across, down]
    }

    /// A bell in the box; the greater `sharpness`, the more it keeps to the middle.
    fn bell<A: Algebra<Value = V>>(&self, a: &mut A, bounds: &Bounds<V>, sharpness: f32) -> V {
        let mut along = |axis: &V, side: usize| {
            let away = a.subtract(axis, &bounds.centre[side]);
            let away = a.divide(&away, &bounds.half[side]);
            let away = a.clip(&away, -4.0, 4.0);
            let squared = a.multiply(&away, &away);
            let exponent = a.affine(&squared, -sharpness, 0.0);
            let bell = a.exponential(&exponent);
            a.multiply(&bell, &bounds.given)
        };
        let (across, down) = (along(&self.across, 0), along(&self.down, 1));
        a.multiply(&across, &down)
    }
}
