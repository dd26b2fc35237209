//! Pictures as people send them: JPEG or PNG bytes, checked before they are decoded, turned upright.

use std::io::Cursor;

use image::{ImageDecoder as _, ImageError, ImageReader, Limits, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// The largest file in bytes; stops endless uploads.
pub const MAX_FILE_BYTES: usize = 32 << 20;
/// The longest side in pixels.
pub const MAX_SIDE: u32 = 16_384;
/// The most pixels; stops small files that unfold into gigabytes.
pub const MAX_PIXELS: u64 = 64_000_000;

/// Why bytes are not a picture that can be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// Larger than [`MAX_FILE_BYTES`].
    #[error("the picture's file has {0} bytes: at most {MAX_FILE_BYTES} are allowed")]
    FileTooLarge(usize),
    /// Neither a JPEG nor a PNG file.
    #[error("the picture is neither a JPEG nor a PNG file: convert it to one of them")]
    UnknownFormat,
    /// Too many pixels, or none.
    #[error(
        "the picture has {width} × {height} pixels: 1 to {MAX_SIDE} a side and {MAX_PIXELS} in all are allowed"
    )]
    Dimensions {
        /// Width in the file.
        width: u32,
        /// Height in the file.
        height: u32,
    },
    /// The file ends before the picture does.
    #[error("the {0} file is cut off: send it whole")]
    Truncated(&'static str),
    /// The file's contents contradict its format.
    #[error("the {format} file is broken: {reason}")]
    Broken {
        /// `JPEG` or `PNG`.
        format: &'static str,
        /// What the decoder found.
        reason: String,
    },
}

/// A picture in RGB, 8 bits a channel, upright, never empty.
///
/// Transparency is dropped, deeper channels are reduced, grey is spread and CMYK is converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Picture {
    /// Decodes a JPEG or PNG file and turns it as its EXIF orientation says.
    ///
    /// # Errors
    /// For whatever is wrong with the file, by name; see [`PictureError`].
    pub fn decode(file: &[u8]) -> Result<Self, PictureError> {
        if file.len() > MAX_FILE_BYTES {
            return Err(PictureError::FileTooLarge(file.len()));
        }
        let picture = if file.starts_with(&[0xff, 0xd8, 0xff]) {
            decode_jpeg(file)?
        } else if file.starts_with(b"\x89PNG\r\n\x1a\n") {
            decode_png(file)?
        } else {
            return Err(PictureError::UnknownFormat);
        };
        Ok(picture.upright(orientation(file)))
    }

    /// A picture from its RGB bytes, row-major; `None` when they do not fill a rectangle that
    /// [`Picture::decode`] would allow.
    #[must_use]
    pub fn from_rgb(width: u32, height: u32, rgb: Vec<u8>) -> Option<Self> {
        check_dimensions(width, height).ok()?;
        (rgb.len() as u64 == 3 * u64::from(width) * u64::from(height)).then_some(Self {
            width,
            height,
            rgb,
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

    /// The RGB bytes, row-major.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Undoes the turn and mirroring that the EXIF orientation (1 to 8) describes.
    fn upright(self, orientation: u32) -> Self {
        use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
        if !(2..=8).contains(&orientation) {
            return self;
        }
        let Some(stored) = RgbImage::from_raw(self.width, self.height, self.rgb) else {
            unreachable!("a picture's bytes fill its rectangle")
        };
        let upright = match orientation {
            2 => flip_horizontal(&stored),
            3 => rotate180(&stored),
            4 => flip_vertical(&stored),
            5 => rotate90(&flip_vertical(&stored)),
            6 => rotate90(&stored),
            7 => rotate270(&flip_vertical(&stored)),
            _ => rotate270(&stored),
        };
        Self {
            width: upright.width(),
            height: upright.height(),
            rgb: upright.into_raw(),
        }
    }
}

fn check_dimensions(width: u32, height: u32) -> Result<(), PictureError> {
    let sides = 1..=MAX_SIDE;
    let fits = sides.contains(&width)
        && sides.contains(&height)
        && u64::from(width) * u64::from(height) <= MAX_PIXELS;
    if fits {
        Ok(())
    } else {
        Err(PictureError::Dimensions { width, height })
    }
}

fn decode_jpeg(file: &[u8]) -> Result<Picture, PictureError> {
    let broken = |reason: &dyn ToString| PictureError::Broken {
        format: "JPEG",
        reason: reason.to_string(),
    };
    let options = DecoderOptions::default()
        .set_max_width(MAX_SIDE as usize)
        .set_max_height(MAX_SIDE as usize)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    decoder.decode_headers().map_err(|error| broken(&error))?;
    let info = decoder.info().ok_or_else(|| broken(&"it has no header"))?;
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    check_dimensions(width, height)?;
    // The decoder fills what is missing with grey: right for a browser, wrong for a measurement.
    if !jpeg_ends(file) {
        return Err(PictureError::Truncated("JPEG"));
    }
    let rgb = decoder.decode().map_err(|error| broken(&error))?;
    Picture::from_rgb(width, height, rgb).ok_or_else(|| broken(&"its scans do not fill it"))
}

/// Whether an end marker follows the first scan. Thumbnails inside headers have markers of their
/// own, so headers are skipped by their lengths.
fn jpeg_ends(file: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    let mut at = 2;
    while let Some(&[0xff, marker, ref rest @ ..]) = file.get(at..) {
        let standalone = matches!(marker, 0xff | 0x01 | 0xd0..=0xd9);
        let length = match rest {
            _ if standalone => 0,
            [high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => return false,
        };
        if marker == START_OF_SCAN {
            return rest.windows(2).any(|pair| pair == [0xff, 0xd9]);
        }
        // 0xff before a marker is padding: one byte of it is skipped at a time.
        at += if marker == 0xff { 1 } else { 2 + length };
    }
    false
}

fn decode_png(file: &[u8]) -> Result<Picture, PictureError> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_PIXELS * 8);
    let mut reader = ImageReader::with_format(Cursor::new(file), image::ImageFormat::Png);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(broken_png)?;
    let (width, height) = decoder.dimensions();
    check_dimensions(width, height)?;
    // Colours are taken as the file states them; no transfer curve is applied.
    let picture = image::DynamicImage::from_decoder(decoder).map_err(broken_png)?;
    let rgb = picture.into_rgb8().into_raw();
    Picture::from_rgb(width, height, rgb).ok_or(PictureError::Dimensions { width, height })
}

fn broken_png(error: ImageError) -> PictureError {
    match error {
        ImageError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
            PictureError::Truncated("PNG")
        }
        other => PictureError::Broken {
            format: "PNG",
            reason: other.to_string(),
        },
    }
}

/// The EXIF orientation, 1 (upright) when there is none or it cannot be read.
fn orientation(file: &[u8]) -> u32 {
    let exif = exif::Reader::new()
        .read_from_container(&mut Cursor::new(file))
        .ok();
    let field = exif
        .as_ref()
        .and_then(|exif| exif.get_field(exif::Tag::Orientation, exif::In::PRIMARY));
    field.and_then(|field| field.value.get_uint(0)).unwrap_or(1)
}
