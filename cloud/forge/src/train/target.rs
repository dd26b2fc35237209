//! What there is to learn about one object of one picture.

use espalier_runtime::Mask;
use espalier_runtime::preprocess::Placing;

use super::frame::Frame;
use crate::data::{coverage, deepest_point};

/// An object as the network sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its box in input pixels: left, top, right, bottom.
    pub bounds: [f32; 4],
    /// The point deepest inside it, in input pixels.
    pub deepest: [f32; 2],
    /// How much of each mask cell it covers, in 0..=255; row by row.
    pub coverage: Vec<u8>,
}

impl Target {
    /// The object of this mask in a picture that lies in the frame as `placing` says; `None` for an object that
    /// touches no cell.
    #[must_use]
    pub fn new(mask: &Mask, placing: &Placing, frame: Frame) -> Option<Self> {
        let [left, top, right, bottom] = mask.bounds()?.map(|edge| edge as f32);
        let (centre, _) = deepest_point(mask)?;
        let coverage = coverage(
            mask,
            placing.scale_x / frame.mask_grid().size,
            frame.mask_side(),
        );
        coverage.iter().any(|&cell| cell > 0).then_some(Self {
            bounds: [
                left * placing.scale_x,
                top * placing.scale_y,
                right * placing.scale_x,
                bottom * placing.scale_y,
            ],
            deepest: [centre[0] * placing.scale_x, centre[1] * placing.scale_y],
            coverage,
        })
    }
}
