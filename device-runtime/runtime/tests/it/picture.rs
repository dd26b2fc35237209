use std::io::Cursor;

use espalier_runtime::picture::{MAX_FILE_BYTES, Picture, PictureError};
use image::{DynamicImage, ImageFormat};

const QUADRANTS: &[u8] = include_bytes!("../pictures/quadrants.jpg");
const PROGRESSIVE: &[u8] = include_bytes!("../pictures/quadrants-progressive.jpg");
const CMYK: &[u8] = include_bytes!("../pictures/quadrants-cmyk.jpg");
const GREY: &[u8] = include_bytes!("../pictures/quadrants-grey.jpg");
/// The same pixels, to be shown a quarter turn clockwise.
const TURNED: &[u8] = include_bytes!("../pictures/quadrants-turned.jpg");

fn png(picture: DynamicImage) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// Red, green and blue, each rounded to dark or bright.
fn colour(picture: &Picture, x: u32, y: u32) -> [bool; 3] {
    let at = 3 * (y * picture.width() + x) as usize;
    [0, 1, 2].map(|channel| picture.rgb()[at + channel] > 127)
}

const RED: [bool; 3] = [true, false, false];
const GREEN: [bool; 3] = [false, true, false];
const BLUE: [bool; 3] = [false, false, true];
const WHITE: [bool; 3] = [true; 3];

#[test]
fn jpegs_of_every_kind_become_rgb() {
    for file in [QUADRANTS, PROGRESSIVE, CMYK] {
        let picture = Picture::decode(file).unwrap();
        assert_eq!((picture.width(), picture.height()), (32, 16));
        let corners = [(4, 4), (20, 4), (4, 12), (20, 12)].map(|(x, y)| colour(&picture, x, y));
        assert_eq!(corners, [RED, GREEN, BLUE, WHITE]);
    }
    let grey = Picture::decode(GREY).unwrap();
    assert_eq!(grey.rgb()[..3], [76; 3]);
}

#[test]
fn a_turned_photograph_is_set_upright() {
    let picture = Picture::decode(TURNED).unwrap();
    assert_eq!((picture.width(), picture.height()), (16, 32));
    let corners = [(4, 4), (12, 4), (4, 28), (12, 28)].map(|(x, y)| colour(&picture, x, y));
    assert_eq!(corners, [BLUE, RED, WHITE, GREEN]);
}

#[test]
fn pngs_of_every_depth_become_rgb() {
    let deep = png(DynamicImage::ImageRgb16(image::ImageBuffer::from_pixel(
        3,
        2,
        image::Rgb([65_535, 0, 32_896]),
    )));
    let clear = png(DynamicImage::ImageRgba8(image::RgbaImage::from_pixel(
        3,
        2,
        image::Rgba([255, 0, 128, 0]),
    )));
    let grey = png(DynamicImage::ImageLuma16(image::ImageBuffer::from_pixel(
        3,
        2,
        image::Luma([32_896]),
    )));
    assert_eq!(
        Picture::decode(&deep).unwrap().rgb(),
        [255, 0, 128].repeat(6)
    );
    assert_eq!(
        Picture::decode(&clear).unwrap().rgb(),
        [255, 0, 128].repeat(6)
    );
    assert_eq!(Picture::decode(&grey).unwrap().rgb(), [128; 18]);
}

#[test]
fn a_file_that_is_cut_off_is_refused_at_every_length() {
    let png = png(DynamicImage::new_rgb8(9, 9));
    // What a PNG ends with (a checksum and an empty chunk) holds no pixel: without it, nothing is lost.
    let files = [(QUADRANTS, 0), (PROGRESSIVE, 0), (TURNED, 0), (&png, 16)];
    for (file, spare) in files {
        for length in 0..file.len() - spare {
            assert!(
                Picture::decode(&file[..length]).is_err(),
                "{length} of {} bytes",
                file.len()
            );
        }
    }
    assert_eq!(
        Picture::decode(&QUADRANTS[..QUADRANTS.len() - 1]),
        Err(PictureError::Truncated("JPEG"))
    );
}

#[test]
fn bytes_that_are_no_picture_are_refused() {
    assert_eq!(Picture::decode(b""), Err(PictureError::UnknownFormat));
    assert_eq!(Picture::decode(b"GIF89a"), Err(PictureError::UnknownFormat));
    assert_eq!(
        Picture::decode(&vec![0; MAX_FILE_BYTES + 1]),
        Err(PictureError::FileTooLarge(MAX_FILE_BYTES + 1))
    );
}

#[test]
fn damage_anywhere_never_panics() {
    for file in [
        QUADRANTS,
        PROGRESSIVE,
        CMYK,
        TURNED,
        &png(DynamicImage::new_rgb8(9, 9)),
    ] {
        for at in 0..file.len() {
            let mut damaged = file.to_vec();
            damaged[at] ^= 0xff;
            if let Ok(picture) = Picture::decode(&damaged) {
                assert_eq!(
                    picture.rgb().len(),
                    3 * (picture.width() * picture.height()) as usize
                );
            }
        }
    }
}

/// A small file that claims to unfold into gigabytes.
#[test]
fn a_decompression_bomb_is_refused_by_its_header() {
    let mut bomb = png(DynamicImage::new_rgb8(1, 1));
    bomb[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    let crc = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(
        Picture::decode(&bomb),
        Err(PictureError::Dimensions {
            width: 16_384,
            height: 16_384
        })
    );
    bomb[16..24].copy_from_slice(&[0xff; 8]);
    assert!(Picture::decode(&bomb).is_err());
}

#[test]
fn a_jpeg_that_unfolds_is_refused_by_its_header() {
    for (file, sizes) in [(QUADRANTS, 0xc0), (PROGRESSIVE, 0xc2)] {
        let mut bomb = file.to_vec();
        let header = bomb
            .windows(2)
            .position(|pair| pair == [0xff, sizes])
            .unwrap();
        // 16,384 × 16,384: each side is allowed, all of it is not.
        bomb[header + 5..header + 9].copy_from_slice(&[0x40, 0, 0x40, 0]);
        let sides = PictureError::Dimensions {
            width: 16_384,
            height: 16_384,
        };
        assert_eq!(Picture::decode(&bomb), Err(sides));
        bomb[header + 5..header + 9].copy_from_slice(&[0xff; 4]);
        assert!(Picture::decode(&bomb).is_err());
    }
}

/// Each scan of a progressive file goes over the whole picture again: a few kilobytes of them would take hours.
#[test]
fn a_jpeg_of_endless_scans_is_refused() {
    let end = PROGRESSIVE.len() - 2;
    let scan = PROGRESSIVE
        .windows(2)
        .rposition(|pair| pair == [0xff, 0xda])
        .unwrap();
    let scans = PROGRESSIVE[scan..end].repeat(5000);
    let bomb = [&PROGRESSIVE[..end], &scans, &PROGRESSIVE[end..]].concat();
    assert!(matches!(
        Picture::decode(&bomb),
        Err(PictureError::Broken { format: "JPEG", .. })
    ));
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
