//! The trainer: what it writes down is what learnt, and a kill loses nothing.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use espalier_forge::train::carry_out::{CarryOut, Leaves};
use espalier_forge::train::corpus::Corpus;
use espalier_forge::train::frame::Frame;
use espalier_forge::train::learn::{Stage, Whole};
use espalier_forge::train::network::{Network, Prompt};
use espalier_forge::train::recipe::{SetRecipe, StageRecipe};
use espalier_forge::train::weights::{self, Arrays};
use espalier_forge::train::{cut, export, measure};
use espalier_runtime::{Graph, GraphOptions, Tensor as Input};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const SIDE: usize = 64;
const MASK: usize = SIDE / 2;

/// A prompt as anyone gives it: points with labels, and perhaps a previous mask.
struct Given {
    points: Vec<[f32; 2]>,
    labels: Vec<f32>,
    mask: Option<f32>,
}

#[test]
fn exported_graphs_answer_as_the_network_that_learnt() {
    if let Err(error) = espalier_runtime::engine::find_library() {
        eprintln!("skipped: {error}");
        return;
    }
    let frame = Frame::new(SIDE).unwrap();
    let network = Network::new(frame);
    let weights = weights::begin(network.layers(), 3);
    let folder = tempfile::tempdir().unwrap();
    export::write(folder.path(), "tiny", &network, &weights, frame).unwrap();
    let mut rng = StdRng::seed_from_u64(5);
    let image: Vec<f32> = (0..3 * SIDE * SIDE)
        .map(|_| rng.random_range(-2.0..2.0))
        .collect();

    let click = Given {
        points: vec![[20.0, 30.0]],
        labels: vec![1.0],
        mask: None,
    };
    // The second box reaches beyond the picture, and so does its window.
    let corners = vec![[12.0, 18.0], [33.5, 50.0]];
    let small = Given {
        points: corners.clone(),
        labels: vec![2.0, 3.0],
        mask: None,
    };
    let edge = Given {
        points: vec![[50.0, -4.0], [70.0, 9.0]],
        labels: vec![2.0, 3.0],
        mask: None,
    };
    let refined = Given {
        points: [corners, vec![[30.0, 40.0]]].concat(),
        labels: vec![2.0, 3.0, 0.0],
        mask: Some(6.0),
    };
    for (what, given) in [
        ("click", click),
        ("box", small),
        ("edge", edge),
        ("refined", refined),
    ] {
        let learnt = in_burn(&network, &weights, &image, &given);
        let written = in_onnx(folder.path(), &image, &given);
        let apart = learnt.iter().zip(&written).map(|(a, b)| (a - b).abs());
        let furthest = apart.fold(0.0f32, f32::max);
        assert!(furthest < 2e-3, "{what}: logits differ by {furthest}");
        let spread = learnt
            .iter()
            .fold(0.0f32, |most, value| most.max((value - learnt[0]).abs()));
        assert!(
            spread > 0.1,
            "{what}: all logits are alike, so nothing was compared"
        );
    }
}

fn in_burn(network: &Network, weights: &Arrays, image: &[f32], given: &Given) -> Vec<f32> {
    let device = Device::flex().autodiff();
    let leaves = Leaves::new(weights, &Arrays::new(), &device);
    let mut algebra = CarryOut::new(&device, &leaves, 1);
    let tensor = |values: Vec<f32>, shape: [usize; 4]| {
        Tensor::<4>::from_data(TensorData::new(values, shape), &device)
    };
    let points = given.points.len();
    let along = |axis: usize| given.points.iter().map(|point| point[axis]).collect();
    let prompt = Prompt {
        x: tensor(along(0), [1, points, 1, 1]),
        y: tensor(along(1), [1, points, 1, 1]),
        label: tensor(given.labels.clone(), [1, points, 1, 1]),
        mask: tensor(previous(given), [1, 1, MASK, MASK]),
        has_mask: tensor(
            vec![f32::from(u8::from(given.mask.is_some()))],
            [1, 1, 1, 1],
        ),
    };
    let image = tensor(image.to_vec(), [1, 3, SIDE, SIDE]);
    let taps = network.backbone.forward(&mut algebra, &image);
    let embedding = network.neck.forward(&mut algebra, &taps);
    let answer = network.decoder.forward(&mut algebra, &embedding, &prompt);
    answer.masks.into_data().try_to_vec().unwrap()
}

fn in_onnx(folder: &Path, image: &[f32], given: &Given) -> Vec<f32> {
    let load = |name: &str| Graph::load(&folder.join(name), &GraphOptions::default()).unwrap();
    let tensor = |shape: &[usize], values: Vec<f32>| Input::f32(shape.to_vec(), values).unwrap();
    let image = tensor(&[1, 3, SIDE, SIDE], image.to_vec());
    let embedding = load("encoder.onnx").run(&[("image", &image)]).unwrap();
    let points = given.points.len();
    let coordinates = tensor(&[1, points, 2], given.points.concat());
    let labels = tensor(&[1, points], given.labels.clone());
    let mask = tensor(&[1, 1, MASK, MASK], previous(given));
    let has_mask = tensor(&[1], vec![f32::from(u8::from(given.mask.is_some()))]);
    let mut inputs: Vec<(&str, &Input)> = embedding
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    inputs.extend([
        ("point_coords", &coordinates),
        ("point_labels", &labels),
        ("mask_input", &mask),
        ("has_mask_input", &has_mask),
    ]);
    let outputs = load("decoder.onnx").run(&inputs).unwrap();
    let masks = outputs.iter().find(|(name, _)| name == "masks").unwrap();
    masks.1.as_f32().unwrap().to_vec()
}

/// A previous mask that covers the upper half; zeros where none is given.
fn previous(given: &Given) -> Vec<f32> {
    let logit = given.mask.unwrap_or_default();
    (0..MASK * MASK)
        .map(|at| if at < MASK * MASK / 2 { logit } else { -logit })
        .collect()
}

#[test]
fn masks_are_cut_where_they_agree_best_with_what_was_learnt() {
    if let Err(error) = espalier_runtime::engine::find_library() {
        eprintln!("skipped: {error}");
        return;
    }
    let frame = Frame::new(SIDE).unwrap();
    let network = Network::new(frame);
    let weights = weights::begin(network.layers(), 3);
    let folder = tempfile::tempdir().unwrap();
    export::write(folder.path(), "tiny", &network, &weights, frame).unwrap();
    let sets = [SetRecipe {
        name: "scenes".to_owned(),
        variants: 0,
        scenes: 3,
        share: 1.0,
    }];
    let corpus = Corpus::plan(None, &sets, frame, true, 1).unwrap();
    let agreement = || {
        let figures = measure::on_corpus(folder.path(), &corpus, 3).unwrap();
        figures.boxed + figures.clicked
    };
    let before = agreement();
    let found = cut::find(folder.path(), &corpus).unwrap();
    assert_ne!(found, 0.0, "weights that learnt nothing are not centred");
    assert!(agreement() > before);
}

#[test]
fn a_killed_run_goes_on_to_the_very_same_weights() {
    let frame = Frame::new(SIDE).unwrap();
    let network = Network::new(frame);
    let sets = [SetRecipe {
        name: "scenes".to_owned(),
        variants: 0,
        scenes: 3,
        share: 1.0,
    }];
    let corpus = Corpus::plan(None, &sets, frame, true, 1).unwrap();
    let recipe = StageRecipe {
        steps: 53,
        pictures: 1,
        prompts: 1,
        learning_rate: 1e-3,
        warm_up: 5,
    };
    let teacher = Whole {
        corpus: &corpus,
        frame,
        stage: recipe,
        seed: 1,
    };
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let run = |checkpoint: &Path, watch: &mut dyn FnMut(usize)| {
        let stage = Stage {
            network: &network,
            frame,
            recipe,
            frozen: &Arrays::new(),
            checkpoint,
        };
        let begin = weights::begin(network.layers(), 1);
        let device = Device::flex().autodiff();
        stage
            .run(begin, &teacher, &device, |progress| watch(progress.step))
            .unwrap()
    };
    // What a kill after step 52 leaves behind.
    let keep = |step: usize| {
        if step == 52 {
            std::fs::copy(&whole, &killed).unwrap();
        }
    };
    let finished = run(&whole, &mut { keep });
    let mut steps = Vec::new();
    let resumed = run(&killed, &mut |step| steps.push(step));
    assert_eq!(steps, [51, 52, 53]);
    assert!(resumed == finished, "the resumed run has other weights");
}
