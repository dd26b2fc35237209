//! Shapes as signed distances: negative inside, in units of the shape's own size.

use super::Part;

/// Signed distance of (x, y) to a part of unit size centred at the origin. `variant` in 0..1 changes proportions.
pub fn part(part: Part, x: f32, y: f32, variant: f32) -> f32 {
    match part {
        Part::Washer => circle(x, y, 1.0).max(-circle(x, y, 0.35 + 0.25 * variant)),
        Part::Nut => hexagon(x, y, 0.88).max(-circle(x, y, 0.38 + 0.15 * variant)),
        Part::Gear => gear(x, y, 8.0 + (variant * 8.0).floor()).max(-circle(x, y, 0.25)),
        Part::Bracket => bracket(x, y, 0.22 + 0.1 * variant),
        Part::Plate => plate(x, y, 0.55 + 0.4 * variant),
        Part::Pin => pin(x, y, 0.16 + 0.12 * variant),
        Part::Disc => circle(x, y, 1.0),
    }
}

/// Signed distance to a blob with `lobes` bumps.
pub fn blob(x: f32, y: f32, lobes: f32, phase: f32) -> f32 {
    let angle = y.atan2(x);
    let radius =
        0.75 + 0.15 * (lobes * angle + phase).sin() + 0.1 * ((lobes + 2.0) * angle - phase).cos();
    x.hypot(y) - radius
}

/// Signed distance to a bent stroke along x from -1 to 1 with half thickness `half`.
pub fn stroke(x: f32, y: f32, bend: f32, half: f32) -> f32 {
    let along = x.clamp(-1.0, 1.0);
    let middle = bend * (1.0 - along * along);
    (x - along).hypot(y - middle) - half
}

fn circle(x: f32, y: f32, radius: f32) -> f32 {
    x.hypot(y) - radius
}

fn rectangle(x: f32, y: f32, half_width: f32, half_height: f32) -> f32 {
    let (dx, dy) = (x.abs() - half_width, y.abs() - half_height);
    dx.max(0.0).hypot(dy.max(0.0)) + dx.max(dy).min(0.0)
}

fn rounded(x: f32, y: f32, half_width: f32, half_height: f32, radius: f32) -> f32 {
    rectangle(x, y, half_width - radius, half_height - radius) - radius
}

fn hexagon(x: f32, y: f32, inner_radius: f32) -> f32 {
    const SIXTY: (f32, f32) = (0.5, 0.866_025_4);
    let (x, y) = (x.abs(), y.abs());
    y.max(x * SIXTY.1 + y * SIXTY.0) - inner_radius
}

fn gear(x: f32, y: f32, teeth: f32) -> f32 {
    let wave = (teeth * y.atan2(x)).sin();
    let tooth = (wave * 4.0).clamp(-1.0, 1.0);
    (x.hypot(y) - 0.88 - 0.1 * tooth) * 0.8
}

fn bracket(x: f32, y: f32, thickness: f32) -> f32 {
    let upright = rounded(x + 0.8 - thickness, y, thickness, 0.85, 0.06);
    let foot = rounded(x, y - 0.85 + thickness, 0.8, thickness, 0.06);
    let hole = circle(x - 0.45, y - 0.85 + thickness, thickness * 0.5);
    upright.min(foot).max(-hole)
}

fn plate(x: f32, y: f32, half_height: f32) -> f32 {
    let hole = |cx: f32| circle(x - cx, y, 0.14);
    rounded(x, y, 0.98, half_height, 0.12)
        .max(-hole(-0.65))
        .max(-hole(0.65))
}

fn pin(x: f32, y: f32, half: f32) -> f32 {
    let shaft = rounded(x, y, 0.98, half, half * 0.6);
    let head = rounded(x + 0.8, y, 0.18, half * 1.9, 0.05);
    shaft.min(head)
}
