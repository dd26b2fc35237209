//! Fewer bits for the same model: 8-bit and 16-bit graphs written from 32-bit ones.
//!
//! Static quantisation follows ONNX Runtime's QDQ form: weights in signed 8 bits with a scale for each output
//! channel, activations in 8 bits with a scale for each tensor, biases in 32 bits. A value is quantised once,
//! behind the `Relu` or `Clip` that follows its layer, and never between the two, so that the runtime can fuse
//! the whole into one integer kernel. Which layers take part is a [`Plan`]; the rest keep their activations in
//! floating point and store only their weights in 8 bits.

pub mod calibrate;
pub mod layers;
pub mod ranges;
pub mod sensitivity;
pub mod weights;
pub mod wiring;

mod dynamic;
mod emit;
mod fp16;
mod qdq;
mod stored;

use std::collections::BTreeMap;

use crate::onnx::{self, GraphProto, ModelProto, OnnxError};
use crate::recipe::{IntegerFormat, Method};

use layers::{Kind, Layer};
use ranges::Ranges;

/// The oldest opset whose `DequantizeLinear` knows a scale for each channel.
const LEAST_OPSET: i64 = 13;

/// Why a graph cannot be quantised.
#[derive(Debug, thiserror::Error)]
pub enum QuantiseError {
    /// The graph contradicts itself, before or after.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// An operator set that is too old.
    #[error(
        "8-bit graphs need ONNX opset {LEAST_OPSET} or newer, this one has {0}: export the model again with opset 17"
    )]
    Opset(i64),
    /// Calibration never saw a value.
    #[error("calibration saw no values of `{0}`; use more pictures")]
    NoRange(String),
    /// Calibration saw a value that is not a number.
    #[error(
        "`{0}` is not a finite number on some calibration picture: the full model itself fails on it"
    )]
    NotFinite(String),
    /// A graph could not be run.
    #[error(transparent)]
    Run(#[from] espalier_runtime::GraphError),
}

/// How one layer is stored and computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Weights and activations in 8 bits.
    Static,
    /// Weights in 8 bits, activations quantised while it runs.
    Dynamic,
    /// Weights in 8 bits, computed in floating point.
    Weights,
    /// Untouched.
    Full,
}

/// The precision of each layer, by the name of its node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan(BTreeMap<String, Precision>);

impl Plan {
    /// What a method means for these layers. Layers that a method has no kernel for store their weights in 8
    /// bits; those that the recipe keeps stay as they are.
    #[must_use]
    pub fn new(method: Method, layers: &[Layer], keep_fp32: &[String]) -> Self {
        let precision = |layer: &Layer| match (method, layer.kind) {
            _ if keep_fp32.contains(&layer.name) => Precision::Full,
            (Method::StaticInt8, Kind::Conv | Kind::Gemm | Kind::MatMul) => Precision::Static,
            (Method::DynamicInt8, Kind::Gemm | Kind::MatMul) => Precision::Dynamic,
            (Method::StaticInt8 | Method::DynamicInt8 | Method::WeightsInt8, _) => {
                Precision::Weights
            }
            (Method::Full | Method::WeightsFp16 | Method::Fp16, _) => Precision::Full,
        };
        Self(
            layers
                .iter()
                .map(|layer| (layer.name.clone(), precision(layer)))
                .collect(),
        )
    }

    /// The precision of a layer.
    #[must_use]
    pub fn of(&self, layer: &Layer) -> Precision {
        self.0.get(&layer.name).copied().unwrap_or(Precision::Full)
    }

    /// The same plan with some static layers freed: they keep their weights in 8 bits.
    #[must_use]
    pub fn freeing<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> Self {
        let mut plan = self.clone();
        for name in names {
            if let Some(precision @ Precision::Static) = plan.0.get_mut(name) {
                *precision = Precision::Weights;
            }
        }
        plan
    }

    /// The plans of several graphs in one; [`Plan::part`] takes them apart again.
    #[must_use]
    pub fn joined<'a>(parts: impl IntoIterator<Item = (&'a str, &'a Self)>) -> Self {
        let named = |(graph, plan): (&str, &Self)| {
            let names = plan
                .0
                .iter()
                .map(move |(name, precision)| (format!("{graph}: {name}"), *precision));
            names.collect::<Vec<_>>()
        };
        Self(parts.into_iter().flat_map(named).collect())
    }

    /// One graph's part of a joined plan.
    #[must_use]
    pub fn part(&self, graph: &str) -> Self {
        let prefix = format!("{graph}: ");
        let own = self.0.iter().filter_map(|(name, precision)| {
            Some((name.strip_prefix(&prefix)?.to_owned(), *precision))
        });
        Self(own.collect())
    }

    /// A plan with a single static layer; the others are untouched.
    #[must_use]
    pub fn only(name: &str) -> Self {
        Self(BTreeMap::from([(name.to_owned(), Precision::Static)]))
    }

    /// The names of the static layers.
    pub fn static_layers(&self) -> impl Iterator<Item = &String> {
        self.0
            .iter()
            .filter(|(_, precision)| **precision == Precision::Static)
            .map(|(name, _)| name)
    }

    /// How many layers have this precision.
    #[must_use]
    pub fn count(&self, precision: Precision) -> usize {
        self.0.values().filter(|p| **p == precision).count()
    }
}

/// Writes the graph that the plan describes. `ranges` must hold every activation that a static layer touches.
///
/// # Errors
/// [`QuantiseError`]; the result is checked before it is given.
pub fn apply(
    model: &ModelProto,
    plan: &Plan,
    ranges: &Ranges,
    format: IntegerFormat,
) -> Result<ModelProto, QuantiseError> {
    let opset = crate::inspect::opset(model);
    if plan.count(Precision::Static) > 0 && opset < LEAST_OPSET {
        return Err(QuantiseError::Opset(opset));
    }
    rewrite(model, |graph| {
        let graph = qdq::apply(graph, plan, ranges, format)?;
        let graph = dynamic::apply(graph, plan, format.weights)?;
        stored::apply(graph, plan)
    })
}

/// Writes the graph in 16-bit floating point: `computation` too, or only its weights.
///
/// # Errors
/// [`QuantiseError`]; the result is checked before it is given.
pub fn to_fp16(
    model: &ModelProto,
    computation: bool,
    keep_fp32: &[String],
) -> Result<ModelProto, QuantiseError> {
    rewrite(model, |graph| match computation {
        true => fp16::computation(graph, keep_fp32),
        false => fp16::weights(graph, keep_fp32),
    })
}

fn rewrite(
    model: &ModelProto,
    rewriting: impl FnOnce(GraphProto) -> Result<GraphProto, QuantiseError>,
) -> Result<ModelProto, QuantiseError> {
    let mut model = model.clone();
    if let Some(graph) = model.graph.take() {
        model.graph = Some(emit::without_unused_constants(rewriting(graph)?));
    }
    onnx::check(&model, &onnx::Limits::default())?;
    Ok(model)
}
