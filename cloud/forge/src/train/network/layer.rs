//! Layers: what the network's weights are called and how they begin.

use super::super::kernels::Activation;

/// A convolution with bias and activation.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its weights are called `NAME.weight` and `NAME.bias`.
    pub name: String,
    /// What it does.
    pub shape: Shape,
    /// What follows it.
    pub activation: Activation,
    /// How its weights begin.
    pub init: Init,
}

/// What a convolution does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// 1×1, all channels with all.
    Pointwise {
        /// Channels read.
        inputs: usize,
        /// Channels made.
        outputs: usize,
    },
    /// 3×3, each channel by itself, padded by 1.
    Depthwise {
        /// Channels.
        channels: usize,
        /// 1, or 2 to halve the sides.
        stride: usize,
    },
    /// 3×3 with stride 2 on the picture's three channels, padded by 1.
    Stem {
        /// Channels made.
        outputs: usize,
    },
}

/// How a layer's weights begin.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    /// Normal, with the variance that keeps a rectified signal's size (He).
    Normal,
    /// Normal, this many times smaller: for the ends of residual branches and for logits.
    Quiet(f32),
    /// Exactly these weights for every output, and this bias.
    Exactly(Vec<f32>, f32),
}

impl Layer {
    /// A 1×1 layer with ReLU6.
    #[must_use]
    pub fn pointwise(name: impl Into<String>, inputs: usize, outputs: usize) -> Self {
        let shape = Shape::Pointwise { inputs, outputs };
        Self {
            name: name.into(),
            shape,
            activation: Activation::Relu6,
            init: Init::Normal,
        }
    }

    /// A 3×3 depthwise layer with ReLU6.
    #[must_use]
    pub fn depthwise(name: impl Into<String>, channels: usize, stride: usize) -> Self {
        let shape = Shape::Depthwise { channels, stride };
        Self {
            name: name.into(),
            shape,
            activation: Activation::Relu6,
            init: Init::Normal,
        }
    }

    /// The same layer without activation.
    #[must_use]
    pub fn linear(self) -> Self {
        Self {
            activation: Activation::None,
            ..self
        }
    }

    /// The same layer with other first weights.
    #[must_use]
    pub fn starting(self, init: Init) -> Self {
        Self { init, ..self }
    }

    /// The name of its weights.
    #[must_use]
    pub fn weight(&self) -> String {
        format!("{}.weight", self.name)
    }

    /// The name of its bias.
    #[must_use]
    pub fn bias(&self) -> String {
        format!("{}.bias", self.name)
    }
}

impl Shape {
    /// The weights' dimensions: outputs, inputs of each group, height, width.
    #[must_use]
    pub fn weight_dims(self) -> [usize; 4] {
        match self {
            Self::Pointwise { inputs, outputs } => [outputs, inputs, 1, 1],
            Self::Depthwise { channels, .. } => [channels, 1, 3, 3],
            Self::Stem { outputs } => [outputs, 3, 3, 3],
        }
    }
}
