//! What a bundle (or a full model) is: its files, its graphs, and how its task is served from them.
//!
//! A task is code that reads this description; it never asks for a model's name. The digest of a
//! bundle is the SHA-256 of the bytes of its `manifest.json`, which names every other file by
//! digest, so one digest fixes all bytes.

mod check;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{BundlePath, DeviceClassName, Digest, ModelName, id::ModelVersionId, unique};

/// The manifest's file name in a bundle's folder.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The bill of materials' file name in a bundle's folder; one of the files that the manifest lists.
pub const BOM_FILE: &str = "bom.cdx.json";
/// The signature's file name beside a bundle's files. It covers the manifest, so the manifest cannot list it.
pub const SIGNATURE_FILE: &str = "model.sig";
/// The description's file name in a full model's folder.
pub const MODEL_FILE: &str = "model.json";
/// The largest manifest in bytes; stops endless data.
pub const MAX_MANIFEST_BYTES: usize = 256 * 1024;
/// The most files in a bundle.
pub const MAX_FILES: usize = 512;
/// The largest file of a bundle in bytes.
pub const MAX_FILE_BYTES: u64 = 4 << 30;
/// The version of the format that this code writes.
pub const FORMAT: u32 = 1;

/// A build's description: `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format; a reader refuses one that it does not know.
    pub format: u32,
    /// The line of work.
    pub model: ModelName,
    /// The full model that this build was made from.
    pub model_version: ModelVersionId,
    /// What it was made for.
    pub device_class: DeviceClassName,
    /// The graphs and how they are served.
    pub serving: Serving,
    /// What it needs to run.
    pub requires: Requirements,
    /// Inputs with known answers, which the device must reproduce in its trial.
    pub golden: Vec<Golden>,
    /// How near an answer must be to the golden one.
    pub golden_tolerance: GoldenTolerance,
    /// Every other file of the bundle, golden files included.
    #[serde(deserialize_with = "unique::map")]
    pub files: BTreeMap<BundlePath, FileEntry>,
}

/// A full model's description: `model.json` beside its graphs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelDescription {
    /// The version of this format.
    pub format: u32,
    /// The line of work.
    pub model: ModelName,
    /// One sentence for people.
    #[serde(default)]
    pub summary: String,
    /// The graphs and how they are served.
    pub serving: Serving,
}

/// One file: its size and the digest of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: Digest,
}

/// The task, with the graphs and data that it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "kebab-case")]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one in a manifest, and the larger kind is the usual one"
)]
pub enum Serving {
    /// A picture and prompts in, masks out (Segment Anything's contract).
    PromptableSegmentation(PromptableSegmentation),
    /// Any ONNX graph, tensors in, tensors out.
    Tensor(TensorGraph),
}

impl Serving {
    /// The task's name.
    #[must_use]
    pub fn task(&self) -> &'static str {
        match self {
            Self::PromptableSegmentation(_) => "promptable-segmentation",
            Self::Tensor(_) => "tensor",
        }
    }

    /// The graphs' files.
    #[must_use]
    pub fn graphs(&self) -> Vec<&BundlePath> {
        match self {
            Self::PromptableSegmentation(sam) => vec![&sam.encoder.graph, &sam.decoder.graph],
            Self::Tensor(graph) => vec![&graph.graph],
        }
    }
}

/// One graph that takes and gives tensors as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TensorGraph {
    /// The ONNX file.
    pub graph: BundlePath,
}

/// An encoder that runs once for each picture, and a decoder that runs once for each prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromptableSegmentation {
    /// Picture → embedding.
    pub encoder: Encoder,
    /// Embedding and prompts → masks.
    pub decoder: Decoder,
}

/// The encoder's graph and the preprocessing before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encoder {
    /// The ONNX file.
    pub graph: BundlePath,
    /// The input tensor's name.
    pub input: String,
    /// How a picture becomes that tensor.
    pub preprocessing: Preprocessing,
    /// The embedding: output names, in the graph's order.
    pub outputs: Vec<String>,
}

/// How a decoded RGB picture becomes a tensor. All of it is data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Height of the tensor in pixels.
    pub height: u32,
    /// Width of the tensor in pixels.
    pub width: u32,
    /// How the picture is fitted.
    pub fit: Fit,
    /// The picture's values are multiplied by this first (1/255 brings them to 0 … 1).
    pub scale: f32,
    /// Then this is subtracted, by channel R, G, B.
    pub mean: [f32; 3],
    /// Then divided by this.
    pub std: [f32; 3],
    /// The tensor's layout.
    pub layout: Layout,
}

/// How a picture is fitted into the input's rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// The longer side is resized to the rectangle's, and the rest padded with zeros (after
    /// normalisation) at the right and the bottom.
    LongSidePad,
    /// Both sides are stretched.
    Stretch,
}

/// The order of a picture tensor's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channel, height, width.
    Nchw,
    /// Batch, height, width, channel.
    Nhwc,
    /// Height, width, channel without a batch (the official SAM export with preprocessing inside).
    Hwc,
}

/// The decoder's graph and the names of its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decoder {
    /// The ONNX file.
    pub graph: BundlePath,
    /// Input names for the encoder's outputs, in the same order.
    pub embeddings: Vec<String>,
    /// `[1, N, 2]` float: prompt points `x, y` in pixels of the encoder's input.
    pub point_coords: String,
    /// `[1, N]` float: 1 foreground, 0 background, 2 and 3 a box's corners, -1 padding.
    pub point_labels: String,
    /// A padding point (0, 0, label -1) must follow the points when no box is given.
    pub pad_point: bool,
    /// `[1, 1, h, w]` float: a previous low-resolution mask, where the graph takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_input: Option<MaskInput>,
    /// `[2]` float: the original height and width, where the graph takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_size: Option<String>,
    /// Output: mask logits `[1, K, h, w]`.
    pub masks: String,
    /// What the masks' rectangle shows.
    pub mask_frame: MaskFrame,
    /// Output: predicted IoU `[1, K]`.
    pub scores: String,
    /// Logits above this are inside the mask.
    pub mask_threshold: f32,
}

/// The tensors of a previous mask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskInput {
    /// `[1, 1, height, width]`.
    pub mask: String,
    /// `[1]`: 1 when a mask is given.
    pub has_mask: String,
    /// Height of the mask tensor.
    pub height: u32,
    /// Width of the mask tensor.
    pub width: u32,
}

/// What the rectangle of the decoder's masks shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskFrame {
    /// The encoder's input rectangle, padding included, at some resolution.
    Input,
    /// The original picture at its full size.
    Original,
}

/// What a bundle needs to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirements {
    /// The oldest ONNX Runtime that runs the graphs, `major.minor`.
    pub onnxruntime: String,
    /// ONNX opset of the graphs.
    pub opset: u32,
    /// Peak memory of loading and one inference in bytes, as the forge measured it.
    pub memory_bytes: u64,
}

/// One golden input with its two answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Golden {
    /// The input's file: for promptable segmentation a picture.
    pub input: BundlePath,
    /// The request beside it, in the task's own form (a JSON file).
    pub request: BundlePath,
    /// The answer of this very build: the device must reproduce it (a JSON file).
    pub own: BundlePath,
    /// The answer of the full model: the device reports its agreement with it (a JSON file).
    pub full: BundlePath,
}

/// Prompts in pixels of the original picture: the request of promptable segmentation, in golden
/// files and over HTTP alike.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// Clicks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<PointPrompt>,
    /// `[x0, y0, x1, y1]`.
    #[serde(default, rename = "box", skip_serializing_if = "Option::is_none")]
    pub bounds: Option<[f32; 4]>,
}

/// One click.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PointPrompt {
    /// Pixels from the left.
    pub x: f32,
    /// Pixels from the top.
    pub y: f32,
    /// Inside or outside of the wanted object.
    #[serde(default)]
    pub label: PointLabel,
}

/// What a click says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PointLabel {
    /// The object is here.
    #[default]
    Foreground,
    /// The object is not here.
    Background,
}

/// An answer to a [`Prompt`]: the masks that the build gave, best score first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentationAnswer {
    /// The masks.
    pub masks: Vec<MaskAnswer>,
}

/// One mask in pixels of the original picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskAnswer {
    /// The mask's pixels.
    pub rle: Rle,
    /// The build's own estimate of the mask's IoU.
    pub score: f32,
}

/// COCO's compressed run lengths: column-major runs, counts in COCO's own base-48 text
/// (cocodataset/cocoapi, `maskApi.c`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rle {
    /// `[height, width]`.
    pub size: [u32; 2],
    /// The runs.
    pub counts: String,
}

/// How near an answer must be to the golden one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GoldenTolerance {
    /// Least IoU of the top mask with the build's own golden mask.
    pub min_iou: f32,
    /// Greatest absolute difference of a score, or of a tensor's element.
    pub max_abs: f32,
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Larger than [`MAX_MANIFEST_BYTES`].
    #[error("the manifest has {0} bytes: at most {MAX_MANIFEST_BYTES} are allowed")]
    TooLarge(usize),
    /// Not the JSON of a manifest.
    #[error("the manifest cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A version from the future.
    #[error("the manifest has format {0}: this version knows {FORMAT}; update the agent")]
    Format(u32),
    /// More files than [`MAX_FILES`].
    #[error("the manifest lists {0} files: at most {MAX_FILES} are allowed")]
    TooManyFiles(usize),
    /// A file larger than [`MAX_FILE_BYTES`].
    #[error("the manifest lists `{path}` with {size} bytes: more than a file may have")]
    FileTooLarge {
        /// Which file.
        path: BundlePath,
        /// Its stated size.
        size: u64,
    },
    /// A graph or golden file that is not among the files.
    #[error("the manifest uses `{0}` but does not list it")]
    Unlisted(BundlePath),
    /// The manifest lists itself, its signature, two paths that a file system may take for one, or a file below a file.
    #[error("the manifest lists `{0}`, which collides with another of the bundle's files")]
    Collision(BundlePath),
    /// No golden inputs: nothing could be tried before it serves.
    #[error("the manifest has no golden inputs, so a device could not try the bundle")]
    NoGolden,
    /// A number that cannot be.
    #[error("the manifest's {0} is impossible")]
    Impossible(&'static str),
}

impl Manifest {
    /// Reads and checks the bytes of a `manifest.json`.
    ///
    /// # Errors
    /// Whatever makes it unusable, by name; see [`ManifestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = parse_bounded(bytes)?;
        check::manifest(&manifest)?;
        Ok(manifest)
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.files.values().map(|file| file.size).sum()
    }
}

impl ModelDescription {
    /// Reads and checks the bytes of a `model.json`.
    ///
    /// # Errors
    /// Whatever makes it unusable, by name; see [`ManifestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let description: Self = parse_bounded(bytes)?;
        check::description(&description)?;
        Ok(description)
    }
}

fn parse_bounded<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, ManifestError> {
    if bytes.len() > MAX_MANIFEST_BYTES {
        return Err(ManifestError::TooLarge(bytes.len()));
    }
    Ok(serde_json::from_slice(bytes)?)
}
