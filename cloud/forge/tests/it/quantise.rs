use std::path::Path;

use espalier_forge::onnx::{Limits, ModelProto, read_file, write, write_file};
use espalier_forge::quantise::layers::{layers, name_nodes};
use espalier_forge::quantise::ranges::{Range, Ranges};
use espalier_forge::quantise::sensitivity::{Ranked, search};
use espalier_forge::quantise::{self, Plan, Precision, QuantiseError, calibrate};
use espalier_forge::recipe::{
    Calibration, IntegerFormat, Method, RangeMethod, Signedness, WeightBits,
};
use espalier_runtime::graph::NamedTensors;
use espalier_runtime::{Graph, GraphOptions, Tensor};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::{self, workshop};

const X86: IntegerFormat = IntegerFormat {
    activations: Signedness::Unsigned,
    weights: WeightBits::Seven,
};
const ARM: IntegerFormat = IntegerFormat {
    activations: Signedness::Signed,
    weights: WeightBits::Eight,
};

fn named(mut model: ModelProto) -> ModelProto {
    name_nodes(model.graph.as_mut().unwrap());
    model
}

fn plan(model: &ModelProto, method: Method) -> Plan {
    Plan::new(method, &layers(model.graph.as_ref().unwrap()), &[])
}

fn pictures(input: &str, side: usize, count: u64) -> Vec<NamedTensors> {
    let picture = |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let values = (0..3 * side * side)
            .map(|_| rng.random_range(-2.0..2.0_f32))
            .collect();
        vec![(
            input.to_owned(),
            Tensor::f32([1, 3, side, side], values).unwrap(),
        )]
    };
    (0..count).map(picture).collect()
}

fn calibrated(
    model: &ModelProto,
    samples: &[NamedTensors],
    method: RangeMethod,
    scratch: &Path,
) -> Ranges {
    let values = calibrate::values(model, &plan(model, Method::StaticInt8));
    let calibration = Calibration {
        method,
        ..Calibration::default()
    };
    calibrate::calibrate(
        model,
        &values,
        samples,
        &calibration,
        &scratch.join("observed.onnx"),
        &mut || {},
    )
    .unwrap()
}

fn run(model: &ModelProto, sample: &NamedTensors, scratch: &Path) -> NamedTensors {
    let file = scratch.join("graph.onnx");
    write_file(model, &file).unwrap();
    let graph = Graph::load(&file, &GraphOptions::default()).unwrap();
    let inputs: Vec<_> = sample
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    graph.run(&inputs).unwrap()
}

/// Relative L2 distance of the first outputs.
fn distance(a: &NamedTensors, b: &NamedTensors) -> f64 {
    let (a, b) = (a[0].1.as_f32().unwrap(), b[0].1.as_f32().unwrap());
    assert!(b.iter().all(|value| value.is_finite()));
    let square = |values: &mut dyn Iterator<Item = f32>| {
        values.map(|v| f64::from(v) * f64::from(v)).sum::<f64>()
    };
    (square(&mut a.iter().zip(b).map(|(a, b)| a - b)) / square(&mut a.iter().copied())).sqrt()
}

#[test]
fn every_method_stays_near_the_full_graph() {
    if workshop().is_none() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let model = named(support::encoder(7));
    let samples = pictures("picture", 64, 6);
    let ranges = calibrated(&model, &samples, RangeMethod::MinMax, scratch.path());
    let full = run(&model, &samples[0], scratch.path());
    let apply =
        |method, format| quantise::apply(&model, &plan(&model, method), &ranges, format).unwrap();
    let built = [
        (apply(Method::StaticInt8, X86), 0.05, 0.35),
        // Run on x86, where 8-bit weights may overflow: the format is right, its numbers are a little off.
        (apply(Method::StaticInt8, ARM), 0.1, 0.35),
        (apply(Method::WeightsInt8, X86), 0.02, 0.32),
        (quantise::to_fp16(&model, false, &[]).unwrap(), 0.002, 0.55),
        (quantise::to_fp16(&model, true, &[]).unwrap(), 0.02, 0.55),
    ];
    for (at, (graph, most, share)) in built.iter().enumerate() {
        let found = distance(&full, &run(graph, &samples[0], scratch.path()));
        assert!(
            found > 0.0 && found < *most,
            "graph {at}: relative distance {found}"
        );
        let bytes = write(graph).len() as f64 / write(&model).len() as f64;
        assert!(bytes < *share, "graph {at}: {bytes} of the bytes");
    }
}

#[test]
fn dynamic_products_stay_near_the_full_ones_with_and_without_bias() {
    if workshop().is_none() {
        return;
    }
    use espalier_forge::onnx::build::Setting;
    use espalier_forge::onnx::{DataType, GraphBuilder};
    let scratch = tempfile::tempdir().unwrap();
    let mut weights = support::Weights::seeded(3);
    let mut graph = GraphBuilder::new("products");
    let x = graph.input("x", DataType::Float, &["rows".into(), 64.into()]);
    let (w, b) = (
        graph.constant(weights.tensor("w", &[48, 64])),
        graph.constant(weights.tensor("b", &[48])),
    );
    let x = graph.node(
        "Gemm",
        &[Some(&x), Some(&w), Some(&b)],
        vec![("transB", Setting::Int(1))],
    );
    let w = graph.constant(weights.tensor("v", &[48, 32]));
    let x = graph.op("MatMul", &[&x, &w]);
    graph.output(&x, "y", DataType::Float, &["rows".into(), 32.into()]);
    let model = named(graph.finish());
    let values = (0..5 * 64).map(|at| (at as f32).sin()).collect();
    let sample = vec![("x".to_owned(), Tensor::f32([5, 64], values).unwrap())];
    let plan = plan(&model, Method::DynamicInt8);
    assert_eq!(plan.count(Precision::Dynamic), 2);
    let built = quantise::apply(&model, &plan, &Ranges::new(), X86).unwrap();
    let full = run(&model, &sample, scratch.path());
    let found = distance(&full, &run(&built, &sample, scratch.path()));
    assert!(found < 0.03, "relative distance {found}");
}

#[test]
fn a_value_that_calibration_never_saw_is_named() {
    let model = named(support::encoder(7));
    let error = quantise::apply(
        &model,
        &plan(&model, Method::StaticInt8),
        &Ranges::new(),
        X86,
    );
    assert!(matches!(error, Err(QuantiseError::NoRange(_))));
}

#[test]
fn a_weight_that_is_not_a_number_is_named() {
    let mut model = named(support::encoder(7));
    let weight = &mut model.graph.as_mut().unwrap().initializer[0];
    let mut values = weight.to_f32().unwrap();
    values[5] = f32::NAN;
    *weight = espalier_forge::onnx::TensorProto::from_f32("stem.weight", &[32, 3, 3, 3], &values);
    let plan = plan(&model, Method::WeightsInt8);
    let message = quantise::apply(&model, &plan, &Ranges::new(), X86)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("stem.weight") && message.contains("finite"),
        "{message}"
    );
}

#[test]
fn an_activation_that_is_not_a_number_is_named() {
    if workshop().is_none() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let model = named(support::encoder(7));
    let broken = vec![(
        "picture".to_owned(),
        Tensor::f32([1, 3, 64, 64], vec![f32::NAN; 3 * 64 * 64]).unwrap(),
    )];
    let values = calibrate::values(&model, &plan(&model, Method::StaticInt8));
    let file = scratch.path().join("observed.onnx");
    let error = calibrate::calibrate(
        &model,
        &values,
        &[broken],
        &Calibration::default(),
        &file,
        &mut || {},
    );
    assert!(matches!(error, Err(QuantiseError::NotFinite(_))));
}

#[test]
fn the_search_frees_as_few_layers_as_reach_the_goal() {
    let names = ["a", "b", "c", "d", "e"];
    let whole = Plan::joined(
        names
            .map(|name| (name, Plan::only("layer")))
            .iter()
            .map(|(n, p)| (*n, p)),
    );
    // Each static layer costs what its place in the alphabet says; "e" and "c" are dear.
    let cost = |name: &str| match name.chars().next() {
        Some('e') => 0.10,
        Some('c') => 0.05,
        _ => 0.001,
    };
    let mut asked = 0;
    let found = search::<()>(
        &whole,
        0.97,
        &mut |plan| {
            asked += 1;
            Ok(1.0 - plan.static_layers().map(|name| cost(name)).sum::<f64>())
        },
        || {
            Ok(whole
                .static_layers()
                .map(|n| Ranked {
                    layer: n.clone(),
                    agreement: 1.0 - cost(n),
                })
                .collect())
        },
    )
    .unwrap();
    let freed: Vec<&str> = found
        .freed
        .iter()
        .map(|ranked| ranked.layer.as_str())
        .collect();
    assert_eq!(freed, ["e: layer", "c: layer"]);
    assert!(
        found.agreement >= 0.97 && asked <= 5,
        "{asked} plans were tried"
    );
}

#[test]
fn a_real_backbone_shrinks_and_stays_near() {
    let Some(weights) = shared("weights/mobilenetv2_imagenet_features.onnx") else {
        return;
    };
    if workshop().is_none() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let model = named(read_file(&weights, &Limits::default()).unwrap());
    let samples = pictures("image", 96, 4);
    let ranges = calibrated(&model, &samples, RangeMethod::Percentile, scratch.path());
    let built = quantise::apply(&model, &plan(&model, Method::StaticInt8), &ranges, X86).unwrap();
    let full = run(&model, &samples[0], scratch.path());
    let found = distance(&full, &run(&built, &samples[0], scratch.path()));
    assert!(found < 0.4, "relative distance of the first level {found}");
    let share = write(&built).len() as f64 / write(&model).len() as f64;
    assert!(share < 0.30, "{share} of the bytes");
}

/// A file of the folder that developers share; nobody else has it.
fn shared(file: &str) -> Option<std::path::PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("ESPALIER_SHARED").map_or(beside, Into::into);
    Some(folder.join(file)).filter(|path| path.is_file())
}

proptest! {
    #[test]
    fn zero_is_exact_in_every_range(low in -1e6_f32..1e6, high in -1e6_f32..1e6) {
        let range = Range::holding(low.min(high), low.max(high));
        for signedness in [Signedness::Unsigned, Signedness::Signed] {
            let (scale, zero) = range.scale(signedness);
            let (least, most) = if signedness == Signedness::Unsigned { (0, 255) } else { (-128, 127) };
            prop_assert!(scale.is_finite() && scale > 0.0);
            prop_assert!((least..=most).contains(&zero));
            // Both ends are reached within one step.
            prop_assert!((scale * (least - zero) as f32 - range.low).abs() <= scale * 1.001);
            prop_assert!((scale * (most - zero) as f32 - range.high).abs() <= scale * 1.001);
        }
    }
}
