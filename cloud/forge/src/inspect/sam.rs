//! The official export of SAM and MobileSAM, recognised by the names of its tensors.
//!
//! The names come from `scripts/export_onnx_model.py` of facebookresearch/segment-anything, which
//! MobileSAM keeps. That script exports the decoder; encoders are exported beside it by the same names
//! (`image_embeddings` out), with the picture either prepared outside (four axes) or inside (three).

use espalier_protocol::manifest::{
    Decoder, Encoder, Fit, Layout, MaskFrame, MaskInput, Preprocessing, PromptableSegmentation,
};

use super::{GraphReport, PortReport};

const DECODER_INPUTS: [&str; 6] = [
    "image_embeddings",
    "point_coords",
    "point_labels",
    "mask_input",
    "has_mask_input",
    "orig_im_size",
];
const DECODER_OUTPUTS: [&str; 3] = ["masks", "iou_predictions", "low_res_masks"];

/// SAM's input square in pixels.
const SIDE: u32 = 1024;
/// The side of its low-resolution masks in pixels.
const MASK_SIDE: u32 = 256;
/// Mean and deviation of the pixel values 0 … 255 that SAM was trained with (segment-anything, `sam.py`).
const MEAN: [f32; 3] = [123.675, 116.28, 103.53];
const STD: [f32; 3] = [58.395, 57.12, 57.375];

/// How the export is served, if these graphs are one.
pub(super) fn recognise(graphs: &[GraphReport]) -> Option<PromptableSegmentation> {
    let decoder = graphs.iter().find(|graph| is_decoder(graph))?;
    let encoder = graphs
        .iter()
        .find(|graph| graph.file != decoder.file && is_encoder(graph))?;
    let [input] = encoder.inputs.as_slice() else {
        return None;
    };
    Some(PromptableSegmentation {
        encoder: Encoder {
            graph: encoder.file.clone(),
            input: input.name.clone(),
            preprocessing: preprocessing(input),
            outputs: vec![embedding(encoder)?.name.clone()],
        },
        decoder: describe_decoder(decoder),
    })
}

fn is_decoder(graph: &GraphReport) -> bool {
    let named = |ports: &[PortReport], name: &str| ports.iter().any(|port| port.name == name);
    DECODER_INPUTS.iter().all(|name| named(&graph.inputs, name))
        && DECODER_OUTPUTS
            .iter()
            .all(|name| named(&graph.outputs, name))
}

fn is_encoder(graph: &GraphReport) -> bool {
    let axes = |count| {
        graph
            .inputs
            .first()
            .and_then(|port| port.shape.as_ref())
            .is_some_and(|s| s.len() == count)
    };
    graph.inputs.len() == 1 && embedding(graph).is_some() && (axes(3) || axes(4))
}

/// The output with the name of the official script, or the only output where an exporter renamed it.
fn embedding(graph: &GraphReport) -> Option<&PortReport> {
    let named = graph
        .outputs
        .iter()
        .find(|port| port.name == DECODER_INPUTS[0]);
    match graph.outputs.as_slice() {
        [only] => named.or(Some(only)),
        _ => named,
    }
}

/// Three axes: the graph takes raw pixels and normalises them itself.
fn preprocessing(input: &PortReport) -> Preprocessing {
    let inside = input.shape.as_ref().is_some_and(|shape| shape.len() == 3);
    let (mean, std, layout) = if inside {
        ([0.0; 3], [1.0; 3], Layout::Hwc)
    } else {
        (MEAN, STD, Layout::Nchw)
    };
    Preprocessing {
        height: SIDE,
        width: SIDE,
        fit: Fit::LongSidePad,
        scale: 1.0,
        mean,
        std,
        layout,
    }
}

fn describe_decoder(graph: &GraphReport) -> Decoder {
    let name = |at: usize| DECODER_INPUTS[at].to_owned();
    Decoder {
        graph: graph.file.clone(),
        embeddings: vec![name(0)],
        point_coords: name(1),
        point_labels: name(2),
        pad_point: true,
        mask_input: Some(MaskInput {
            mask: name(3),
            has_mask: name(4),
            height: MASK_SIDE,
            width: MASK_SIDE,
        }),
        original_size: Some(name(5)),
        masks: DECODER_OUTPUTS[0].to_owned(),
        mask_frame: MaskFrame::Original,
        scores: DECODER_OUTPUTS[1].to_owned(),
        mask_threshold: 0.0,
    }
}
