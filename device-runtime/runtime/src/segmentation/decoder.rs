//! The decoder's run: embedding and prompt in, logits out, masks of the original picture.

use espalier_protocol::manifest::{Decoder, MaskFrame, Prompt, PromptableSegmentation};

use crate::graph::{Graph, NamedTensors};
use crate::mask::{LogitPlane, Window};
use crate::tensor::{Elements, Tensor};

use super::answer::ScoredMask;
use super::embedding::{Embedding, take};
use super::{LoadError, SegmentError, check_floats, prompt};

/// The most masks that one answer may hold; Segment Anything gives four.
const MAX_MASKS: usize = 16;

/// Checks that the graph has the tensors that the description names.
pub(super) fn check(description: &Decoder, graph: &Graph) -> Result<(), LoadError> {
    let given = description
        .mask_input
        .iter()
        .flat_map(|mask| [&mask.mask, &mask.has_mask]);
    let inputs = description
        .embeddings
        .iter()
        .chain([&description.point_coords, &description.point_labels])
        .chain(given)
        .chain(&description.original_size)
        .map(|name| graph.input(name));
    let outputs = [&description.masks, &description.scores]
        .into_iter()
        .map(|name| graph.output(name));
    check_floats("decoder", inputs.chain(outputs))
}

pub(super) fn run(
    description: &Decoder,
    graph: &Graph,
    embedding: &Embedding,
    prompt: &Prompt,
) -> Result<NamedTensors, SegmentError> {
    let made = prompt_tensors(description, graph, embedding, prompt)?;
    let embeddings = description.embeddings.iter().zip(embedding.tensors());
    let inputs: Vec<(&str, &Tensor)> = embeddings
        .chain(made.iter().map(|(name, tensor)| (name, tensor)))
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    Ok(graph.run(&inputs)?)
}

/// Everything that [`run`] gives to the graph.
pub(super) fn inputs(
    description: &Decoder,
    graph: &Graph,
    embedding: &Embedding,
    prompt: &Prompt,
) -> Result<NamedTensors, SegmentError> {
    let embeddings = description.embeddings.iter().zip(embedding.tensors());
    let mut inputs: NamedTensors = embeddings
        .map(|(name, tensor)| (name.clone(), tensor.clone()))
        .collect();
    inputs.extend(prompt_tensors(description, graph, embedding, prompt)?);
    Ok(inputs)
}

/// The inputs beside the embedding.
fn prompt_tensors(
    description: &Decoder,
    graph: &Graph,
    embedding: &Embedding,
    prompt: &Prompt,
) -> Result<NamedTensors, SegmentError> {
    let (coordinates, labels) = prompt::tensors(prompt, embedding.placing(), description, graph)?;
    let mut made = vec![
        (description.point_coords.clone(), coordinates),
        (description.point_labels.clone(), labels),
    ];
    if let Some(mask) = &description.mask_input {
        let (height, width) = (mask.height as usize, mask.width as usize);
        let nothing = Tensor::filled(
            vec![1, 1, height, width],
            Elements::F32(vec![0.0; height * width]),
        );
        made.push((mask.mask.clone(), nothing));
        made.push((
            mask.has_mask.clone(),
            Tensor::filled(vec![1], Elements::F32(vec![0.0])),
        ));
    }
    if let Some(name) = &description.original_size {
        let size = vec![embedding.height() as f32, embedding.width() as f32];
        made.push((name.clone(), Tensor::filled(vec![2], Elements::F32(size))));
    }
    Ok(made)
}

/// The masks in pixels of the original picture, best score first.
pub(super) fn masks(
    task: &PromptableSegmentation,
    mut outputs: NamedTensors,
    embedding: &Embedding,
) -> Result<Vec<ScoredMask>, SegmentError> {
    let decoder = &task.decoder;
    let logits = take(&mut outputs, &decoder.masks)?;
    let scores = take(&mut outputs, &decoder.scores)?;
    let [
        1,
        count @ 1..=MAX_MASKS,
        height @ 1..=usize::MAX,
        width @ 1..=usize::MAX,
    ] = *logits.shape()
    else {
        return Err(unexpected(
            &decoder.masks,
            &logits,
            "[1, K, height, width] with 1 to 16 masks, none empty, is needed",
        ));
    };
    let (Some(values), Some(scores)) = (
        logits.as_f32(),
        scores.as_f32().filter(|scores| scores.len() == count),
    ) else {
        return Err(unexpected(
            &decoder.scores,
            &scores,
            "one float32 score for each mask is needed",
        ));
    };
    let window = window(task, embedding, width, height);
    let mut masks = Vec::with_capacity(count);
    for (plane, score) in values.chunks(height * width).zip(scores) {
        let plane = LogitPlane::new(width, height, plane)
            .ok_or_else(|| unexpected(&decoder.masks, &logits, "masks must not be empty"))?;
        let mask = plane.to_mask(
            window,
            embedding.width(),
            embedding.height(),
            decoder.mask_threshold,
        );
        masks.push(ScoredMask {
            mask,
            score: finite(*score),
        });
    }
    masks.sort_by(|a, b| b.score.total_cmp(&a.score));
    Ok(masks)
}

/// The part of the masks' rectangle that shows the picture.
fn window(
    task: &PromptableSegmentation,
    embedding: &Embedding,
    width: usize,
    height: usize,
) -> Window {
    let (width, height) = (width as f32, height as f32);
    match task.decoder.mask_frame {
        MaskFrame::Original => Window { width, height },
        MaskFrame::Input => {
            let (input, placing) = (&task.encoder.preprocessing, embedding.placing());
            Window {
                width: width * placing.shown_width as f32 / input.width as f32,
                height: height * placing.shown_height as f32 / input.height as f32,
            }
        }
    }
}

/// JSON has no way to say "not a number", and a model that does not know is not sure of anything.
fn finite(score: f32) -> f32 {
    if score.is_finite() { score } else { 0.0 }
}

fn unexpected(tensor: &str, found: &Tensor, wanted: &'static str) -> SegmentError {
    SegmentError::Output {
        tensor: tensor.to_owned(),
        shape: found.shape().to_vec(),
        wanted,
    }
}
