//! Promptable segmentation: a picture and prompts in, masks out.
//!
//! An encoder turns the picture into an embedding once; a decoder answers each prompt from it. The
//! names of all tensors, the preprocessing and the masks' frame come from the manifest, so that
//! Segment Anything's own exports and ours run through the same code.

mod answer;
mod cache;
mod decoder;
mod embedding;
mod prompt;

pub use answer::{ScoredMask, Segmentation, Timings};
pub use cache::EmbeddingCache;
pub use embedding::Embedding;
pub use prompt::{MAX_POINTS, PromptError};

use std::time::Instant;

use espalier_protocol::Digest;
use espalier_protocol::manifest::{Layout, Prompt, PromptableSegmentation, Serving};

use crate::folder::ModelFolder;
use crate::graph::{Axis, Graph, GraphError, GraphOptions, NamedTensors};
use crate::picture::{Picture, PictureError};
use crate::preprocess;
use crate::provider::Placement;
use crate::tensor::ElementType;

/// Why a model cannot be loaded for this task.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is described for another task.
    #[error("the model's task is {0}: promptable-segmentation is served here")]
    OtherTask(&'static str),
    /// One of its graphs cannot be loaded, or has no tensor of a name that the description uses.
    #[error("the {part} cannot be used: {source}")]
    Graph {
        /// `encoder` or `decoder`.
        part: &'static str,
        /// The reason.
        source: GraphError,
    },
    /// A tensor that must hold 32-bit floats does not.
    #[error("the {part}'s tensor `{tensor}` holds {found}: this task needs float32")]
    NotFloat {
        /// `encoder` or `decoder`.
        part: &'static str,
        /// The tensor.
        tensor: String,
        /// What it holds.
        found: ElementType,
    },
}

/// Why a picture and a prompt got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The picture is at fault.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The prompt is at fault.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The model is at fault.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The model gave something that its description does not allow.
    #[error("the model's output `{tensor}` has the shape {shape:?}: {wanted}")]
    Output {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// What the description demands.
        wanted: &'static str,
    },
}

impl SegmentError {
    /// A short, stable word for statistics: whose fault it was.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Picture(_) => "picture",
            Self::Prompt(_) => "prompt",
            Self::Graph(_) => "graph",
            Self::Output { .. } => "output",
        }
    }
}

/// A model of this task, loaded; any number of threads may ask it.
#[derive(Debug)]
pub struct Segmenter {
    task: PromptableSegmentation,
    digest: Digest,
    encoder: Graph,
    decoder: Graph,
    /// The encoder takes a picture of any size and pads it inside.
    pads_inside: bool,
}

impl Segmenter {
    /// Loads both graphs and checks that they have the tensors that the description names.
    ///
    /// # Errors
    /// When the folder is of another task, or a graph does not load or fit.
    pub fn load(folder: &ModelFolder, options: &GraphOptions) -> Result<Self, LoadError> {
        let Serving::PromptableSegmentation(task) = folder.serving() else {
            return Err(LoadError::OtherTask(folder.serving().task()));
        };
        let load = |part, graph: &espalier_protocol::BundlePath| {
            Graph::load(&graph.under(folder.path()), options)
                .map_err(|source| LoadError::Graph { part, source })
        };
        let encoder = load("encoder", &task.encoder.graph)?;
        let decoder = load("decoder", &task.decoder.graph)?;
        check_encoder(task, &encoder)?;
        decoder::check(&task.decoder, &decoder)?;
        let pads_inside = pads_inside(task, &encoder);
        Ok(Self {
            task: task.clone(),
            digest: folder.digest(),
            encoder,
            decoder,
            pads_inside,
        })
    }

    /// The description that this model follows.
    #[must_use]
    pub fn task(&self) -> &PromptableSegmentation {
        &self.task
    }

    /// The digest of the folder that this model was loaded from.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Who computes the encoder and the decoder.
    #[must_use]
    pub fn placements(&self) -> [&Placement; 2] {
        [self.encoder.placement(), self.decoder.placement()]
    }

    /// Answers a prompt about a picture file; the picture's embedding is taken from the cache or left there.
    ///
    /// # Errors
    /// When the picture, the prompt or the model is at fault, by name.
    pub fn segment(
        &self,
        file: &[u8],
        prompt: &Prompt,
        cache: &EmbeddingCache,
    ) -> Result<Segmentation, SegmentError> {
        let started = Instant::now();
        let mut timings = Timings::default();
        let content = Digest::of(file);
        let cached = cache.get(content, self.digest);
        let embedding_cached = cached.is_some();
        let embedding = match cached {
            Some(embedding) => embedding,
            None => {
                let picture = Picture::decode(file)?;
                timings.decode = started.elapsed();
                // A prompt that cannot be answered must not cost an encoder run.
                prompt::check(prompt, picture.width(), picture.height())?;
                let embedding = self.encode(&picture, &mut timings)?;
                cache.put(content, self.digest, embedding)
            }
        };
        let masks = self.prompt(&embedding, prompt, &mut timings)?;
        timings.total = started.elapsed();
        Ok(Segmentation {
            masks,
            timings,
            embedding_cached,
        })
    }

    /// The embedding of a picture; adds to the timings of preprocessing and encoder.
    ///
    /// # Errors
    /// When the encoder fails or does not give what its description names.
    pub fn encode(
        &self,
        picture: &Picture,
        timings: &mut Timings,
    ) -> Result<Embedding, SegmentError> {
        let started = Instant::now();
        let encoder = &self.task.encoder;
        let prepare = if self.pads_inside {
            preprocess::to_unpadded_tensor
        } else {
            preprocess::to_tensor
        };
        let (input, placing) = prepare(picture, &encoder.preprocessing);
        timings.preprocess += started.elapsed();
        let started = Instant::now();
        let outputs = self.encoder.run(&[(&encoder.input, &input)])?;
        timings.encode += started.elapsed();
        Embedding::pick(outputs, &encoder.outputs, picture, placing)
    }

    /// What the decoder is given for a prompt: calibration watches the graph at work on it.
    ///
    /// # Errors
    /// When the prompt is not about this picture.
    pub fn prompt_inputs(
        &self,
        embedding: &Embedding,
        prompt: &Prompt,
    ) -> Result<NamedTensors, SegmentError> {
        prompt::check(prompt, embedding.width(), embedding.height())?;
        decoder::inputs(&self.task.decoder, &self.decoder, embedding, prompt)
    }

    /// The masks for a prompt, best score first; adds to the timings of decoder and masks.
    ///
    /// # Errors
    /// When the prompt is not about this picture, or the decoder fails or does not give what its
    /// description names.
    pub fn prompt(
        &self,
        embedding: &Embedding,
        prompt: &Prompt,
        timings: &mut Timings,
    ) -> Result<Vec<ScoredMask>, SegmentError> {
        prompt::check(prompt, embedding.width(), embedding.height())?;
        let started = Instant::now();
        let outputs = decoder::run(&self.task.decoder, &self.decoder, embedding, prompt)?;
        timings.prompt += started.elapsed();
        let started = Instant::now();
        let masks = decoder::masks(&self.task, outputs, embedding)?;
        timings.masks += started.elapsed();
        Ok(masks)
    }
}

fn check_encoder(task: &PromptableSegmentation, encoder: &Graph) -> Result<(), LoadError> {
    let ports = std::iter::once(encoder.input(&task.encoder.input))
        .chain(task.encoder.outputs.iter().map(|name| encoder.output(name)));
    check_floats("encoder", ports)
}

/// Exports of Segment Anything with the preprocessing inside take height, width and channels, both
/// sides free. A padding of ours would be normalised there, and be grey instead of nothing.
fn pads_inside(task: &PromptableSegmentation, encoder: &Graph) -> bool {
    let axes = encoder
        .input(&task.encoder.input)
        .ok()
        .and_then(|port| port.axes.as_deref());
    task.encoder.preprocessing.layout == Layout::Hwc
        && matches!(axes, Some([Axis::Free, Axis::Free, _]))
}

fn check_floats<'a>(
    part: &'static str,
    ports: impl Iterator<Item = Result<&'a crate::graph::Port, GraphError>>,
) -> Result<(), LoadError> {
    for port in ports {
        let port = port.map_err(|source| LoadError::Graph { part, source })?;
        if port.element != ElementType::F32 {
            return Err(LoadError::NotFloat {
                part,
                tensor: port.name.clone(),
                found: port.element,
            });
        }
    }
    Ok(())
}
