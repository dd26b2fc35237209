//! A picture with a mask over it, for people.

use std::path::Path;

use anyhow::{Context as _, Result};
use espalier_protocol::manifest::{PointLabel, Prompt};
use espalier_runtime::{Mask, Picture};
use image::{Rgb, RgbImage};

/// The mask's tint, and how strong it is.
const TINT: [u8; 3] = [30, 144, 255];
const STRENGTH: f32 = 0.5;
/// Pixels from a click's centre to its edge.
const DOT: i64 = 4;

/// Writes the picture as PNG, with the mask tinted and outlined and the clicks as dots.
///
/// # Errors
/// When the file cannot be written.
pub fn write(picture: &Picture, mask: &Mask, prompt: &Prompt, path: &Path) -> Result<()> {
    let (width, height) = (picture.width(), picture.height());
    let mut image = RgbImage::from_raw(width, height, picture.rgb().to_vec())
        .context("a picture without pixels")?;
    let inside = |x: u32, y: u32| {
        mask.pixels()
            .get((y * width + x) as usize)
            .copied()
            .unwrap_or(false)
    };
    for (x, y, pixel) in image
        .enumerate_pixels_mut()
        .filter(|(x, y, _)| inside(*x, *y))
    {
        let edge = x == 0
            || y == 0
            || !inside(x - 1, y)
            || !inside(x, y - 1)
            || !inside(x + 1, y)
            || !inside(x, y + 1);
        *pixel = if edge {
            Rgb([255, 255, 255])
        } else {
            tinted(*pixel)
        };
    }
    for click in &prompt.points {
        let colour = match click.label {
            PointLabel::Foreground => Rgb([0, 220, 90]),
            PointLabel::Background => Rgb([230, 40, 40]),
        };
        dot(&mut image, click.x as i64, click.y as i64, colour);
    }
    image
        .save_with_format(path, image::ImageFormat::Png)
        .with_context(|| format!("cannot write {}", path.display()))
}

fn tinted(Rgb(colour): Rgb<u8>) -> Rgb<u8> {
    let mix =
        |own: u8, tint: u8| (f32::from(own) * (1.0 - STRENGTH) + f32::from(tint) * STRENGTH) as u8;
    Rgb([
        mix(colour[0], TINT[0]),
        mix(colour[1], TINT[1]),
        mix(colour[2], TINT[2]),
    ])
}

fn dot(image: &mut RgbImage, x: i64, y: i64, colour: Rgb<u8>) {
    let around = (-DOT..=DOT).flat_map(|dy| (-DOT..=DOT).map(move |dx| (dx, dy)));
    for (dx, dy) in around.filter(|(dx, dy)| dx * dx + dy * dy <= DOT * DOT) {
        let (Ok(px), Ok(py)) = (u32::try_from(x + dx), u32::try_from(y + dy)) else {
            continue;
        };
        if let Some(pixel) = image.get_pixel_mut_checked(px, py) {
            *pixel = colour;
        }
    }
}
