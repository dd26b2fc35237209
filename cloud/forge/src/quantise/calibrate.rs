//! Calibration: the graph runs on sample inputs, and the values of its activations are counted.

use std::collections::BTreeMap;
use std::path::Path;

use espalier_runtime::graph::{NamedTensors, Optimisation};
use espalier_runtime::{Graph, GraphOptions};

use crate::onnx::{self, DataType, ModelProto, ValueInfoProto, proto};
use crate::recipe::{Calibration, RangeMethod};

use super::ranges::{Histogram, Range, Ranges};
use super::{Plan, QuantiseError, qdq};

/// The values whose ranges the plan needs. Plans that free some of its layers need no others.
#[must_use]
pub fn values(model: &ModelProto, plan: &Plan) -> Vec<String> {
    let Some(graph) = &model.graph else {
        return Vec::new();
    };
    let mut values: Vec<String> = qdq::Choice::new(graph, plan)
        .values()
        .map(str::to_owned)
        .collect();
    values.sort();
    values
}

/// The ranges of `values` over all samples. `scratch` is a file that may be written.
///
/// # Errors
/// [`QuantiseError::Run`] when the graph fails on a sample, [`QuantiseError::NotFinite`] when it computes
/// something that is no number.
pub fn calibrate(
    model: &ModelProto,
    values: &[String],
    samples: &[NamedTensors],
    calibration: &Calibration,
    scratch: &Path,
    progress: &mut dyn FnMut(),
) -> Result<Ranges, QuantiseError> {
    onnx::write_file(&observed(model, values), scratch)?;
    // Unfused, so that every value exists; the numbers are those of any other level.
    let options = GraphOptions {
        optimisation: Optimisation::Portable,
        ..GraphOptions::default()
    };
    let graph = Graph::load(scratch, &options)?;
    let whole = whole_ranges(&graph, values, samples, progress)?;
    if calibration.method == RangeMethod::MinMax {
        return Ok(whole);
    }
    let mut histograms: BTreeMap<&String, Histogram> = whole
        .iter()
        .map(|(value, range)| (value, Histogram::over(*range)))
        .collect();
    for sample in samples {
        for (value, tensor) in seen(&graph, sample)? {
            if let (Some(histogram), Some(numbers)) = (histograms.get_mut(&value), tensor.as_f32())
            {
                histogram.add(numbers);
            }
        }
        progress();
    }
    Ok(histograms
        .into_iter()
        .map(|(value, counted)| (value.clone(), counted.range(calibration)))
        .collect())
}

/// How many steps [`calibrate`] reports.
#[must_use]
pub fn steps(samples: usize, calibration: &Calibration) -> u64 {
    let passes = if calibration.method == RangeMethod::MinMax {
        1
    } else {
        2
    };
    (samples * passes) as u64
}

fn whole_ranges(
    graph: &Graph,
    values: &[String],
    samples: &[NamedTensors],
    progress: &mut dyn FnMut(),
) -> Result<Ranges, QuantiseError> {
    let mut ranges = Ranges::new();
    for sample in samples {
        for (value, tensor) in seen(graph, sample)? {
            let Some(numbers) = tensor.as_f32().filter(|_| values.contains(&value)) else {
                continue;
            };
            let (low, high) =
                extent(numbers).ok_or_else(|| QuantiseError::NotFinite(value.clone()))?;
            let before = ranges
                .get(&value)
                .copied()
                .unwrap_or(Range::holding(0.0, 0.0));
            ranges.insert(
                value,
                Range::holding(before.low.min(low), before.high.max(high)),
            );
        }
        progress();
    }
    Ok(ranges)
}

fn extent(numbers: &[f32]) -> Option<(f32, f32)> {
    let (low, high, finite) =
        numbers
            .iter()
            .fold((0.0_f32, 0.0_f32, true), |(low, high, finite), number| {
                (
                    low.min(*number),
                    high.max(*number),
                    finite && number.is_finite(),
                )
            });
    finite.then_some((low, high))
}

/// Everything that is known of one run: the sample itself, and what the graph made of it.
fn seen(graph: &Graph, sample: &NamedTensors) -> Result<NamedTensors, QuantiseError> {
    let inputs: Vec<_> = sample
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    let mut seen = graph.run(&inputs)?;
    seen.extend(sample.iter().cloned());
    Ok(seen)
}

/// The model with every observed value among its outputs; its inputs are known anyway.
fn observed(model: &ModelProto, values: &[String]) -> ModelProto {
    let mut model = model.clone();
    if let Some(graph) = model.graph.as_mut() {
        let hidden = |value: &&String| {
            !graph
                .output
                .iter()
                .chain(&graph.input)
                .any(|port| port.name() == *value)
        };
        let more: Vec<ValueInfoProto> = values
            .iter()
            .filter(hidden)
            .map(|value| float(value))
            .collect();
        graph.output.extend(more);
    }
    model
}

/// A float32 output of a shape that is left to the runtime.
fn float(value: &str) -> ValueInfoProto {
    let tensor = proto::TensorTypeProto {
        elem_type: Some(DataType::Float.number()),
        shape: None,
    };
    ValueInfoProto {
        name: Some(value.to_owned()),
        r#type: Some(proto::TypeProto {
            value: Some(proto::TypeValue::Tensor(tensor)),
            denotation: None,
        }),
        ..ValueInfoProto::default()
    }
}
