//! COCO's compressed run lengths (cocodataset/cocoapi, `maskApi.c`: `rleToString`, `rleFrString`).
//!
//! Runs go down the columns, outside first. From the fourth run on, the difference to the run two
//! before is written. A number is a chain of characters of five bits plus a continuation bit, lowest
//! bits first, each offset by 48; the last one's highest bit is the sign.

use espalier_protocol::manifest::Rle;

use super::Mask;
use crate::picture::MAX_PIXELS;

const OFFSET: u8 = 48;
const CONTINUES: i64 = 0x20;
const SIGN: i64 = 0x10;
const DIGIT: i64 = 0x1f;
/// More characters than any run of a 2³² pixel mask can need.
const MAX_DIGITS: u32 = 8;

/// Why run lengths are not a mask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRle {
    /// The rectangle is empty or larger than any picture that is served.
    #[error(
        "a mask of {width} × {height} pixels is not possible here: 1 to {MAX_PIXELS} pixels are"
    )]
    Size {
        /// Stated width.
        width: u32,
        /// Stated height.
        height: u32,
    },
    /// A character or number that COCO's encoder cannot have written.
    #[error("the mask's run lengths are not COCO's compressed text (character {at})")]
    Text {
        /// The character's position.
        at: usize,
    },
    /// The runs end before the last pixel or go past it.
    #[error("the mask's run lengths cover {covered} of {pixels} pixels")]
    Coverage {
        /// Pixels that the runs cover.
        covered: u64,
        /// Pixels of the rectangle.
        pixels: u64,
    },
}

pub(super) fn encode(mask: &Mask) -> Rle {
    Rle {
        size: [mask.height, mask.width],
        counts: write_runs(&runs(mask)),
    }
}

fn runs(mask: &Mask) -> Vec<i64> {
    let (width, height) = (mask.width as usize, mask.height as usize);
    let mut runs = Vec::new();
    let (mut current, mut length) = (false, 0);
    for x in 0..width {
        for y in 0..height {
            let inside = mask.inside[y * width + x];
            if inside != current {
                runs.push(length);
                (current, length) = (inside, 0);
            }
            length += 1;
        }
    }
    runs.push(length);
    runs
}

fn write_runs(runs: &[i64]) -> String {
    let mut text = String::with_capacity(2 * runs.len());
    for (at, run) in runs.iter().enumerate() {
        write_number(if at > 2 { run - runs[at - 2] } else { *run }, &mut text);
    }
    text
}

fn write_number(mut number: i64, text: &mut String) {
    loop {
        let digit = number & DIGIT;
        number >>= 5;
        let last = if digit & SIGN == 0 {
            number == 0
        } else {
            number == -1
        };
        let character = if last { digit } else { digit | CONTINUES };
        // At most 63 + 48: an ASCII character.
        text.push(char::from(character as u8 + OFFSET));
        if last {
            return;
        }
    }
}

pub(super) fn decode(rle: &Rle) -> Result<Mask, InvalidRle> {
    let [height, width] = rle.size;
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MAX_PIXELS {
        return Err(InvalidRle::Size { width, height });
    }
    let runs = read_runs(rle.counts.as_bytes())?;
    let covered: u64 = runs.iter().fold(0, |sum, run| sum.saturating_add(*run));
    if covered != pixels {
        return Err(InvalidRle::Coverage { covered, pixels });
    }
    Ok(paint(width, height, &runs))
}

fn read_runs(text: &[u8]) -> Result<Vec<u64>, InvalidRle> {
    let mut runs: Vec<u64> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let start = at;
        let mut number = read_number(text, &mut at)?;
        if runs.len() > 2 {
            number += i64::try_from(runs[runs.len() - 2]).unwrap_or(i64::MAX >> 1);
        }
        runs.push(u64::try_from(number).map_err(|_| InvalidRle::Text { at: start })?);
    }
    Ok(runs)
}

fn read_number(text: &[u8], at: &mut usize) -> Result<i64, InvalidRle> {
    let start = *at;
    let mut number = 0i64;
    for place in 0..MAX_DIGITS {
        let character = text
            .get(*at)
            .and_then(|character| character.checked_sub(OFFSET));
        let digit = i64::from(
            character
                .filter(|digit| *digit < 64)
                .ok_or(InvalidRle::Text { at: *at })?,
        );
        *at += 1;
        number |= (digit & DIGIT) << (5 * place);
        if digit & CONTINUES == 0 {
            let sign = if digit & SIGN == 0 {
                0
            } else {
                -1 << (5 * (place + 1))
            };
            return Ok(number | sign);
        }
    }
    Err(InvalidRle::Text { at: start })
}

fn paint(width: u32, height: u32, runs: &[u64]) -> Mask {
    let (columns, rows) = (width as usize, height as usize);
    let mut inside = vec![false; columns * rows];
    let mut position = 0usize;
    for (at, run) in runs.iter().enumerate() {
        let end = position + *run as usize;
        if at % 2 == 1 {
            for pixel in position..end {
                inside[(pixel % rows) * columns + pixel / rows] = true;
            }
        }
        position = end;
    }
    Mask {
        width,
        height,
        inside,
    }
}
