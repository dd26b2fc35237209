//! What the tests share: small models with seeded weights, and ways to run the forge.

use std::future::Future;
use std::path::{Path, PathBuf};

use espalier_forge::job::Workshop;
use espalier_forge::onnx::build::Setting;
use espalier_forge::onnx::{DataType, GraphBuilder, ModelProto, TensorProto, Value, write_file};
use espalier_protocol::manifest::{
    Decoder, Encoder, FORMAT, Fit, Layout, MODEL_FILE, MaskFrame, ModelDescription, Preprocessing,
    PromptableSegmentation, Serving,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The workshop of the built binary; `None` (and the test is skipped) where ONNX Runtime is not set up.
pub fn workshop() -> Option<Workshop> {
    let library = match espalier_runtime::engine::find_library() {
        Ok(library) => library.canonicalize().unwrap(),
        Err(error) => {
            eprintln!("skipped: {error}");
            return None;
        }
    };
    let program = PathBuf::from(env!("CARGO_BIN_EXE_espalier-forge"));
    Some(Workshop {
        program,
        library,
        confined: true,
    })
}

pub fn on_this_thread<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// A layer's random weights, small enough that activations stay tame.
pub struct Weights(StdRng);

impl Weights {
    pub fn seeded(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    pub fn tensor(&mut self, name: &str, dims: &[usize]) -> TensorProto {
        let fan_in = dims.iter().skip(1).product::<usize>().max(1) as f32;
        let reach = (3.0 / fan_in).sqrt();
        let values: Vec<f32> = (0..dims.iter().product())
            .map(|_| self.0.random_range(-reach..reach))
            .collect();
        TensorProto::from_f32(name, dims, &values)
    }
}

/// A convolution with bias and ReLU6 of `channels` = (in, out), padded to keep its size at stride 1.
pub fn conv(
    graph: &mut GraphBuilder,
    weights: &mut Weights,
    x: &Value,
    name: &str,
    channels: (usize, usize),
    stride: i64,
) -> Value {
    let kernel =
        graph.constant(weights.tensor(&format!("{name}.weight"), &[channels.1, channels.0, 3, 3]));
    let bias = graph.constant(weights.tensor(&format!("{name}.bias"), &[channels.1]));
    let settings = vec![
        ("kernel_shape", Setting::Ints(vec![3, 3])),
        ("pads", Setting::Ints(vec![1; 4])),
        ("strides", Setting::Ints(vec![stride; 2])),
    ];
    graph.node("Conv", &[Some(x), Some(&kernel), Some(&bias)], settings)
}

pub fn relu6(graph: &mut GraphBuilder, x: &Value) -> Value {
    let (low, high) = (graph.floats(&[], &[0.0]), graph.floats(&[], &[6.0]));
    graph.op("Clip", &[x, &low, &high])
}

/// Picture `[1, 3, 64, 64]` → two convolutions with a residual → `embedding [1, 32, 16, 16]`.
pub fn encoder(seed: u64) -> ModelProto {
    let mut weights = Weights::seeded(seed);
    let mut graph = GraphBuilder::new("encoder");
    let x = graph.input(
        "picture",
        DataType::Float,
        &[1.into(), 3.into(), 64.into(), 64.into()],
    );
    let x = conv(&mut graph, &mut weights, &x, "stem", (3, 32), 2);
    let x = relu6(&mut graph, &x);
    let x = conv(&mut graph, &mut weights, &x, "down", (32, 32), 2);
    let x = relu6(&mut graph, &x);
    let y = conv(&mut graph, &mut weights, &x, "block", (32, 32), 1);
    let y = relu6(&mut graph, &y);
    let sum = graph.op("Add", &[&x, &y]);
    let out = conv(&mut graph, &mut weights, &sum, "neck", (32, 32), 1);
    graph.output(
        &out,
        "embedding",
        DataType::Float,
        &[1.into(), 32.into(), 16.into(), 16.into()],
    );
    graph.finish()
}

/// Embedding and points → one mask of a blob around the first point, shaped by the embedding, and its score.
///
/// The blob makes masks that are never empty, so that agreement means something without training.
pub fn decoder(seed: u64) -> ModelProto {
    let mut weights = Weights::seeded(seed);
    let mut graph = GraphBuilder::new("decoder");
    let embedding = graph.input(
        "embedding",
        DataType::Float,
        &[1.into(), 32.into(), 16.into(), 16.into()],
    );
    let points = graph.input(
        "points",
        DataType::Float,
        &[1.into(), "count".into(), 2.into()],
    );
    let labels = graph.input("labels", DataType::Float, &[1.into(), "count".into()]);
    let texture = conv(&mut graph, &mut weights, &embedding, "head", (32, 16), 1);
    let texture = relu6(&mut graph, &texture);
    let texture = conv(&mut graph, &mut weights, &texture, "last", (16, 1), 1);
    let distance = distance_to_first_point(&mut graph, &points);
    let radius = graph.floats(&[1], &[20.0]);
    let blob = graph.op("Sub", &[&radius, &distance]);
    let masks = graph.op("Add", &[&texture, &blob]);
    graph.output(
        &masks,
        "masks",
        DataType::Float,
        &[1.into(), 1.into(), 16.into(), 16.into()],
    );
    let spread = graph.node(
        "ReduceMax",
        &[Some(&labels)],
        vec![("keepdims", Setting::Int(1))],
    );
    let one = graph.floats(&[1], &[0.0]);
    let score = graph.op("Mul", &[&spread, &one]);
    graph.output(&score, "scores", DataType::Float, &[1.into(), 1.into()]);
    graph.finish()
}

/// `[1, 1, 16, 16]`: how far each cell's centre lies from the first point, in input pixels.
fn distance_to_first_point(graph: &mut GraphBuilder, points: &Value) -> Value {
    let centres: Vec<f32> = (0..16).map(|cell| cell as f32 * 4.0 + 2.0).collect();
    let (columns, rows) = (
        graph.floats(&[1, 1, 1, 16], &centres),
        graph.floats(&[1, 1, 16, 1], &centres),
    );
    let mut squares = Vec::new();
    for (axis, grid) in [(0, columns), (1, rows)] {
        let (from, to) = (graph.integers(&[0, axis]), graph.integers(&[1, axis + 1]));
        let axes = graph.integers(&[1, 2]);
        let coordinate = graph.op("Slice", &[points, &from, &to, &axes]);
        let shape = graph.integers(&[1, 1, 1, 1]);
        let coordinate = graph.op("Reshape", &[&coordinate, &shape]);
        let offset = graph.op("Sub", &[&grid, &coordinate]);
        squares.push(graph.op("Mul", &[&offset, &offset]));
    }
    let sum = graph.op("Add", &[&squares[0], &squares[1]]);
    graph.op("Sqrt", &[&sum])
}

pub fn description() -> ModelDescription {
    let serving = PromptableSegmentation {
        encoder: Encoder {
            graph: "encoder.onnx".parse().unwrap(),
            input: "picture".into(),
            preprocessing: Preprocessing {
                height: 64,
                width: 64,
                fit: Fit::LongSidePad,
                scale: 1.0 / 255.0,
                mean: [0.485, 0.456, 0.406],
                std: [0.229, 0.224, 0.225],
                layout: Layout::Nchw,
            },
            outputs: vec!["embedding".into()],
        },
        decoder: Decoder {
            graph: "decoder.onnx".parse().unwrap(),
            embeddings: vec!["embedding".into()],
            point_coords: "points".into(),
            point_labels: "labels".into(),
            pad_point: true,
            mask_input: None,
            original_size: None,
            masks: "masks".into(),
            mask_frame: MaskFrame::Input,
            scores: "scores".into(),
            mask_threshold: 0.0,
        },
    };
    ModelDescription {
        format: FORMAT,
        model: "blob".parse().unwrap(),
        summary: "A blob around the first point".into(),
        serving: Serving::PromptableSegmentation(serving),
    }
}

/// Writes a small full model that segments blobs.
pub fn write_model(folder: &Path, seed: u64) {
    std::fs::create_dir_all(folder).unwrap();
    write_file(&encoder(seed), &folder.join("encoder.onnx")).unwrap();
    write_file(&decoder(seed), &folder.join("decoder.onnx")).unwrap();
    std::fs::write(
        folder.join(MODEL_FILE),
        serde_json::to_vec(&description()).unwrap(),
    )
    .unwrap();
}
