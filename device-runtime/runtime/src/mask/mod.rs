//! Binary masks over a picture, their measures, and COCO's run lengths.

mod rle;
mod upsample;

pub use rle::InvalidRle;
pub use upsample::{LogitPlane, Window};

use espalier_protocol::manifest::Rle;

/// Which pixels of a picture belong to an object; row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    width: u32,
    height: u32,
    inside: Vec<bool>,
}

impl Mask {
    /// A mask from its pixels in row-major order; `None` when they do not fill the rectangle.
    #[must_use]
    pub fn from_pixels(width: u32, height: u32, inside: Vec<bool>) -> Option<Self> {
        (inside.len() as u64 == u64::from(width) * u64::from(height)).then_some(Self {
            width,
            height,
            inside,
        })
    }

    /// Pixels from left to right.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels from top to bottom.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The pixels in row-major order: true inside of the object.
    #[must_use]
    pub fn pixels(&self) -> &[bool] {
        &self.inside
    }

    /// How many pixels are inside.
    #[must_use]
    pub fn area(&self) -> u64 {
        self.inside.iter().filter(|inside| **inside).count() as u64
    }

    /// The smallest rectangle around the inside: `[x0, y0, x1, y1]` in pixels, the far edges
    /// excluded. `None` for an empty mask.
    #[must_use]
    pub fn bounds(&self) -> Option<[u32; 4]> {
        let width = self.width as usize;
        let mut bounds: Option<[usize; 4]> = None;
        for (y, row) in self.inside.chunks_exact(width.max(1)).enumerate() {
            let Some(first) = row.iter().position(|inside| *inside) else {
                continue;
            };
            let last = row.iter().rposition(|inside| *inside).unwrap_or(first);
            let [x0, y0, x1, _] = bounds.unwrap_or([first, y, last + 1, y + 1]);
            bounds = Some([x0.min(first), y0, x1.max(last + 1), y + 1]);
        }
        // Lossless: no coordinate exceeds the mask's own u32 sides.
        bounds.map(|corners| corners.map(|corner| corner as u32))
    }

    /// Intersection over union with a mask of the same picture, 0 to 1.
    ///
    /// Two empty masks count 0: agreeing on nothing earns nothing. `None` when the sizes differ.
    #[must_use]
    pub fn iou(&self, other: &Self) -> Option<f64> {
        if (self.width, self.height) != (other.width, other.height) {
            return None;
        }
        let (mut shared, mut either) = (0u64, 0u64);
        for (a, b) in self.inside.iter().zip(&other.inside) {
            shared += u64::from(a & b);
            either += u64::from(a | b);
        }
        Some(if either == 0 {
            0.0
        } else {
            shared as f64 / either as f64
        })
    }

    /// The mask as COCO's compressed run lengths.
    #[must_use]
    pub fn to_rle(&self) -> Rle {
        rle::encode(self)
    }

    /// The mask of COCO's compressed run lengths.
    ///
    /// # Errors
    /// When the text is not run lengths, they do not fill the rectangle, or it has more than
    /// [`crate::picture::MAX_PIXELS`] pixels.
    pub fn from_rle(rle: &Rle) -> Result<Self, InvalidRle> {
        rle::decode(rle)
    }
}
