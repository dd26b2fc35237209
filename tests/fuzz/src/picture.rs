//! Pictures and masks.

use espalier_protocol::manifest::Rle;
use espalier_runtime::picture::{MAX_PIXELS, MAX_SIDE, Picture};
use espalier_runtime::{Mask, PictureError};

/// A picture's file: what is decoded fills its rectangle and stays under the caps.
pub fn picture(bytes: &[u8]) {
    match Picture::decode(bytes) {
        Ok(picture) => {
            let (width, height) = (picture.width(), picture.height());
            let pixels = u64::from(width) * u64::from(height);
            assert!(width <= MAX_SIDE && height <= MAX_SIDE && (1..=MAX_PIXELS).contains(&pixels));
            assert_eq!(picture.rgb().len() as u64, 3 * pixels);
        }
        Err(PictureError::FileTooLarge(_)) => panic!("a small file was called too large"),
        Err(_) => {}
    }
}

/// COCO's run lengths in JSON.
pub fn mask(bytes: &[u8]) {
    let Ok(rle) = serde_json::from_slice::<Rle>(bytes) else {
        return;
    };
    let Ok(mask) = Mask::from_rle(&rle) else {
        return;
    };
    let pixels = u64::from(mask.width()) * u64::from(mask.height());
    assert!((1..=MAX_PIXELS).contains(&pixels) && mask.area() <= pixels);
    assert_eq!(mask.pixels().len() as u64, pixels);
    let again = Mask::from_rle(&mask.to_rle()).expect("a mask that we wrote is read");
    assert!(again == mask, "a mask changed on its way");
}
