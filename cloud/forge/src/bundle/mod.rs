//! The bundle: the build's graphs, golden inputs with two answers each, and the manifest over all of it.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use espalier_protocol::manifest::{
    FORMAT, FileEntry, Golden, GoldenTolerance, MANIFEST_FILE, MODEL_FILE, Manifest, ManifestError,
    ModelDescription, Requirements, SegmentationAnswer,
};
use espalier_protocol::path::InvalidPath;
use espalier_protocol::{BundlePath, Digest};
use espalier_runtime::folder::FolderError;
use espalier_runtime::segmentation::{LoadError, SegmentError};
use espalier_runtime::{EmbeddingCache, GraphOptions, ModelFolder, Picture, Segmenter};

use crate::evaluate::cases::{Asking, Case, Purpose, Question, cases};
use crate::onnx::{Limits, OnnxError, read_file};
use crate::stages::Task;

/// The oldest ONNX Runtime that every Espalier device has; all operators that the forge writes are older.
const ONNX_RUNTIME: &str = "1.24";
/// Integer kernels differ by an instruction set's rounding, so a mask's border may move by a pixel.
const TOLERANCE: GoldenTolerance = GoldenTolerance {
    min_iou: 0.9,
    max_abs: 0.1,
};
/// Scenes that are tried for each golden input, until both models answer with a mask that is not empty.
const TRIES: usize = 8;

/// Why a bundle could not be written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file could not be written or read.
    #[error("the bundle cannot be written: {0}")]
    Io(#[from] std::io::Error),
    /// The build's folder is unusable.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A model does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A model does not answer.
    #[error(transparent)]
    Answer(#[from] SegmentError),
    /// Both models answer with empty masks only: a device could not tell a good build from a broken one.
    #[error(
        "only {0} of the golden inputs got a mask from both models; the full model or the build is broken"
    )]
    EmptyAnswers(usize),
    /// A picture could not be encoded.
    #[error("a golden picture cannot be encoded: {0}")]
    Picture(#[from] image::ImageError),
    /// JSON could not be written.
    #[error("the manifest cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// A file name that a bundle cannot have.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// A graph cannot be read back.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// What was written would be refused by a device.
    #[error("the bundle would be refused by a device: {0}")]
    Refused(#[from] ManifestError),
}

/// Writes the bundle of a finished build into its folder. `memory_bytes` is its measured peak memory; `step` is
/// called after each golden input.
///
/// # Errors
/// [`BundleError`].
pub fn write(task: &Task, memory_bytes: u64, step: &mut dyn FnMut()) -> Result<(), BundleError> {
    let folders = task.folders();
    let mut bundle = Bundle::begin(&folders.bundle)?;
    let description = read_description(&folders.build)?;
    let mut opset = 0;
    for graph in description.serving.graphs() {
        let path = graph.under(&folders.build);
        bundle.add(graph.as_str(), &std::fs::read(&path)?)?;
        opset = opset.max(crate::inspect::opset(&read_file(
            &path,
            &Limits::default(),
        )?));
    }
    let golden = write_golden(task, &mut bundle, step)?;
    bundle.seal(Manifest {
        format: FORMAT,
        model: description.model,
        model_version: task.model_version,
        device_class: task.recipe.device.class.clone(),
        serving: description.serving,
        requires: Requirements {
            onnxruntime: ONNX_RUNTIME.to_owned(),
            opset: u32::try_from(opset).unwrap_or_default(),
            memory_bytes,
        },
        golden,
        golden_tolerance: TOLERANCE,
        files: BTreeMap::new(),
    })
}

fn read_description(folder: &Path) -> Result<ModelDescription, BundleError> {
    Ok(ModelDescription::parse(&std::fs::read(
        folder.join(MODEL_FILE),
    )?)?)
}

/// A bundle under construction: every file that is added is listed.
struct Bundle<'a> {
    folder: &'a Path,
    files: BTreeMap<BundlePath, FileEntry>,
}

impl<'a> Bundle<'a> {
    fn begin(folder: &'a Path) -> Result<Self, BundleError> {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => std::fs::create_dir_all(folder)?,
        }
        Ok(Self {
            folder,
            files: BTreeMap::new(),
        })
    }

    fn add(&mut self, path: &str, bytes: &[u8]) -> Result<BundlePath, BundleError> {
        let path: BundlePath = path.parse()?;
        let file = path.under(self.folder);
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(file, bytes)?;
        let entry = FileEntry {
            size: bytes.len() as u64,
            sha256: Digest::of(bytes),
        };
        self.files.insert(path.clone(), entry);
        Ok(path)
    }

    fn seal(self, mut manifest: Manifest) -> Result<(), BundleError> {
        manifest.files = self.files;
        let bytes = serde_json::to_vec_pretty(&manifest)?;
        // What a device would refuse must not leave the forge.
        Manifest::parse(&bytes)?;
        std::fs::write(self.folder.join(MANIFEST_FILE), bytes)?;
        Ok(())
    }
}

/// The two models that answer golden inputs, on one thread as the smallest device does.
struct Models {
    full: Segmenter,
    build: Segmenter,
}

impl Models {
    fn load(task: &Task) -> Result<Self, BundleError> {
        let folders = task.folders();
        let load = |folder: &Path| -> Result<Segmenter, BundleError> {
            Ok(Segmenter::load(
                &ModelFolder::open(folder)?,
                &GraphOptions::default(),
            )?)
        };
        Ok(Self {
            full: load(&folders.full)?,
            build: load(&folders.build)?,
        })
    }
}

fn write_golden(
    task: &Task,
    bundle: &mut Bundle<'_>,
    step: &mut dyn FnMut(),
) -> Result<Vec<Golden>, BundleError> {
    let models = Models::load(task)?;
    let wanted = task.recipe.held_out.golden.get() as usize;
    let mut golden = Vec::with_capacity(wanted);
    for case in cases(Purpose::Golden, task.recipe.held_out.seed).take(wanted * TRIES) {
        if golden.len() == wanted {
            break;
        }
        // Clicks and boxes take turns.
        let asking = if golden.len() % 2 == 0 {
            Asking::Click
        } else {
            Asking::Box
        };
        let question = case
            .questions
            .iter()
            .find(|question| question.asking == asking);
        if let Some(input) = question
            .map(|question| ask(&models, &case, question))
            .transpose()?
            .flatten()
        {
            golden.push(input.write(bundle, golden.len())?);
            step();
        }
    }
    if golden.len() == wanted {
        Ok(golden)
    } else {
        Err(BundleError::EmptyAnswers(golden.len()))
    }
}

/// A golden input before it is written.
struct GoldenInput<'a> {
    picture: Vec<u8>,
    question: &'a Question,
    own: SegmentationAnswer,
    full: SegmentationAnswer,
}

/// Both answers to a question; `None` when one of the top masks is empty.
fn ask<'a>(
    models: &Models,
    case: &Case,
    question: &'a Question,
) -> Result<Option<GoldenInput<'a>>, BundleError> {
    let picture = png(&case.picture)?;
    let answer =
        |model: &Segmenter| model.segment(&picture, &question.prompt, &EmbeddingCache::new(0));
    let (full, own) = (answer(&models.full)?, answer(&models.build)?);
    let filled = [&full, &own]
        .iter()
        .all(|answer| answer.masks.first().is_some_and(|top| top.mask.area() > 0));
    let (own, full) = (own.to_answer(), full.to_answer());
    Ok(filled.then_some(GoldenInput {
        picture,
        question,
        own,
        full,
    }))
}

impl GoldenInput<'_> {
    fn write(&self, bundle: &mut Bundle<'_>, number: usize) -> Result<Golden, BundleError> {
        let mut add =
            |name: &str, bytes: &[u8]| bundle.add(&format!("golden/{number:03}/{name}"), bytes);
        Ok(Golden {
            input: add("picture.png", &self.picture)?,
            request: add("request.json", &serde_json::to_vec(&self.question.prompt)?)?,
            own: add("own.json", &serde_json::to_vec(&self.own)?)?,
            full: add("full.json", &serde_json::to_vec(&self.full)?)?,
        })
    }
}

fn png(picture: &Picture) -> Result<Vec<u8>, BundleError> {
    let mut bytes = Cursor::new(Vec::new());
    let (width, height) = (picture.width(), picture.height());
    image::write_buffer_with_format(
        &mut bytes,
        picture.rgb(),
        width,
        height,
        image::ExtendedColorType::Rgb8,
        image::ImageFormat::Png,
    )?;
    Ok(bytes.into_inner())
}
