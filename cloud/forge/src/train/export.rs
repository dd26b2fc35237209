//! The trained network as two ONNX graphs with Segment Anything's names.

use std::path::Path;

use espalier_protocol::manifest::MODEL_FILE;

use super::describe::{self, BadName};
use super::frame::Frame;
use super::network::{Algebra, Embedding, MASKS, Network, Prompt};
use super::weights::Arrays;
use super::write_down::WriteDown;
use crate::onnx::build::Axis;
use crate::onnx::{self, DataType, ModelProto, OnnxError, Value};

/// Encoder input: the preprocessed picture, [1, 3, side, side].
pub const IMAGE: &str = "image";
/// The embedding at stride 8.
pub const EMBEDDINGS: &str = "image_embeddings";
/// The detail at stride 4.
pub const DETAILS: &str = "high_res_features";

/// The encoder's graph.
#[must_use]
pub fn encoder(network: &Network, weights: &Arrays, frame: Frame) -> ModelProto {
    let mut writer = WriteDown::new("encoder", weights);
    let side = Axis::Fixed(frame.side());
    let image = writer.graph.input(
        IMAGE,
        DataType::Float,
        &[1.into(), 3.into(), side.clone(), side],
    );
    let taps = network.backbone.forward(&mut writer, &image);
    let embedding = network.neck.forward(&mut writer, &taps);
    let [meaning, detail] = embedding_axes(frame);
    writer
        .graph
        .output(&embedding.meaning, EMBEDDINGS, DataType::Float, &meaning);
    writer
        .graph
        .output(&embedding.detail, DETAILS, DataType::Float, &detail);
    writer.graph.finish()
}

/// The decoder's graph.
#[must_use]
pub fn decoder(network: &Network, weights: &Arrays, frame: Frame) -> ModelProto {
    let mut writer = WriteDown::new("decoder", weights);
    let cells = || Axis::Fixed(frame.mask_side());
    let [meaning, detail] = embedding_axes(frame);
    let embedding = Embedding {
        meaning: writer.graph.input(EMBEDDINGS, DataType::Float, &meaning),
        detail: writer.graph.input(DETAILS, DataType::Float, &detail),
    };
    let points = [1.into(), Axis::Named("points")];
    let coordinates = [1.into(), Axis::Named("points"), 2.into()];
    let coordinates = writer
        .graph
        .input("point_coords", DataType::Float, &coordinates);
    let labels = writer.graph.input("point_labels", DataType::Float, &points);
    let mask = writer.graph.input(
        "mask_input",
        DataType::Float,
        &[1.into(), 1.into(), cells(), cells()],
    );
    let has_mask = writer
        .graph
        .input("has_mask_input", DataType::Float, &[1.into()]);
    let prompt = Prompt {
        x: axis(&mut writer, &coordinates, 0),
        y: axis(&mut writer, &coordinates, 1),
        label: reshape(&mut writer, &labels, &[1, -1, 1, 1]),
        mask,
        has_mask: reshape(&mut writer, &has_mask, &[1, 1, 1, 1]),
    };
    let answer = network.decoder.forward(&mut writer, &embedding, &prompt);
    let scores = network.decoder.ranked(&mut writer, &answer.scores);
    let scores = reshape(&mut writer, &scores, &[1, MASKS as i64]);
    writer.graph.output(
        &answer.masks,
        "masks",
        DataType::Float,
        &[1.into(), MASKS.into(), cells(), cells()],
    );
    writer.graph.output(
        &scores,
        "iou_predictions",
        DataType::Float,
        &[1.into(), MASKS.into()],
    );
    writer.graph.finish()
}

fn embedding_axes(frame: Frame) -> [[Axis; 4]; 2] {
    use super::network::{DETAIL, EMBEDDING};
    [
        (EMBEDDING, frame.embedding_side()),
        (DETAIL, frame.detail_side()),
    ]
    .map(|(channels, side)| [1.into(), channels.into(), side.into(), side.into()])
}

/// One coordinate of every point, as [1, points, 1, 1].
fn axis(writer: &mut WriteDown<'_>, coordinates: &Value, at: usize) -> Value {
    let apart = reshape(writer, coordinates, &[1, -1, 2, 1]);
    writer.row(&apart, at)
}

fn reshape(writer: &mut WriteDown<'_>, x: &Value, shape: &[i64]) -> Value {
    let shape = writer.graph.integers(shape);
    writer.graph.op("Reshape", &[x, &shape])
}

/// Writes both graphs and their description into `folder`.
///
/// # Errors
/// [`ExportError`] when the folder cannot be written or the name is not allowed.
pub fn write(
    folder: &Path,
    name: &str,
    network: &Network,
    weights: &Arrays,
    frame: Frame,
) -> Result<(), ExportError> {
    std::fs::create_dir_all(folder)?;
    onnx::write_file(
        &encoder(network, weights, frame),
        &folder.join(describe::ENCODER),
    )?;
    onnx::write_file(
        &decoder(network, weights, frame),
        &folder.join(describe::DECODER),
    )?;
    let description = serde_json::to_string_pretty(&describe::describe(name, frame)?)?;
    std::fs::write(folder.join(MODEL_FILE), description + "\n")?;
    Ok(())
}

/// Why a model could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The folder.
    #[error("could not write the model: {0}")]
    File(#[from] std::io::Error),
    /// A graph's file.
    #[error(transparent)]
    Graph(#[from] OnnxError),
    /// The model's name.
    #[error(transparent)]
    Name(#[from] BadName),
    /// The description.
    #[error("could not write the model's description: {0}")]
    Description(#[from] serde_json::Error),
}
