//! Pictures with masks: an `index.jsonl` of any origin, or rendered scenes, as examples to learn or to measure from.

mod augment;
mod index;
mod region;

pub use augment::augment;
pub use index::{DataError, Row, Split, read_example, read_index};
pub use region::{coverage, deepest_point, regions};

use espalier_runtime::{Mask, Picture};

use crate::scenes::{SceneSpec, render};

/// A picture with the masks of its objects; all masks have the picture's size.
#[derive(Clone, Debug)]
pub struct Example {
    /// The picture.
    pub picture: Picture,
    /// Its objects.
    pub masks: Vec<Mask>,
}

impl Example {
    /// A rendered scene as an example.
    #[must_use]
    pub fn from_scene(spec: &SceneSpec) -> Self {
        let scene = render(spec);
        Self {
            picture: scene.picture,
            masks: scene
                .objects
                .into_iter()
                .map(|object| object.mask)
                .collect(),
        }
    }
}
