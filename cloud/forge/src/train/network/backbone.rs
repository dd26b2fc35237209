//! MobileNetV2 without its classifier, batch normalisation folded into the convolutions.

use super::algebra::Algebra;
use super::layer::{Layer, Shape};
use crate::train::kernels::Activation;

/// Stages of inverted residuals: expansion, channels, blocks, stride of the first block. The paper's table 2.
const STAGES: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];
/// The stages whose ends are the taps at strides 4, 8, 16 and 32.
const TAPS: [usize; 4] = [1, 2, 4, 6];
/// Channels after the stem.
const STEM: usize = 32;

/// MobileNetV2's features.
#[derive(Clone, Debug)]
pub struct Backbone {
    stem: Layer,
    stages: Vec<Vec<Residual>>,
}

/// An inverted residual: widen, filter, narrow, and add where the shape allows it.
#[derive(Clone, Debug)]
struct Residual {
    widen: Option<Layer>,
    filter: Layer,
    narrow: Layer,
    adds: bool,
}

impl Backbone {
    /// MobileNetV2 with width 1.0.
    #[must_use]
    pub fn new() -> Self {
        let stem = Layer {
            name: "backbone.stem".to_owned(),
            shape: Shape::Stem { outputs: STEM },
            activation: Activation::Relu6,
            init: super::Init::Normal,
        };
        let mut inputs = STEM;
        let mut stages = Vec::new();
        for (stage, (expansion, channels, blocks, stride)) in STAGES.into_iter().enumerate() {
            let mut residuals = Vec::new();
            for block in 0..blocks {
                let name = format!("backbone.{stage}.{block}");
                let stride = if block == 0 { stride } else { 1 };
                residuals.push(Residual::new(&name, inputs, channels, expansion, stride));
                inputs = channels;
            }
            stages.push(residuals);
        }
        Self { stem, stages }
    }

    /// The taps at strides 4, 8, 16 and 32 of a picture [batch, 3, side, side].
    pub fn forward<A: Algebra>(&self, algebra: &mut A, picture: &A::Value) -> [A::Value; 4] {
        let mut x = algebra.convolve(picture, &self.stem);
        let mut ends = Vec::new();
        for stage in &self.stages {
            for residual in stage {
                x = residual.forward(algebra, &x);
            }
            ends.push(x.clone());
        }
        TAPS.map(|stage| ends[stage].clone())
    }

    /// Its layers, in the order in which they are computed.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        let residuals = self.stages.iter().flatten();
        std::iter::once(&self.stem).chain(residuals.flat_map(|residual| {
            residual
                .widen
                .iter()
                .chain([&residual.filter, &residual.narrow])
        }))
    }
}

impl Default for Backbone {
    fn default() -> Self {
        Self::new()
    }
}

impl Residual {
    fn new(name: &str, inputs: usize, outputs: usize, expansion: usize, stride: usize) -> Self {
        let wide = inputs * expansion;
        Self {
            widen: (expansion > 1).then(|| Layer::pointwise(format!("{name}.widen"), inputs, wide)),
            filter: Layer::depthwise(format!("{name}.filter"), wide, stride),
            narrow: Layer::pointwise(format!("{name}.narrow"), wide, outputs).linear(),
            adds: stride == 1 && inputs == outputs,
        }
    }

    fn forward<A: Algebra>(&self, algebra: &mut A, x: &A::Value) -> A::Value {
        let wide = match &self.widen {
            Some(layer) => algebra.convolve(x, layer),
            None => x.clone(),
        };
        let filtered = algebra.convolve(&wide, &self.filter);
        let narrow = algebra.convolve(&filtered, &self.narrow);
        if self.adds {
            algebra.add(x, &narrow)
        } else {
            narrow
        }
    }
}
