//! Where things lie, and what they are made of.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Defect, Kind, Part, SceneSpec, Style, shape};

/// A placed object, bottom first.
pub struct Item {
    pub kind: Kind,
    pub figure: Figure,
    /// Centre in pixels.
    pub centre: [f32; 2],
    /// Half the object's length in pixels.
    pub size: f32,
    /// Cosine and sine of its rotation.
    pub turn: [f32; 2],
    /// Base colour, 0..1.
    pub colour: [f32; 3],
    /// How strongly it shines, 0..1.
    pub gloss: f32,
    /// Seed of its surface.
    pub grain: u32,
    /// For a defect: the part that it lies on.
    pub host: Option<usize>,
}

/// Geometry of an object.
pub enum Figure {
    Part { part: Part, variant: f32 },
    Blob { lobes: f32, phase: f32 },
    Stroke { bend: f32, half: f32 },
}

impl Item {
    /// Signed distance in pixels of the pixel centre (x, y) to the object.
    pub fn distance(&self, x: f32, y: f32) -> f32 {
        let (dx, dy) = (
            (x - self.centre[0]) / self.size,
            (y - self.centre[1]) / self.size,
        );
        let [cos, sin] = self.turn;
        let (u, v) = (cos * dx + sin * dy, cos * dy - sin * dx);
        let unit = match self.figure {
            Figure::Part { part, variant } => shape::part(part, u, v, variant),
            Figure::Blob { lobes, phase } => shape::blob(u, v, lobes, phase),
            Figure::Stroke { bend, half } => shape::stroke(u, v, bend, half),
        };
        unit * self.size
    }

    /// A radius around the centre, in pixels, that holds all of the object.
    pub fn reach(&self) -> f32 {
        self.size * 1.35 + 2.0
    }
}

/// A scene before it is drawn.
pub struct Layout {
    pub items: Vec<Item>,
    /// Belt colour, 0..1.
    pub belt: [f32; 3],
    /// Period of the belt's ribs in pixels, and how deep they look.
    pub ribs: (f32, f32),
    /// Direction of the light.
    pub light: [f32; 2],
    /// Overall brightness.
    pub exposure: f32,
    /// Sensor noise, 0..1.
    pub noise: f32,
    pub seed: u32,
}

/// Places everything.
pub fn layout(spec: &SceneSpec) -> Layout {
    let mut rng = StdRng::seed_from_u64(spec.seed ^ 0x5ce9_e000 ^ ((spec.style as u64) << 40));
    let (belt, exposure) = match spec.style {
        Style::Light => (
            tint(&mut rng, 0.62..0.86, 0.06),
            rng.random_range(0.85..1.1),
        ),
        Style::Dark => (tint(&mut rng, 0.1..0.3, 0.05), rng.random_range(0.6..1.0)),
    };
    let angle: f32 = rng.random_range(0.0..std::f32::consts::TAU);
    let mut layout = Layout {
        items: Vec::new(),
        belt,
        ribs: (rng.random_range(9.0..40.0), rng.random_range(0.0..0.12)),
        light: [angle.cos(), angle.sin()],
        exposure,
        noise: rng.random_range(0.01..0.06),
        seed: rng.random(),
    };
    for _ in 0..rng.random_range(3..9) {
        place_part(spec, &mut rng, &mut layout.items);
    }
    for _ in 0..rng.random_range(0..4) {
        let clutter = clutter(spec, &mut rng);
        layout.items.push(clutter);
    }
    for host in 0..layout.items.len() {
        if matches!(layout.items[host].kind, Kind::Part(_)) && rng.random_bool(0.35) {
            let defect = defect(&layout.items[host], host, &mut rng);
            layout.items.push(defect);
        }
    }
    layout
}

const PARTS: [Part; 7] = [
    Part::Washer,
    Part::Nut,
    Part::Gear,
    Part::Bracket,
    Part::Plate,
    Part::Pin,
    Part::Disc,
];

/// Places a part where it hides little of the parts already there; gives up where there is no room.
fn place_part(spec: &SceneSpec, rng: &mut StdRng, items: &mut Vec<Item>) {
    let short_side = spec.width.min(spec.height) as f32;
    let part = PARTS[rng.random_range(0..PARTS.len())];
    for _ in 0..12 {
        let size = short_side * rng.random_range(0.07f32..0.26);
        let centre = anywhere(spec, rng);
        let free = items.iter().all(|other| {
            let gap = (centre[0] - other.centre[0]).hypot(centre[1] - other.centre[1]);
            gap > 0.8 * (size + other.size)
        });
        if free {
            items.push(Item {
                kind: Kind::Part(part),
                figure: Figure::Part {
                    part,
                    variant: rng.random(),
                },
                centre,
                size,
                turn: turn(rng),
                colour: metal(rng),
                gloss: rng.random_range(0.1..0.9),
                grain: rng.random(),
                host: None,
            });
            return;
        }
    }
}

fn clutter(spec: &SceneSpec, rng: &mut StdRng) -> Item {
    let short_side = spec.width.min(spec.height) as f32;
    let figure = if rng.random_bool(0.5) {
        Figure::Blob {
            lobes: rng.random_range(2..6) as f32,
            phase: rng.random_range(0.0..6.0),
        }
    } else {
        Figure::Stroke {
            bend: rng.random_range(-0.5..0.5),
            half: rng.random_range(0.05..0.14),
        }
    };
    Item {
        kind: Kind::Clutter,
        figure,
        centre: anywhere(spec, rng),
        size: short_side * rng.random_range(0.05..0.14),
        turn: turn(rng),
        colour: [
            rng.random_range(0.1..0.9),
            rng.random_range(0.1..0.9),
            rng.random_range(0.1..0.9),
        ],
        gloss: rng.random_range(0.0..0.3),
        grain: rng.random(),
        host: None,
    }
}

fn defect(part: &Item, host: usize, rng: &mut StdRng) -> Item {
    let (kind, figure, relative) = match rng.random_range(0..3) {
        0 => (
            Defect::Scratch,
            Figure::Stroke {
                bend: rng.random_range(-0.3..0.3),
                half: rng.random_range(0.06..0.12),
            },
            rng.random_range(0.25..0.5),
        ),
        1 => (
            Defect::Pit,
            Figure::Blob {
                lobes: 3.0,
                phase: rng.random_range(0.0..6.0),
            },
            rng.random_range(0.12..0.2),
        ),
        _ => (
            Defect::Stain,
            Figure::Blob {
                lobes: rng.random_range(2..5) as f32,
                phase: rng.random_range(0.0..6.0),
            },
            rng.random_range(0.2..0.4),
        ),
    };
    let (angle, away) = (
        rng.random_range(0.0..std::f32::consts::TAU),
        part.size * rng.random_range(0.2..0.7),
    );
    let shade = if part.colour[1] > 0.4 {
        rng.random_range(0.05..0.25)
    } else {
        rng.random_range(0.6..0.9)
    };
    Item {
        kind: Kind::Defect(kind),
        figure,
        centre: [
            part.centre[0] + away * angle.cos(),
            part.centre[1] + away * angle.sin(),
        ],
        size: part.size * relative,
        turn: turn(rng),
        colour: [
            shade * rng.random_range(0.8..1.2),
            shade,
            shade * rng.random_range(0.6..1.0),
        ],
        gloss: 0.0,
        grain: rng.random(),
        host: Some(host),
    }
}

fn anywhere(spec: &SceneSpec, rng: &mut StdRng) -> [f32; 2] {
    [
        rng.random_range(0.04..0.96) * spec.width as f32,
        rng.random_range(0.04..0.96) * spec.height as f32,
    ]
}

fn turn(rng: &mut StdRng) -> [f32; 2] {
    let angle: f32 = rng.random_range(0.0..std::f32::consts::TAU);
    [angle.cos(), angle.sin()]
}

/// A grey of the given brightness with a little colour.
fn tint(rng: &mut StdRng, brightness: std::ops::Range<f32>, colour: f32) -> [f32; 3] {
    let grey = rng.random_range(brightness);
    [0, 1, 2].map(|_| grey + rng.random_range(-colour..colour))
}

/// Steel, brass, copper, or a painted part.
fn metal(rng: &mut StdRng) -> [f32; 3] {
    match rng.random_range(0..5) {
        0 => [0.72, 0.58, 0.3].map(|c| c * rng.random_range(0.8..1.1)),
        1 => [0.68, 0.42, 0.3].map(|c| c * rng.random_range(0.8..1.1)),
        2 => [
            rng.random_range(0.1..0.9),
            rng.random_range(0.1..0.9),
            rng.random_range(0.1..0.9),
        ],
        _ => tint(rng, 0.3..0.75, 0.04),
    }
}
