//! Prompts: checked against the picture, and written in Segment Anything's convention.

use espalier_protocol::manifest::{Decoder, PointLabel, Prompt};

use crate::graph::{Axis, Graph};
use crate::preprocess::Placing;
use crate::tensor::{Elements, Tensor};

/// The most points of one prompt; stops prompts that cost more than the picture.
pub const MAX_POINTS: usize = 64;

const BACKGROUND: f32 = 0.0;
const FOREGROUND: f32 = 1.0;
const BOX_FIRST_CORNER: f32 = 2.0;
const BOX_SECOND_CORNER: f32 = 3.0;
const PADDING: f32 = -1.0;

/// Why a prompt cannot be answered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PromptError {
    /// Neither points nor a box.
    #[error("the prompt is empty: give at least one point or a box")]
    Empty,
    /// More than can be answered.
    #[error("the prompt has {given} points: at most {most} are allowed")]
    TooManyPoints {
        /// Points in the prompt.
        given: usize,
        /// What this model, or [`MAX_POINTS`], allows.
        most: usize,
    },
    /// A coordinate is infinite or not a number.
    #[error("the prompt has a coordinate that is not a finite number")]
    NotFinite,
    /// A point or corner is not in the picture.
    #[error(
        "({x}, {y}) is outside of the picture, which has {width} × {height} pixels: coordinates are pixels of the picture as it is shown, upright"
    )]
    Outside {
        /// Pixels from the left.
        x: f32,
        /// Pixels from the top.
        y: f32,
        /// The picture's width.
        width: u32,
        /// The picture's height.
        height: u32,
    },
    /// The box has no inside.
    #[error("the box {0:?} is empty: give [x0, y0, x1, y1] with x0 < x1 and y0 < y1")]
    EmptyBox([f32; 4]),
}

/// Checks that a prompt can be asked about a picture of this size.
pub(super) fn check(prompt: &Prompt, width: u32, height: u32) -> Result<(), PromptError> {
    if prompt.points.is_empty() && prompt.bounds.is_none() {
        return Err(PromptError::Empty);
    }
    if prompt.points.len() > MAX_POINTS {
        return Err(PromptError::TooManyPoints {
            given: prompt.points.len(),
            most: MAX_POINTS,
        });
    }
    let corners = prompt
        .bounds
        .iter()
        .flat_map(|[x0, y0, x1, y1]| [(*x0, *y0), (*x1, *y1)]);
    let points = prompt.points.iter().map(|point| (point.x, point.y));
    for (x, y) in points.chain(corners) {
        if !x.is_finite() || !y.is_finite() {
            return Err(PromptError::NotFinite);
        }
        // The far edges count as inside: a box around everything ends there.
        if !(0.0..=width as f32).contains(&x) || !(0.0..=height as f32).contains(&y) {
            return Err(PromptError::Outside {
                x,
                y,
                width,
                height,
            });
        }
    }
    match prompt.bounds {
        Some(bounds @ [x0, y0, x1, y1]) if x0 >= x1 || y0 >= y1 => {
            Err(PromptError::EmptyBox(bounds))
        }
        _ => Ok(()),
    }
}

/// The decoder's coordinates `[1, N, 2]` and labels `[1, N]` for a prompt that was checked.
pub(super) fn tensors(
    prompt: &Prompt,
    placing: Placing,
    description: &Decoder,
    graph: &Graph,
) -> Result<(Tensor, Tensor), PromptError> {
    let mut marks: Vec<([f32; 2], f32)> = prompt
        .points
        .iter()
        .map(|point| ([point.x, point.y], label(point.label)))
        .chain(prompt.bounds.iter().flat_map(|[x0, y0, x1, y1]| {
            [
                ([*x0, *y0], BOX_FIRST_CORNER),
                ([*x1, *y1], BOX_SECOND_CORNER),
            ]
        }))
        .map(|([x, y], label)| ([x * placing.scale_x, y * placing.scale_y], label))
        .collect();
    if description.pad_point && prompt.bounds.is_none() {
        marks.push(([0.0, 0.0], PADDING));
    }
    if let Some(fixed) = fixed_count(description, graph) {
        if marks.len() > fixed {
            return Err(PromptError::TooManyPoints {
                given: marks.len(),
                most: fixed,
            });
        }
        marks.resize(fixed, ([0.0, 0.0], PADDING));
    }
    let coordinates = marks.iter().flat_map(|(point, _)| *point).collect();
    let labels = marks.iter().map(|(_, label)| *label).collect();
    Ok((
        Tensor::filled(vec![1, marks.len(), 2], Elements::F32(coordinates)),
        Tensor::filled(vec![1, marks.len()], Elements::F32(labels)),
    ))
}

fn label(label: PointLabel) -> f32 {
    match label {
        PointLabel::Foreground => FOREGROUND,
        PointLabel::Background => BACKGROUND,
    }
}

/// How many points the graph takes, if it takes only ever so many.
fn fixed_count(description: &Decoder, graph: &Graph) -> Option<usize> {
    let port = graph.input(&description.point_coords).ok()?;
    match port.axes.as_ref()?.get(1)? {
        Axis::Fixed(count) => Some(*count),
        Axis::Free => None,
    }
}
