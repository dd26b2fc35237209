//! Segmentation by a full model, for the console: passed on to the model host.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A picture and where to look in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SegmentRequest {
    /// The model's name on the host.
    #[schema(value_type = String)]
    pub model: espalier_protocol::ModelName,
    /// The picture (JPEG or PNG), base64.
    pub image: String,
    /// Clicks, in pixels of the picture.
    #[serde(default)]
    pub points: Vec<SegmentPoint>,
    /// `[x0, y0, x1, y1]`, in pixels of the picture.
    #[serde(default, rename = "box", skip_serializing_if = "Option::is_none")]
    pub bounds: Option<[f32; 4]>,
}

/// One click.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SegmentPoint {
    /// Pixels from the left.
    pub x: f32,
    /// Pixels from the top.
    pub y: f32,
    /// The object is here, or it is not.
    #[serde(default)]
    pub label: SegmentLabel,
}

/// What a click says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SegmentLabel {
    /// The object is here.
    #[default]
    Foreground,
    /// The object is not here.
    Background,
}
