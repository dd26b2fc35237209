//! Segmentation by a full model, for the console: passed on to the model host.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A picture and where to look in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SegmentRequest {
    /// The model's name on the host.
    pub model: String,
    /// The picture (JPEG or PNG), base64.
    pub image: String,
    /// Where to look.
    #[schema(value_type = Object)]
    pub prompt: espalier_protocol::manifest::Prompt,
}
