//! From a picture to a graph's input tensor, as the manifest describes it.

use espalier_protocol::manifest::{Fit, Layout, Preprocessing};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::picture::Picture;
use crate::tensor::{Elements, Tensor};

/// How a picture lies in the input's rectangle: where its pixels went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placing {
    /// Width of the picture inside the input, in input pixels, padding excluded.
    pub shown_width: u32,
    /// Height of the picture inside the input, in input pixels, padding excluded.
    pub shown_height: u32,
    /// Input pixels for each picture pixel, horizontally.
    pub scale_x: f32,
    /// Input pixels for each picture pixel, vertically.
    pub scale_y: f32,
}

impl Placing {
    /// Where a picture of the given size lies.
    #[must_use]
    pub fn of(preprocessing: &Preprocessing, width: u32, height: u32) -> Self {
        let (input_width, input_height) = (
            f64::from(preprocessing.width),
            f64::from(preprocessing.height),
        );
        let (width, height) = (f64::from(width), f64::from(height));
        let (shown_width, shown_height) = match preprocessing.fit {
            Fit::Stretch => (input_width, input_height),
            Fit::LongSidePad => {
                let scale = (input_width / width).min(input_height / height);
                // Half up, as the reference implementation of Segment Anything rounds.
                let round = |side: f64, most: f64| (side * scale + 0.5).floor().clamp(1.0, most);
                (round(width, input_width), round(height, input_height))
            }
        };
        Self {
            shown_width: shown_width as u32,
            shown_height: shown_height as u32,
            scale_x: (shown_width / width) as f32,
            scale_y: (shown_height / height) as f32,
        }
    }
}

/// The picture as the input tensor, padded to the input's rectangle, and how it lies in there.
#[must_use]
pub fn to_tensor(picture: &Picture, preprocessing: &Preprocessing) -> (Tensor, Placing) {
    let placing = Placing::of(preprocessing, picture.width(), picture.height());
    let resized = resize(picture, placing.shown_width, placing.shown_height);
    let size = (preprocessing.width, preprocessing.height);
    (normalise(&resized, preprocessing, &placing, size), placing)
}

/// The same without padding: for graphs that take any size and pad inside, after a normalisation of their own.
#[must_use]
pub fn to_unpadded_tensor(picture: &Picture, preprocessing: &Preprocessing) -> (Tensor, Placing) {
    let placing = Placing::of(preprocessing, picture.width(), picture.height());
    let resized = resize(picture, placing.shown_width, placing.shown_height);
    let size = (placing.shown_width, placing.shown_height);
    (normalise(&resized, preprocessing, &placing, size), placing)
}

/// Bilinear with a support that grows when the picture shrinks, so that nothing aliases.
fn resize(picture: &Picture, width: u32, height: u32) -> Vec<u8> {
    if (width, height) == (picture.width(), picture.height()) {
        return picture.rgb().to_vec();
    }
    let mut resized = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let source = ImageRef::new(
        picture.width(),
        picture.height(),
        picture.rgb(),
        PixelType::U8x3,
    );
    let outcome = source.map(|source| Resizer::new().resize(&source, &mut resized, &options));
    // Only mismatched pixel types and short buffers fail, and a `Picture` rules both out.
    debug_assert!(
        matches!(outcome, Ok(Ok(()))),
        "resizing a whole RGB picture cannot fail"
    );
    resized.into_vec()
}

fn normalise(
    rgb: &[u8],
    preprocessing: &Preprocessing,
    placing: &Placing,
    size: (u32, u32),
) -> Tensor {
    let (width, height) = (size.0 as usize, size.1 as usize);
    let tables = [0, 1, 2].map(|channel| table(preprocessing, channel));
    let mut values = vec![0.0f32; 3 * width * height];
    let rows = rgb
        .chunks_exact(3 * placing.shown_width as usize)
        .take(height);
    match preprocessing.layout {
        Layout::Nchw => {
            for (channel, (plane, table)) in values
                .chunks_exact_mut(width * height)
                .zip(&tables)
                .enumerate()
            {
                for (line, row) in plane.chunks_exact_mut(width).zip(rows.clone()) {
                    for (value, pixel) in line.iter_mut().zip(row.chunks_exact(3)) {
                        *value = table[usize::from(pixel[channel])];
                    }
                }
            }
        }
        Layout::Nhwc | Layout::Hwc => {
            for (line, row) in values.chunks_exact_mut(3 * width).zip(rows) {
                for (at, (value, byte)) in line.iter_mut().zip(row).enumerate() {
                    *value = tables[at % 3][usize::from(*byte)];
                }
            }
        }
    }
    let shape = match preprocessing.layout {
        Layout::Nchw => vec![1, 3, height, width],
        Layout::Nhwc => vec![1, height, width, 3],
        Layout::Hwc => vec![height, width, 3],
    };
    Tensor::filled(shape, Elements::F32(values))
}

/// A channel's value for each byte: there are only 256.
fn table(preprocessing: &Preprocessing, channel: usize) -> [f32; 256] {
    let (mean, std) = (preprocessing.mean[channel], preprocessing.std[channel]);
    std::array::from_fn(|byte| (byte as f32 * preprocessing.scale - mean) / std)
}
