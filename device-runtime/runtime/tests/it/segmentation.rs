use std::fs;

use espalier_protocol::manifest::{Prompt, Serving};
use espalier_runtime::graph::GraphError;
use espalier_runtime::picture::PictureError;
use espalier_runtime::segmentation::{LoadError, MAX_POINTS, PromptError, SegmentError, Timings};
use espalier_runtime::{EmbeddingCache, GraphOptions, ModelFolder, Picture, Segmenter};
use tempfile::TempDir;

use crate::tiny;

fn model(radius: f32) -> (TempDir, Segmenter) {
    let folder = TempDir::new().unwrap();
    tiny::write_model(folder.path(), radius);
    let segmenter = Segmenter::load(
        &ModelFolder::open(folder.path()).unwrap(),
        &GraphOptions::default(),
    )
    .unwrap();
    (folder, segmenter)
}

fn prompt(json: &str) -> Prompt {
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_click_is_answered_in_pixels_of_the_picture() {
    let (_folder, segmenter) = model(12.0);
    // Twice as large as the input and wider than high: scaled by a half, padded below.
    let file = tiny::picture(128, 96);
    let answer = segmenter
        .segment(
            &file,
            &prompt(r#"{"points":[{"x":70,"y":40}]}"#),
            &EmbeddingCache::new(0),
        )
        .unwrap();
    let [best, other] = answer.masks.as_slice() else {
        panic!("two masks are expected")
    };
    assert_eq!((best.score, other.score), (0.8, 0.4), "best score first");
    assert_eq!((best.mask.width(), best.mask.height()), (128, 96));
    let [x0, y0, x1, y1] = best.mask.bounds().unwrap().map(|corner| corner as f32);
    for (found, wanted) in [(x0, 46.0), (x1, 94.0), (y0, 16.0), (y1, 64.0)] {
        assert!(
            (found - wanted).abs() <= 2.0,
            "{found} should be near {wanted}"
        );
    }
    let circle = std::f32::consts::PI * 24.0 * 24.0;
    assert!((best.mask.area() as f32 / circle - 1.0).abs() < 0.05);
}

#[test]
fn a_box_alone_is_enough() {
    let (_folder, segmenter) = model(12.0);
    let boxed = prompt(r#"{"box":[20,10,60,50]}"#);
    let answer = segmenter
        .segment(&tiny::picture(80, 60), &boxed, &EmbeddingCache::new(0))
        .unwrap();
    assert!(answer.masks[0].mask.area() > 0);
}

#[test]
fn the_second_click_costs_no_encoder() {
    let (_folder, segmenter) = model(12.0);
    let cache = EmbeddingCache::new(1 << 20);
    let file = tiny::picture(80, 60);
    let ask = |json| segmenter.segment(&file, &prompt(json), &cache).unwrap();
    let first = ask(r#"{"points":[{"x":30,"y":20}]}"#);
    let second = ask(r#"{"points":[{"x":50,"y":40}]}"#);
    assert_eq!(
        (first.embedding_cached, second.embedding_cached),
        (false, true)
    );
    assert!(second.timings.encode.is_zero() && !first.timings.encode.is_zero());
    assert_ne!(first.masks, second.masks);
    cache.forget_bundle(segmenter.digest());
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn the_cache_keeps_its_budget() {
    let (_folder, segmenter) = model(12.0);
    let click = prompt(r#"{"points":[{"x":3,"y":2}]}"#);
    let one = segmenter
        .encode(
            &Picture::from_rgb(1, 1, vec![0; 3]).unwrap(),
            &mut Timings::default(),
        )
        .unwrap()
        .bytes();
    let cache = EmbeddingCache::new(2 * one);
    let ask = |side| {
        segmenter
            .segment(&tiny::picture(side, side), &click, &cache)
            .unwrap()
            .embedding_cached
    };
    assert_eq!(
        [ask(10), ask(11), ask(10), ask(12)],
        [false, false, true, false]
    );
    assert_eq!(cache.bytes(), 2 * one);
    assert_eq!(
        [ask(10), ask(11)],
        [true, false],
        "the longest unused went first"
    );
}

#[test]
fn prompts_that_make_no_sense_are_refused_by_name() {
    let (_folder, segmenter) = model(12.0);
    let ask = |prompt: &Prompt| match segmenter.segment(
        &tiny::picture(80, 60),
        prompt,
        &EmbeddingCache::new(0),
    ) {
        Err(SegmentError::Prompt(error)) => error,
        other => panic!("a prompt error is expected: {other:?}"),
    };
    assert_eq!(ask(&Prompt::default()), PromptError::Empty);
    let outside = |x, y| PromptError::Outside {
        x,
        y,
        width: 80,
        height: 60,
    };
    assert_eq!(
        ask(&prompt(r#"{"points":[{"x":80.5,"y":20}]}"#)),
        outside(80.5, 20.0)
    );
    assert_eq!(
        ask(&prompt(r#"{"points":[{"x":30,"y":-1}]}"#)),
        outside(30.0, -1.0)
    );
    assert_eq!(ask(&prompt(r#"{"box":[0,0,80,61]}"#)), outside(80.0, 61.0));
    assert_eq!(
        ask(&prompt(r#"{"box":[50,10,40,20]}"#)),
        PromptError::EmptyBox([50.0, 10.0, 40.0, 20.0])
    );
    let mut many = prompt(r#"{"points":[{"x":1,"y":1}]}"#);
    many.points = many.points.repeat(MAX_POINTS + 1);
    assert_eq!(
        ask(&many),
        PromptError::TooManyPoints {
            given: MAX_POINTS + 1,
            most: MAX_POINTS
        }
    );
    many.points.truncate(1);
    many.points[0].x = f32::NAN;
    assert_eq!(ask(&many), PromptError::NotFinite);
}

#[test]
fn a_broken_picture_is_named() {
    let (_folder, segmenter) = model(12.0);
    let file = tiny::picture(80, 60);
    let click = prompt(r#"{"points":[{"x":3,"y":2}]}"#);
    let answer = segmenter.segment(&file[..file.len() / 2], &click, &EmbeddingCache::new(0));
    assert!(
        matches!(
            answer,
            Err(SegmentError::Picture(PictureError::Truncated("PNG")))
        ),
        "{answer:?}"
    );
}

#[test]
fn a_description_that_does_not_fit_its_graphs_is_refused() {
    let folder = TempDir::new().unwrap();
    tiny::write_model(folder.path(), 12.0);
    let path = folder.path().join("model.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace("\"scores\": \"scores\"", "\"scores\": \"marks\""),
    )
    .unwrap();
    let refused = Segmenter::load(
        &ModelFolder::open(folder.path()).unwrap(),
        &GraphOptions::default(),
    )
    .unwrap_err();
    assert!(
        matches!(&refused, LoadError::Graph { part: "decoder", source: GraphError::UnknownOutput(name) } if name == "marks"),
        "{refused}"
    );
}

#[test]
fn another_task_is_refused_by_name() {
    let folder = TempDir::new().unwrap();
    tiny::write_model(folder.path(), 12.0);
    let path = folder.path().join("model.json");
    let mut description: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    description["serving"] = serde_json::json!({ "task": "tensor", "graph": "decoder.onnx" });
    fs::write(&path, description.to_string()).unwrap();
    let model = ModelFolder::open(folder.path()).unwrap();
    assert!(matches!(model.serving(), Serving::Tensor(_)));
    assert!(matches!(
        Segmenter::load(&model, &GraphOptions::default()),
        Err(LoadError::OtherTask("tensor"))
    ));
}

/// Names, shapes and frames as `scripts/export_onnx_model.py` of facebookresearch/segment-anything
/// writes them, around an encoder with the preprocessing inside: the disk is drawn at the original size.
#[test]
fn the_official_export_is_served_as_it_is() {
    let folder = TempDir::new().unwrap();
    write_official(folder.path());
    let segmenter = Segmenter::load(
        &ModelFolder::open(folder.path()).unwrap(),
        &GraphOptions::default(),
    )
    .unwrap();
    let picture = Picture::from_rgb(512, 256, vec![90; 3 * 512 * 256]).unwrap();
    let mut timings = Timings::default();
    let embedding = segmenter.encode(&picture, &mut timings).unwrap();
    assert_eq!(
        embedding.tensors()[0].as_f32(),
        Some(&[90.0][..]),
        "no padding, no normalisation"
    );
    let masks = segmenter
        .prompt(
            &embedding,
            &prompt(r#"{"points":[{"x":300,"y":100}]}"#),
            &mut timings,
        )
        .unwrap();
    assert_eq!((masks[0].mask.width(), masks[0].mask.height()), (512, 256));
    assert_eq!(masks[0].mask.bounds(), Some([280, 80, 320, 120]));
}

fn write_official(folder: &std::path::Path) {
    use crate::onnx::{Graph, Values};
    let encoder = Graph::new()
        .input("input_image", &[-1, -1, 3])
        .node(
            "ReduceMin",
            &["input_image"],
            "image_embeddings",
            &[("keepdims", 1)],
        )
        .output("image_embeddings", &[1, 1, 1]);
    fs::write(folder.join("encoder.onnx"), encoder.encode()).unwrap();
    // 400 − |pixel − point|², where the point comes in the frame of 1024 pixels.
    let mut decoder = Graph::new()
        .input("image_embeddings", &[1, 1, 1])
        .input("point_coords", &[1, -1, 2])
        .input("point_labels", &[1, -1])
        .input("mask_input", &[1, 1, 256, 256])
        .input("has_mask_input", &[1])
        .input("orig_im_size", &[2])
        .constant("frame", &[], Values::Floats(vec![1024.0]))
        .constant("nothing", &[], Values::Floats(vec![0.0]))
        .constant("one", &[], Values::Floats(vec![1.0]))
        .constant("half", &[], Values::Floats(vec![0.5]))
        .constant("square", &[], Values::Floats(vec![400.0]))
        .constant("estimate", &[1, 1], Values::Floats(vec![0.9]))
        .constant("first", &[], Values::Integers(vec![0]))
        .constant("second", &[], Values::Integers(vec![1]))
        .constant("as_rows", &[4], Values::Integers(vec![1, 1, -1, 1]))
        .constant("as_columns", &[4], Values::Integers(vec![1, 1, 1, -1]))
        .node(
            "ReduceMax",
            &["orig_im_size"],
            "longest",
            &[("keepdims", 0)],
        )
        .node("Div", &["longest", "frame"], "scale", &[])
        .node(
            "Gather",
            &["point_coords", "first"],
            "point",
            &[("axis", 1)],
        );
    for (side, at, axis) in [("rows", "first", "second"), ("columns", "second", "first")] {
        let named = |step: &str| format!("{side}_{step}");
        let chain: [(&str, Vec<String>, &str); 8] = [
            ("Gather", vec!["orig_im_size".into(), at.into()], "count"),
            (
                "Range",
                vec!["nothing".into(), named("count"), "one".into()],
                "edges",
            ),
            ("Add", vec![named("edges"), "half".into()], "centres"),
            (
                "Reshape",
                vec![named("centres"), format!("as_{side}")],
                "line",
            ),
            ("Gather", vec!["point".into(), axis.into()], "input"),
            ("Mul", vec![named("input"), "scale".into()], "at"),
            ("Sub", vec![named("line"), named("at")], "away"),
            ("Mul", vec![named("away"), named("away")], "away2"),
        ];
        for (operator, inputs, output) in chain {
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            let axis: &[(&str, i64)] = if output == "input" {
                &[("axis", 1)]
            } else {
                &[]
            };
            decoder = decoder.node(operator, &inputs, &named(output), axis);
        }
    }
    let decoder = decoder
        .node("Add", &["rows_away2", "columns_away2"], "distance2", &[])
        .node("Sub", &["square", "distance2"], "masks", &[])
        .node("Identity", &["estimate"], "iou_predictions", &[])
        .output("masks", &[1, 1, -1, -1])
        .output("iou_predictions", &[1, 1]);
    fs::write(folder.join("decoder.onnx"), decoder.encode()).unwrap();
    let description = serde_json::json!({
        "format": 1,
        "model": "sam",
        "serving": {
            "task": "promptable-segmentation",
            "encoder": {
                "graph": "encoder.onnx",
                "input": "input_image",
                "outputs": ["image_embeddings"],
                "preprocessing": {
                    "height": 1024, "width": 1024, "fit": "long-side-pad", "scale": 1.0,
                    "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "layout": "hwc",
                },
            },
            "decoder": {
                "graph": "decoder.onnx",
                "embeddings": ["image_embeddings"],
                "point_coords": "point_coords",
                "point_labels": "point_labels",
                "pad_point": true,
                "mask_input": { "mask": "mask_input", "has_mask": "has_mask_input", "height": 256, "width": 256 },
                "original_size": "orig_im_size",
                "masks": "masks",
                "mask_frame": "original",
                "scores": "iou_predictions",
                "mask_threshold": 0.0,
            },
        },
    });
    fs::write(folder.join("model.json"), description.to_string()).unwrap();
}
