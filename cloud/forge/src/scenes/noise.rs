//! Smooth noise from integer hashes: the same everywhere, with no state.

/// A hash of a lattice point as a number in 0..1.
fn lattice(x: i32, y: i32, seed: u32) -> f32 {
    let mut h = seed
        ^ x.cast_unsigned().wrapping_mul(0x9e37_79b9)
        ^ y.cast_unsigned().wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    ((h ^ (h >> 15)) >> 8) as f32 / (1 << 24) as f32
}

/// Smooth noise in 0..1 with features of about one unit.
pub fn smooth(x: f32, y: f32, seed: u32) -> f32 {
    let (x0, y0) = (x.floor(), y.floor());
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v) = (ease(x - x0), ease(y - y0));
    let (xi, yi) = (x0 as i32, y0 as i32);
    let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
    let top = mix(lattice(xi, yi, seed), lattice(xi + 1, yi, seed), u);
    let bottom = mix(lattice(xi, yi + 1, seed), lattice(xi + 1, yi + 1, seed), u);
    mix(top, bottom, v)
}

/// Grain in -0.5..0.5, independent from pixel to pixel.
pub fn grain(x: u32, y: u32, seed: u32) -> f32 {
    lattice(x.cast_signed(), y.cast_signed(), seed) - 0.5
}
