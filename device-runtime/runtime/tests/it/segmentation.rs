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
