//! `model.json`: the trained model in the words of its task.

use espalier_protocol::manifest::{
    Decoder, Encoder, FORMAT, MaskFrame, MaskInput, ModelDescription, PromptableSegmentation,
    Serving,
};
use espalier_protocol::{BundlePath, ModelName};

use super::export::{DETAILS, EMBEDDINGS, IMAGE};
use super::frame::Frame;

/// The encoder's file.
pub const ENCODER: &str = "encoder.onnx";
/// The decoder's file.
pub const DECODER: &str = "decoder.onnx";

/// A model could not be described because a name is not allowed.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` cannot be the name of a model: small letters, digits and hyphens only")]
pub struct BadName(pub String);

/// Describes the exported graphs.
///
/// # Errors
/// [`BadName`] when the model's name is not one.
pub fn describe(name: &str, frame: Frame) -> Result<ModelDescription, BadName> {
    let bad = || BadName(name.to_owned());
    let file = |name: &str| name.parse::<BundlePath>().map_err(|_| bad());
    let embedding = [EMBEDDINGS, DETAILS].map(str::to_owned).to_vec();
    let side = frame.mask_side() as u32;
    Ok(ModelDescription {
        format: FORMAT,
        model: name.parse::<ModelName>().map_err(|_| bad())?,
        summary: "Masks for clicks and boxes: MobileNetV2 features and a convolutional decoder, trained by espalier-forge".to_owned(),
        serving: Serving::PromptableSegmentation(PromptableSegmentation {
            encoder: Encoder {
                graph: file(ENCODER)?,
                input: IMAGE.to_owned(),
                preprocessing: frame.preprocessing(),
                outputs: embedding.clone(),
            },
            decoder: Decoder {
                graph: file(DECODER)?,
                embeddings: embedding,
                point_coords: "point_coords".to_owned(),
                point_labels: "point_labels".to_owned(),
                pad_point: false,
                mask_input: Some(MaskInput {
                    mask: "mask_input".to_owned(),
                    has_mask: "has_mask_input".to_owned(),
                    height: side,
                    width: side,
                }),
                original_size: None,
                masks: "masks".to_owned(),
                mask_frame: MaskFrame::Input,
                scores: "iou_predictions".to_owned(),
                mask_threshold: 0.0,
            },
        }),
    })
}
