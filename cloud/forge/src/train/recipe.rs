//! A training recipe: what is learnt, from what, for how long. Unknown keys are refused.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::frame::Frame;

/// A training recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainRecipe {
    /// Name of the model.
    pub name: String,
    /// Everything random comes from this number.
    pub seed: u64,
    /// Side of the square input in pixels.
    pub input: usize,
    /// Whether the weights are given to others: then only rows that allow it are used.
    pub shipped: bool,
    /// What is learnt from.
    pub sets: Vec<SetRecipe>,
    /// The first stage: the backbone is frozen.
    pub head: StageRecipe,
    /// The second stage: everything learns.
    pub tune: StageRecipe,
}

/// A set of pictures.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetRecipe {
    /// The rows of the index with this name belong to it.
    pub name: String,
    /// How many variations of each row are made.
    #[serde(default)]
    pub variants: usize,
    /// How many rendered scenes belong to it.
    #[serde(default)]
    pub scenes: u64,
    /// How often it is drawn, relative to the other sets.
    pub share: f64,
}

/// One stage of training.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRecipe {
    /// Updates of the weights.
    pub steps: usize,
    /// Pictures in each step.
    pub pictures: usize,
    /// Prompts for each picture.
    pub prompts: usize,
    /// The highest learning rate; it rises from zero and falls to zero along a cosine.
    pub learning_rate: f64,
    /// Steps of the rise.
    pub warm_up: usize,
}

/// Why a recipe was refused.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file could not be read.
    #[error("could not read the recipe {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not a recipe.
    #[error("the recipe {path} is refused: {source}")]
    Syntax {
        /// The file.
        path: String,
        /// What is wrong, with its line.
        source: Box<toml::de::Error>,
    },
    /// A value makes no sense.
    #[error("the recipe is refused: {0}")]
    Value(String),
}

impl TrainRecipe {
    /// Reads a recipe file.
    ///
    /// # Errors
    /// [`RecipeError`] when the file cannot be read or its content makes no sense.
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| RecipeError::File {
            path: name.clone(),
            source,
        })?;
        let recipe: Self = toml::from_str(&text).map_err(|source| RecipeError::Syntax {
            path: name,
            source: Box::new(source),
        })?;
        recipe.check()?;
        Ok(recipe)
    }

    /// The input square.
    ///
    /// # Errors
    /// [`RecipeError::Value`] when its side is not possible.
    pub fn frame(&self) -> Result<Frame, RecipeError> {
        Frame::new(self.input).ok_or_else(|| {
            RecipeError::Value(format!(
                "input = {} is no multiple of 32 from 64 to 2048",
                self.input
            ))
        })
    }

    fn check(&self) -> Result<(), RecipeError> {
        self.frame()?;
        let refuse = |what: &str| Err(RecipeError::Value(what.to_owned()));
        if self.sets.is_empty() || self.sets.len() > 255 {
            return refuse("it needs 1 to 255 sets");
        }
        if self
            .sets
            .iter()
            .any(|set| !(set.share.is_finite() && set.share > 0.0))
        {
            return refuse("every share must be above 0");
        }
        for stage in [&self.head, &self.tune] {
            if stage.pictures == 0 || stage.prompts == 0 {
                return refuse("a step needs at least one picture and one prompt");
            }
            if !(stage.learning_rate.is_finite() && stage.learning_rate > 0.0) {
                return refuse("every learning rate must be above 0");
            }
        }
        Ok(())
    }
}
