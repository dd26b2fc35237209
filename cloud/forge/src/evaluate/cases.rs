//! Pictures and prompts that nobody trained on: rendered scenes by purpose and seed.

use espalier_protocol::manifest::{PointLabel, PointPrompt, Prompt};
use espalier_runtime::{Mask, Picture};

use crate::data::deepest_point;
use crate::scenes::{self, Scene, SceneSpec};

/// Size of the rendered pictures in pixels.
const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
/// Objects smaller than this are not asked about: their masks are a matter of taste, not of quality.
const LEAST_AREA: u64 = 300;
/// Objects asked about in one picture; each gives one click and one box.
const OBJECTS: usize = 2;

/// What pictures are for. Scenes of different purposes never share a seed, whatever the recipe says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Finding the ranges of activations.
    Calibration,
    /// Searching for sensitive layers.
    Tuning,
    /// Judging the build.
    HeldOut,
    /// Golden inputs of the bundle.
    Golden,
}

impl Purpose {
    /// The first seed for a recipe's seed. Training counts its scenes from 0 and stays far below.
    fn first_seed(self, seed: u64) -> u64 {
        let purpose = match self {
            Self::Calibration => 1,
            Self::Tuning => 2,
            Self::HeldOut => 3,
            Self::Golden => 4,
        };
        (purpose << 60) | ((seed & 0xffff) << 42)
    }
}

/// How a prompt points at its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// One click, deepest inside the object.
    Click,
    /// The tight box.
    Box,
}

/// One question about a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// How it asks.
    pub asking: Asking,
    /// The prompt.
    pub prompt: Prompt,
}

/// A picture with questions about it.
#[derive(Debug)]
pub struct Case {
    /// The picture.
    pub picture: Picture,
    /// The questions, clicks and boxes in equal number.
    pub questions: Vec<Question>,
}

/// Cases for a purpose, without end.
pub fn cases(purpose: Purpose, seed: u64) -> impl Iterator<Item = Case> {
    let first = purpose.first_seed(seed);
    (0..).filter_map(move |number| case(first + number, number))
}

/// At least `pairs` pairs of picture and question, half of them clicks.
#[must_use]
pub fn pairs(purpose: Purpose, seed: u64, pairs: usize) -> Vec<Case> {
    let mut left = pairs;
    cases(purpose, seed)
        .take_while(|case| {
            let wanted = left > 0;
            left = left.saturating_sub(case.questions.len());
            wanted
        })
        .collect()
}

fn case(seed: u64, number: u64) -> Option<Case> {
    let style = scenes::alternating_style(number);
    let scene = scenes::render(&SceneSpec {
        seed,
        style,
        width: WIDTH,
        height: HEIGHT,
    });
    let questions: Vec<Question> = asked_about(&scene)
        .filter_map(questions)
        .flatten()
        .collect();
    (!questions.is_empty()).then_some(Case {
        picture: scene.picture,
        questions,
    })
}

fn asked_about(scene: &Scene) -> impl Iterator<Item = &Mask> {
    scene
        .objects
        .iter()
        .map(|object| &object.mask)
        .filter(|mask| mask.area() >= LEAST_AREA)
        .take(OBJECTS)
}

fn questions(mask: &Mask) -> Option<[Question; 2]> {
    let ([x, y], _) = deepest_point(mask)?;
    let click = PointPrompt {
        x,
        y,
        label: PointLabel::Foreground,
    };
    // Pixel coordinates of a picture of a few hundred pixels are exact in f32.
    let bounds = mask.bounds()?.map(|edge| edge as f32);
    Some([
        Question {
            asking: Asking::Click,
            prompt: Prompt {
                points: vec![click],
                bounds: None,
            },
        },
        Question {
            asking: Asking::Box,
            prompt: Prompt {
                points: Vec::new(),
                bounds: Some(bounds),
            },
        },
    ])
}
