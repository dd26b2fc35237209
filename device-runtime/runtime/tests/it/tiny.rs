//! A promptable model small enough to write by hand: it answers the first point of a prompt with a
//! disk around it. The radius is in the graph, so an answer shows which bundle gave it.

use std::fs;
use std::path::Path;

use espalier_protocol::Digest;
use espalier_protocol::manifest::{
    Decoder, Encoder, FORMAT, FileEntry, Fit, Golden, GoldenTolerance, Layout, MANIFEST_FILE,
    MODEL_FILE, Manifest, MaskFrame, ModelDescription, Preprocessing, Prompt,
    PromptableSegmentation, Requirements, Serving,
};
use espalier_runtime::segmentation::{EmbeddingCache, Segmenter};
use espalier_runtime::{GraphOptions, ModelFolder};

use super::onnx::{Graph, Values};

/// Sides of the encoder's input.
pub const INPUT: u32 = 64;
/// Sides of the decoder's masks.
pub const MASK: u32 = 32;

/// Writes a full model that answers with a disk of `radius` input pixels, and one half as wide.
pub fn write_model(folder: &Path, radius: f32) {
    fs::create_dir_all(folder).unwrap();
    write_graphs(folder, radius);
    let description = ModelDescription {
        format: FORMAT,
        model: "tiny".parse().unwrap(),
        summary: String::new(),
        serving: serving(),
    };
    fs::write(
        folder.join(MODEL_FILE),
        serde_json::to_vec_pretty(&description).unwrap(),
    )
    .unwrap();
}

/// Writes a bundle with one golden input; its digest is returned.
pub fn write_bundle(folder: &Path, radius: f32) -> Digest {
    write_model(folder, radius);
    write_golden(folder);
    fs::remove_file(folder.join(MODEL_FILE)).unwrap();
    write_manifest(folder)
}

/// A picture in one colour.
pub fn picture(width: u32, height: u32) -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    let pixels = image::RgbImage::from_pixel(width, height, image::Rgb([90, 120, 200]));
    pixels.write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

fn serving() -> Serving {
    Serving::PromptableSegmentation(PromptableSegmentation {
        encoder: Encoder {
            graph: "encoder.onnx".parse().unwrap(),
            input: "picture".into(),
            preprocessing: Preprocessing {
                height: INPUT,
                width: INPUT,
                fit: Fit::LongSidePad,
                scale: 1.0 / 255.0,
                mean: [0.5; 3],
                std: [0.5; 3],
                layout: Layout::Nchw,
            },
            outputs: vec!["embedding".into()],
        },
        decoder: Decoder {
            graph: "decoder.onnx".parse().unwrap(),
            embeddings: vec!["known".into()],
            point_coords: "point_coords".into(),
            point_labels: "point_labels".into(),
            pad_point: true,
            mask_input: None,
            original_size: None,
            masks: "masks".into(),
            mask_frame: MaskFrame::Input,
            scores: "scores".into(),
            mask_threshold: 0.0,
        },
    })
}

fn write_graphs(folder: &Path, radius: f32) {
    let encoder = Graph::new()
        .input("picture", &[1, 3, i64::from(INPUT), i64::from(INPUT)])
        .node("GlobalAveragePool", &["picture"], "embedding", &[])
        .output("embedding", &[1, 3, 1, 1]);
    fs::write(folder.join("encoder.onnx"), encoder.encode()).unwrap();
    fs::write(folder.join("decoder.onnx"), decoder(radius).encode()).unwrap();
}

/// masks = radius² − |pixel − point|², with both radii at once, plus nothing of the embedding.
fn decoder(radius: f32) -> Graph {
    let side = i64::from(MASK);
    let step = INPUT as f32 / MASK as f32;
    let line: Vec<f32> = (0..MASK).map(|at| (at as f32 + 0.5) * step).collect();
    Graph::new()
        .input("known", &[1, 3, 1, 1])
        .input("point_coords", &[1, -1, 2])
        .input("point_labels", &[1, -1])
        .constant("columns", &[1, 1, 1, side], Values::Floats(line.clone()))
        .constant("rows", &[1, 1, side, 1], Values::Floats(line))
        .constant(
            "squares",
            &[1, 2, 1, 1],
            Values::Floats(vec![radius * radius / 4.0, radius * radius]),
        )
        .constant("estimates", &[1, 2], Values::Floats(vec![0.4, 0.8]))
        .constant("nothing", &[1], Values::Floats(vec![0.0]))
        .constant("first", &[], Values::Integers(vec![0]))
        .constant("second", &[], Values::Integers(vec![1]))
        .constant("pixel", &[4], Values::Integers(vec![1, 1, 1, 1]))
        .node(
            "Gather",
            &["point_coords", "first"],
            "point",
            &[("axis", 1)],
        )
        .node("Gather", &["point", "first"], "x", &[("axis", 1)])
        .node("Gather", &["point", "second"], "y", &[("axis", 1)])
        .node("Reshape", &["x", "pixel"], "at_x", &[])
        .node("Reshape", &["y", "pixel"], "at_y", &[])
        .node("Sub", &["columns", "at_x"], "dx", &[])
        .node("Sub", &["rows", "at_y"], "dy", &[])
        .node("Mul", &["dx", "dx"], "dx2", &[])
        .node("Mul", &["dy", "dy"], "dy2", &[])
        .node("Add", &["dx2", "dy2"], "distance2", &[])
        .node("Sub", &["squares", "distance2"], "disks", &[])
        .node("ReduceMax", &["known"], "brightest", &[("keepdims", 1)])
        .node("Mul", &["brightest", "nothing"], "unused", &[])
        .node("Add", &["disks", "unused"], "masks", &[])
        .node("Identity", &["estimates"], "scores", &[])
        .output("masks", &[1, 2, side, side])
        .output("scores", &[1, 2])
}

fn write_golden(folder: &Path) {
    let golden = folder.join("golden/000");
    fs::create_dir_all(&golden).unwrap();
    let file = picture(80, 60);
    let prompt: Prompt = serde_json::from_str(r#"{"points":[{"x":30,"y":20}]}"#).unwrap();
    let model = ModelFolder::open(folder).unwrap();
    let segmenter = Segmenter::load(&model, &GraphOptions::default()).unwrap();
    let answer = segmenter
        .segment(&file, &prompt, &EmbeddingCache::new(0))
        .unwrap()
        .to_answer();
    fs::write(golden.join("picture.png"), &file).unwrap();
    fs::write(
        golden.join("request.json"),
        serde_json::to_vec(&prompt).unwrap(),
    )
    .unwrap();
    fs::write(
        golden.join("own.json"),
        serde_json::to_vec(&answer).unwrap(),
    )
    .unwrap();
    fs::write(
        golden.join("full.json"),
        serde_json::to_vec(&answer).unwrap(),
    )
    .unwrap();
}

/// Writes the manifest of whatever the folder holds now.
pub fn write_manifest(folder: &Path) -> Digest {
    let golden = |name: &str| format!("golden/000/{name}").parse().unwrap();
    let names = ["encoder.onnx", "decoder.onnx"].map(|name| name.parse().unwrap());
    let golden = Golden {
        input: golden("picture.png"),
        request: golden("request.json"),
        own: golden("own.json"),
        full: golden("full.json"),
    };
    let files = names
        .iter()
        .chain([&golden.input, &golden.request, &golden.own, &golden.full]);
    let entry = |path: &espalier_protocol::BundlePath| {
        let bytes = fs::read(path.under(folder)).unwrap();
        (
            path.clone(),
            FileEntry {
                size: bytes.len() as u64,
                sha256: Digest::of(&bytes),
            },
        )
    };
    let manifest = Manifest {
        format: FORMAT,
        model: "tiny".parse().unwrap(),
        model_version: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
        device_class: "any-cpu".parse().unwrap(),
        serving: serving(),
        requires: Requirements {
            onnxruntime: "1.24".into(),
            opset: 17,
            memory_bytes: 1 << 20,
        },
        golden_tolerance: GoldenTolerance {
            min_iou: 0.99,
            max_abs: 0.01,
        },
        files: files.map(entry).collect(),
        golden: vec![golden],
    };
    let bytes = serde_json::to_vec_pretty(&manifest).unwrap();
    fs::write(folder.join(MANIFEST_FILE), &bytes).unwrap();
    Digest::of(&bytes)
}
