//! Rendered scenes with exact masks: parts on a conveyor belt, some with defects, some clutter, lit well or badly.
//!
//! A scene is a pure function of its [`SceneSpec`], so that the demo, the tests, calibration and training get
//! pictures with exact truth and no download. Shapes are signed distance functions; a pixel belongs to the topmost
//! object whose distance is negative at the pixel's centre.

mod draw;
mod export;
mod noise;
mod place;
mod shape;

pub use export::{IndexError, write_index};

use espalier_runtime::{Mask, Picture};

/// Which scene to render.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SceneSpec {
    /// Everything random comes from this number.
    pub seed: u64,
    /// Light and belt.
    pub style: Style,
    /// Width in pixels, at least 64.
    pub width: u32,
    /// Height in pixels, at least 64.
    pub height: u32,
}

/// Light and belt of a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// A pale belt in daylight.
    Light,
    /// A dark rubber belt under a lamp.
    Dark,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Something that belongs on the belt.
    Part(Part),
    /// Damage on a part; its pixels belong to the part as well.
    Defect(Defect),
    /// Something that does not belong there.
    Clutter,
}

/// The parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say what they are")]
pub enum Part {
    Washer,
    Nut,
    Gear,
    Bracket,
    Plate,
    Pin,
    Disc,
}

/// The defects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say what they are")]
pub enum Defect {
    Scratch,
    Pit,
    Stain,
}

impl Kind {
    /// The name that an index file holds.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Part(Part::Washer) => "washer",
            Self::Part(Part::Nut) => "nut",
            Self::Part(Part::Gear) => "gear",
            Self::Part(Part::Bracket) => "bracket",
            Self::Part(Part::Plate) => "plate",
            Self::Part(Part::Pin) => "pin",
            Self::Part(Part::Disc) => "disc",
            Self::Defect(Defect::Scratch) => "scratch",
            Self::Defect(Defect::Pit) => "pit",
            Self::Defect(Defect::Stain) => "stain",
            Self::Clutter => "clutter",
        }
    }
}

/// An object of a scene.
#[derive(Clone, Debug)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its visible pixels.
    pub mask: Mask,
}

/// A rendered scene.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The picture.
    pub picture: Picture,
    /// Its visible objects; parts and clutter are disjoint, defects lie inside parts.
    pub objects: Vec<Object>,
}

/// The shortest and the longest side of a scene in pixels.
const SIDES: (u32, u32) = (64, 4096);

/// Renders a scene; sides outside 64 ..= 4096 are brought to the nearer of the two.
#[must_use]
pub fn render(spec: &SceneSpec) -> Scene {
    let within = |side: u32| side.clamp(SIDES.0, SIDES.1);
    let spec = SceneSpec {
        width: within(spec.width),
        height: within(spec.height),
        ..*spec
    };
    draw::draw(&spec, &place::layout(&spec))
}

/// The style of a numbered scene: both take turns.
#[must_use]
pub fn alternating_style(number: u64) -> Style {
    if number.is_multiple_of(2) {
        Style::Light
    } else {
        Style::Dark
    }
}
