use espalier_protocol::manifest::Rle;
use espalier_runtime::mask::{InvalidRle, LogitPlane, Mask, Window};
use proptest::prelude::*;

fn mask(width: u32, height: u32, inside: impl Fn(u32, u32) -> bool) -> Mask {
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    Mask::from_pixels(width, height, pixels.map(|(x, y)| inside(x, y)).collect()).unwrap()
}

/// Counts as pycocotools 2.0 writes them for the same masks.
#[test]
fn run_lengths_are_cocos_own() {
    let in_circle = |x: u32, y: u32| (x as i64 - 25).pow(2) + (y as i64 - 20).pow(2) < 225;
    let known = [
        (
            mask(7, 5, |x, y| (2..5).contains(&x) && (1..4).contains(&y)),
            ";320009",
        ),
        (mask(4, 3, |_, _| false), "<"),
        (mask(4, 3, |_, _| true), "0<"),
        (
            mask(50, 40, in_circle),
            "W>;k04M2M4M2O0O2N2O0O2O00000000000000000001N101N2N101N3L3N3LS<",
        ),
        (mask(6, 4, |x, y| (x + y) % 2 == 1), "11110O10O10O10O10O0"),
        (mask(800, 600, |x, _| x >= 400), "P\\Z7P\\Z7"),
    ];
    for (mask, counts) in known {
        let rle = mask.to_rle();
        assert_eq!(
            rle,
            Rle {
                size: [mask.height(), mask.width()],
                counts: counts.into()
            }
        );
        assert_eq!(Mask::from_rle(&rle).unwrap(), mask);
    }
}

#[test]
fn hostile_run_lengths_are_refused_by_name() {
    let decode = |width, height, counts: &str| {
        Mask::from_rle(&Rle {
            size: [height, width],
            counts: counts.into(),
        })
    };
    assert_eq!(
        decode(0, 4, "0"),
        Err(InvalidRle::Size {
            width: 0,
            height: 4
        })
    );
    assert!(matches!(
        decode(u32::MAX, u32::MAX, "0"),
        Err(InvalidRle::Size { .. })
    ));
    assert_eq!(
        decode(4, 3, ""),
        Err(InvalidRle::Coverage {
            covered: 0,
            pixels: 12
        })
    );
    assert_eq!(
        decode(4, 3, "=1"),
        Err(InvalidRle::Coverage {
            covered: 14,
            pixels: 12
        })
    );
    assert_eq!(decode(4, 3, "4é"), Err(InvalidRle::Text { at: 1 }));
    assert_eq!(
        decode(4, 3, "O"),
        Err(InvalidRle::Text { at: 0 }),
        "a negative run"
    );
    assert_eq!(
        decode(4, 3, "oooooooooooo"),
        Err(InvalidRle::Text { at: 0 }),
        "a number without an end"
    );
    assert_eq!(
        decode(4, 3, "o"),
        Err(InvalidRle::Text { at: 1 }),
        "a number that is cut off"
    );
}

#[test]
fn measures_count_pixels() {
    let square = mask(10, 8, |x, y| (2..6).contains(&x) && (1..5).contains(&y));
    let shifted = mask(10, 8, |x, y| (4..8).contains(&x) && (1..5).contains(&y));
    let empty = mask(10, 8, |_, _| false);
    assert_eq!((square.area(), square.bounds()), (16, Some([2, 1, 6, 5])));
    assert_eq!((empty.area(), empty.bounds()), (0, None));
    assert_eq!(square.iou(&shifted), Some(8.0 / 24.0));
    assert_eq!(square.iou(&square), Some(1.0));
    assert_eq!(
        empty.iou(&empty),
        Some(0.0),
        "agreeing on nothing earns nothing"
    );
    assert_eq!(
        square.iou(&mask(8, 10, |_, _| true)),
        None,
        "masks of other pictures"
    );
}

#[test]
fn padding_never_reaches_the_mask() {
    // The picture fills the left half of the plane; the padding on the right is all inside.
    let logits: Vec<f32> = (0..8 * 4)
        .map(|at| if at % 8 < 4 { -1.0 } else { 1.0 })
        .collect();
    let plane = LogitPlane::new(8, 4, &logits).unwrap();
    let shown = plane.to_mask(
        Window {
            width: 4.0,
            height: 4.0,
        },
        4,
        4,
        0.0,
    );
    assert_eq!(shown.area(), 0);
    assert!(LogitPlane::new(8, 5, &logits).is_none());
}

#[test]
fn logits_that_are_not_numbers_count_as_outside() {
    let plane = LogitPlane::new(1, 1, &[f32::NAN]).unwrap();
    assert_eq!(
        plane
            .to_mask(
                Window {
                    width: 1.0,
                    height: 1.0
                },
                3,
                3,
                0.0
            )
            .area(),
        0
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_mask_survives_its_run_lengths(width in 1u32..40, height in 1u32..40, seed: Vec<bool>) {
        let pixel = |x: u32, y: u32| seed.get((x * height + y) as usize).copied().unwrap_or(false);
        let drawn = mask(width, height, pixel);
        prop_assert_eq!(Mask::from_rle(&drawn.to_rle()).unwrap(), drawn);
    }

    #[test]
    fn any_text_is_a_mask_or_an_error(width in 0u32..60, height in 0u32..60, counts in "[0-o]{0,40}") {
        if let Ok(mask) = Mask::from_rle(&Rle { size: [height, width], counts }) {
            prop_assert_eq!((mask.width(), mask.height()), (width, height));
        }
    }

    #[test]
    fn iou_is_what_counting_pixels_gives(pixels in proptest::collection::vec(any::<(bool, bool)>(), 48)) {
        let side = |pick: fn(&(bool, bool)) -> bool| Mask::from_pixels(8, 6, pixels.iter().map(pick).collect()).unwrap();
        let shared = pixels.iter().filter(|(a, b)| *a && *b).count() as f64;
        let either = pixels.iter().filter(|(a, b)| *a || *b).count() as f64;
        let wanted = if either == 0.0 { 0.0 } else { shared / either };
        prop_assert_eq!(side(|p| p.0).iou(&side(|p| p.1)), Some(wanted));
    }
}
