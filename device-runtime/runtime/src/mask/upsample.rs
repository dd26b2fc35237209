//! From a graph's coarse logits to a mask in pixels of the original picture.

use super::Mask;

/// One plane of logits as a graph gave it; row-major, and exactly as long as its sides say.
#[derive(Clone, Copy, Debug)]
pub struct LogitPlane<'a> {
    width: usize,
    height: usize,
    logits: &'a [f32],
}

/// The part of a plane that shows the picture, from the plane's top left corner, in the plane's
/// own pixels. The rest is padding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Width of the shown part.
    pub width: f32,
    /// Height of the shown part.
    pub height: f32,
}

/// Where an output pixel samples the plane along one axis: between `near` and `far`, this far towards `far`.
struct Tap {
    near: usize,
    far: usize,
    towards_far: f32,
}

impl<'a> LogitPlane<'a> {
    /// A plane; `None` when a side is empty or the logits do not fill it.
    #[must_use]
    pub fn new(width: usize, height: usize, logits: &'a [f32]) -> Option<Self> {
        let filled = width > 0 && height > 0 && width.checked_mul(height) == Some(logits.len());
        filled.then_some(Self {
            width,
            height,
            logits,
        })
    }

    /// The mask over a picture of the given size: the window's logits, bilinearly interpolated at
    /// each pixel's centre, above the threshold. Logits that are not numbers count as outside.
    #[must_use]
    pub fn to_mask(&self, window: Window, width: u32, height: u32, threshold: f32) -> Mask {
        let columns = taps(width, window.width, self.width);
        let rows = taps(height, window.height, self.height);
        let mut inside = Vec::with_capacity(columns.len() * rows.len());
        let mut blended = vec![0.0; self.width];
        for row in rows {
            self.blend_rows(&row, &mut blended);
            inside.extend(columns.iter().map(|column| {
                let (near, far) = (blended[column.near], blended[column.far]);
                near + (far - near) * column.towards_far > threshold
            }));
        }
        Mask {
            width,
            height,
            inside,
        }
    }

    fn blend_rows(&self, row: &Tap, blended: &mut [f32]) {
        let line = |at: usize| &self.logits[at * self.width..(at + 1) * self.width];
        for (out, (near, far)) in blended
            .iter_mut()
            .zip(line(row.near).iter().zip(line(row.far)))
        {
            *out = near + (far - near) * row.towards_far;
        }
    }
}

fn taps(pixels: u32, shown: f32, plane: usize) -> Vec<Tap> {
    let last = plane - 1;
    let step = shown / pixels as f32;
    let tap = |pixel: u32| {
        let position = ((pixel as f32 + 0.5) * step - 0.5).clamp(0.0, last as f32);
        // The clamp keeps it within the plane, so the cast only drops the fraction.
        let near = position as usize;
        Tap {
            near,
            far: (near + 1).min(last),
            towards_far: position - near as f32,
        }
    };
    (0..pixels).map(tap).collect()
}
