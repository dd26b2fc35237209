//! Our own promptable segmentation network: a MobileNetV2 backbone, a neck, and a convolutional decoder.
//!
//! The network is written once, against [`Algebra`]: the operations that it is made of. Burn's tensors carry it out
//! while it learns, and a graph builder writes it down as ONNX; so the two cannot drift apart.
//!
//! Every activation that a convolution reads lies in 0 ..= 6, and there is no attention, normalisation or
//! exponential on the way from picture to mask: eight bits hold it well.

mod algebra;
mod backbone;
mod decoder;
mod layer;
mod neck;
mod prompt;
mod window;

pub use algebra::{Algebra, LEAST_WEIGHT, Side};
pub use backbone::Backbone;
pub use decoder::{Answer, Decoder, MASKS};
pub use layer::{Init, Layer, Shape};
pub use neck::{DETAIL, EMBEDDING, Embedding, Neck};
pub use prompt::Prompt;

use super::frame::Frame;

/// The whole network.
#[derive(Clone, Debug)]
pub struct Network {
    /// Picture → features at four strides.
    pub backbone: Backbone,
    /// Features → embedding.
    pub neck: Neck,
    /// Embedding and prompt → masks.
    pub decoder: Decoder,
}

impl Network {
    /// The network for this input size.
    #[must_use]
    pub fn new(frame: Frame) -> Self {
        Self {
            backbone: Backbone::new(),
            neck: Neck::new(),
            decoder: Decoder::new(frame),
        }
    }

    /// The layers that learn while the backbone is frozen.
    pub fn head(&self) -> impl Iterator<Item = &Layer> {
        self.neck.layers().chain(self.decoder.layers())
    }

    /// All layers.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.backbone.layers().chain(self.head())
    }
}
