//! From a layout to pixels and masks.

use espalier_runtime::{Mask, Picture};
use rayon::prelude::*;

use super::place::{Item, Layout};
use super::{Kind, Object, Scene, SceneSpec, noise};

/// Index of an item plus one; zero is the belt.
type Owner = u16;

/// One pixel: its colour, the part or clutter that owns it, and the defect on top of that.
struct Pixel {
    colour: [f32; 3],
    owner: Owner,
    defect: Owner,
}

/// Draws the layout.
pub fn draw(spec: &SceneSpec, layout: &Layout) -> Scene {
    let rows: Vec<Vec<Pixel>> = (0..spec.height)
        .into_par_iter()
        .map(|y| draw_row(spec, layout, y))
        .collect();
    let pixels: Vec<Pixel> = rows.into_iter().flatten().collect();
    let rgb = pixels
        .iter()
        .flat_map(|pixel| {
            pixel
                .colour
                .map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8)
        })
        .collect();
    let objects = (1..)
        .zip(&layout.items)
        .filter_map(|(owner, item)| visible(spec, item, owner, &pixels))
        .collect();
    Scene {
        picture: picture(spec, rgb),
        objects,
    }
}

/// The size is the caller's own, within what a picture may be.
fn picture(spec: &SceneSpec, rgb: Vec<u8>) -> Picture {
    Picture::from_rgb(spec.width, spec.height, rgb).expect("every pixel was drawn")
}

/// The object, when enough of it can be seen to be worth a name.
fn visible(spec: &SceneSpec, item: &Item, owner: Owner, pixels: &[Pixel]) -> Option<Object> {
    let inside = pixels
        .iter()
        .map(|pixel| pixel.owner == owner || pixel.defect == owner)
        .collect();
    let mask = Mask::from_pixels(spec.width, spec.height, inside)?;
    (mask.area() >= least_area(item.kind)).then_some(Object {
        kind: item.kind,
        mask,
    })
}

fn least_area(kind: Kind) -> u64 {
    match kind {
        Kind::Part(_) => 200,
        Kind::Clutter => 120,
        Kind::Defect(_) => 40,
    }
}

fn draw_row(spec: &SceneSpec, layout: &Layout, y: u32) -> Vec<Pixel> {
    let centre_y = y as f32 + 0.5;
    let shadow = 0.012 * spec.width.min(spec.height) as f32;
    let near: Vec<(usize, &Item)> = layout
        .items
        .iter()
        .enumerate()
        .filter(|(_, item)| (centre_y - item.centre[1]).abs() <= item.reach() + shadow * 3.0)
        .collect();
    (0..spec.width)
        .map(|x| draw_pixel(layout, &near, shadow, x, y))
        .collect()
}

fn draw_pixel(layout: &Layout, near: &[(usize, &Item)], shadow: f32, x: u32, y: u32) -> Pixel {
    let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
    let mut pixel = Pixel {
        colour: belt(layout, px, py),
        owner: 0,
        defect: 0,
    };
    for &(at, item) in near {
        if (px - item.centre[0]).abs() > item.reach() + shadow * 3.0 {
            continue;
        }
        let distance = item.distance(px, py);
        match item.host {
            None => lay(&mut pixel, layout, at, item, distance, shadow, [px, py]),
            Some(host) if usize::from(pixel.owner) == host + 1 => {
                stain(&mut pixel, at, item, distance)
            }
            Some(_) => {}
        }
    }
    finish(layout, &mut pixel.colour, x, y);
    pixel
}

/// A part or a piece of clutter: its shadow, its soft edge, its surface.
fn lay(
    pixel: &mut Pixel,
    layout: &Layout,
    at: usize,
    item: &Item,
    distance: f32,
    shadow: f32,
    point: [f32; 2],
) {
    if distance > 0.0 {
        let behind = item.distance(
            point[0] + layout.light[0] * shadow,
            point[1] + layout.light[1] * shadow,
        );
        let darkness = 0.45 * (0.5 - behind / (shadow * 2.0)).clamp(0.0, 1.0);
        pixel.colour = pixel.colour.map(|c| c * (1.0 - darkness));
    }
    let cover = (0.5 - distance).clamp(0.0, 1.0);
    if cover > 0.0 {
        let surface = surface(layout, item, distance, point);
        pixel.colour = blend(pixel.colour, surface, cover);
    }
    if distance < 0.0 {
        pixel.owner = at as Owner + 1;
        pixel.defect = 0;
    }
}

fn stain(pixel: &mut Pixel, at: usize, item: &Item, distance: f32) {
    let cover = 0.85 * (0.5 - distance).clamp(0.0, 1.0);
    pixel.colour = blend(pixel.colour, item.colour, cover);
    if distance < 0.0 {
        pixel.defect = at as Owner + 1;
    }
}

/// The surface of an object: a bevelled rim that catches the light, a sheen, and brushed grain.
fn surface(layout: &Layout, item: &Item, distance: f32, [x, y]: [f32; 2]) -> [f32; 3] {
    let bevel = (item.size * 0.12).max(1.5);
    let rim = (1.0 + distance / bevel).clamp(0.0, 1.0);
    let slope = [
        item.distance(x + 1.0, y) - distance,
        item.distance(x, y + 1.0) - distance,
    ];
    let facing = -(slope[0] * layout.light[0] + slope[1] * layout.light[1]);
    let across = ((x - item.centre[0]) * layout.light[0] + (y - item.centre[1]) * layout.light[1])
        / item.size;
    let sheen = item.gloss * 0.35 * (1.0 - (across * 1.6 + 0.3).abs()).max(0.0);
    let (u, v) = (
        item.turn[0] * x + item.turn[1] * y,
        item.turn[0] * y - item.turn[1] * x,
    );
    let brushed = 0.12 * item.gloss * (noise::smooth(u * 0.05, v * 0.9, item.grain) - 0.5);
    let shade = 1.0 - 0.35 * rim * facing + brushed;
    item.colour.map(|c| c * shade + sheen)
}

fn belt(layout: &Layout, x: f32, y: f32) -> [f32; 3] {
    let (period, depth) = layout.ribs;
    let rib = depth * (std::f32::consts::TAU * x / period).sin();
    let dirt = 0.16 * (noise::smooth(x * 0.012, y * 0.012, layout.seed) - 0.5)
        + 0.07 * (noise::smooth(x * 0.11, y * 0.11, layout.seed ^ 1) - 0.5);
    layout.belt.map(|c| c * (1.0 + rib + dirt))
}

/// Uneven light, exposure and sensor noise.
fn finish(layout: &Layout, colour: &mut [f32; 3], x: u32, y: u32) {
    let light = 0.85 + 0.3 * noise::smooth(x as f32 * 0.003, y as f32 * 0.003, layout.seed ^ 2);
    let grain = layout.noise * noise::grain(x, y, layout.seed ^ 3);
    *colour = colour.map(|c| c * light * layout.exposure + grain);
}

fn blend(under: [f32; 3], over: [f32; 3], cover: f32) -> [f32; 3] {
    std::array::from_fn(|c| under[c] + (over[c] - under[c]) * cover)
}
