//! The build's model card: what it takes and gives, what it was judged on, and the figures of its evaluation.

use espalier_protocol::manifest::{Manifest, PromptableSegmentation, Serving};
use espalier_protocol::proof::bom::{
    Considerations, Dataset, DatasetKind, Metric, ModelCard, ModelParameters, Port,
    QuantitativeAnalysis,
};

use super::Origin;
use crate::recipe::{Method, Recipe};

pub(super) fn write(manifest: &Manifest, origin: &Origin<'_>) -> ModelCard {
    ModelCard {
        model_parameters: parameters(manifest, origin),
        quantitative_analysis: QuantitativeAnalysis {
            performance_metrics: metrics(origin),
        },
        considerations: considerations(manifest, origin),
    }
}

fn parameters(manifest: &Manifest, origin: &Origin<'_>) -> ModelParameters {
    let (family, inputs, outputs) = match &manifest.serving {
        Serving::PromptableSegmentation(sam) => (
            "picture encoder and prompt decoder (Segment Anything)",
            segmentation_inputs(sam),
            segmentation_outputs(sam),
        ),
        Serving::Tensor(_) => ("ONNX graph", vec![port("tensors")], vec![port("tensors")]),
    };
    ModelParameters {
        task: manifest.serving.task().to_owned(),
        architecture_family: family.to_owned(),
        model_architecture: format!(
            "{} ONNX graphs, opset {}, {} weights",
            manifest.serving.graphs().len(),
            manifest.requires.opset,
            origin.evaluation.params
        ),
        datasets: datasets(origin.recipe),
        inputs,
        outputs,
    }
}

fn port(format: impl Into<String>) -> Port {
    Port {
        format: format.into(),
    }
}

fn segmentation_inputs(sam: &PromptableSegmentation) -> Vec<Port> {
    let picture = &sam.encoder.preprocessing;
    vec![
        port(format!(
            "RGB picture, fitted into {} × {} pixels for the tensor `{}`",
            picture.width, picture.height, sam.encoder.input
        )),
        port("points, inside or outside of the object, and a box, in pixels of the picture"),
    ]
}

fn segmentation_outputs(sam: &PromptableSegmentation) -> Vec<Port> {
    vec![
        port(format!(
            "masks: logits in the tensor `{}`, inside above {}",
            sam.decoder.masks, sam.decoder.mask_threshold
        )),
        port(format!(
            "predicted IoU of each mask in the tensor `{}`",
            sam.decoder.scores
        )),
    ]
}

/// The data statement: everything that tuned or judged this build is rendered from seeds.
fn datasets(recipe: &Recipe) -> Vec<Dataset> {
    let quantise = &recipe.quantise;
    let mut methods = quantise.graphs.values().chain([&quantise.method]);
    let calibrated = methods.any(|method| *method == Method::StaticInt8);
    let calibration = calibrated.then(|| {
        let found = &quantise.calibration;
        let amount = format!(
            "{} pictures with {} prompts each",
            found.pictures, found.prompts
        );
        rendered("calibration of activations", &amount, found.seed)
    });
    let search = quantise.sensitivity.as_ref().map(|search| {
        let amount = format!("{} pairs of picture and prompt", search.pairs);
        rendered("search for sensitive layers", &amount, search.seed)
    });
    let judged = &recipe.held_out;
    let pairs = format!("{} pairs of picture and prompt", judged.pairs);
    let golden = format!("{} pictures with one prompt each", judged.golden);
    let mut all: Vec<_> = calibration.into_iter().chain(search).collect();
    all.push(rendered("evaluation", &pairs, judged.seed));
    all.push(rendered(
        "golden inputs in the bundle",
        &golden,
        judged.seed,
    ));
    all
}

fn rendered(name: &str, amount: &str, seed: u64) -> Dataset {
    Dataset {
        kind: DatasetKind::Dataset,
        name: name.to_owned(),
        classification: "public".to_owned(),
        description: format!(
            "{amount}, rendered by espalier-forge from seed {seed} with exact masks; no photographs, no persons; \
             no scene is shared with another purpose"
        ),
    }
}

fn metrics(origin: &Origin<'_>) -> Vec<Metric> {
    let found = origin.evaluation;
    let metric = |kind: &str, value: &dyn ToString, slice: &str| Metric {
        kind: kind.to_owned(),
        value: value.to_string(),
        slice: slice.to_owned(),
    };
    let pairs = format!("{} held-out pairs; {}", found.pairs, found.held_out);
    let here = format!(
        "one whole inference on the forge's machine, {} thread(s)",
        found.threads
    );
    let full = format!("the full model: {here}");
    vec![
        metric("agreement_iou", &found.agreement_iou, &pairs),
        metric(
            "agreement_iou",
            &found.agreement_iou_click,
            "of these, one click",
        ),
        metric("agreement_iou", &found.agreement_iou_box, "of these, a box"),
        metric("latency_ms_p50", &found.latency_ms_p50, &here),
        metric("latency_ms_p95", &found.latency_ms_p95, &here),
        metric("latency_ms_p50", &found.full_latency_ms_p50, &full),
        metric(
            "peak_memory_bytes",
            &found.peak_memory_bytes,
            "a process that loads the build and runs it",
        ),
        metric("graph_bytes", &found.bytes, "the build's graphs"),
        metric("graph_bytes", &found.full_bytes, "the full model's graphs"),
    ]
}

fn considerations(manifest: &Manifest, origin: &Origin<'_>) -> Considerations {
    let found = origin.evaluation;
    let mut limits = vec![
        "Agreement is with the full model, not with the truth: the build repeats the full model's mistakes"
            .to_owned(),
        "Agreement was measured on rendered scenes; it may be lower on photographs".to_owned(),
        "Latency and memory are those of the forge's machine; devices report their own".to_owned(),
    ];
    limits.extend(found.notes.iter().cloned());
    Considerations {
        use_cases: vec![format!(
            "{} on devices of class {}",
            manifest.serving.task(),
            manifest.device_class
        )],
        technical_limitations: limits,
        performance_tradeoffs: vec![format!(
            "{} of the full model's {} bytes of graphs, at a mean agreement of {:.4}",
            found.bytes, found.full_bytes, found.agreement_iou
        )],
    }
}
