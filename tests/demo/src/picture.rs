//! The picture that the fleet segments, where to click on it, and how good the mask is.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use espalier_runtime::{Mask, Picture};
use espalier_support::scenes;
use serde_json::{Value, json};

/// The demo's scenes are never those of training, calibration or evaluation.
const SEED: u64 = 90_210;

/// A picture with a click.
pub struct Subject {
    /// The file.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Pixels from the upper left corner.
    pub click: (u32, u32),
    /// The object's exact mask, for a rendered picture.
    pub truth: Option<Mask>,
}

impl Subject {
    /// A rendered scene with a click on its largest object.
    ///
    /// # Errors
    /// When the forge renders none.
    pub async fn rendered(folder: &Path) -> Result<Self> {
        let scenes = scenes::render(folder, 1, SEED).await?;
        let scene = scenes
            .into_iter()
            .next()
            .context("the forge rendered no scene")?;
        let truth = scene.largest_object()?;
        let click = scenes::inner_point(&truth).context("an object without an inside")?;
        let bytes = std::fs::read(&scene.image)?;
        Ok(Self {
            path: scene.image,
            bytes,
            click,
            truth: Some(truth),
        })
    }

    /// A person's own picture with a click on its middle.
    ///
    /// # Errors
    /// When it is no picture.
    pub fn own(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let picture =
            Picture::decode(&bytes).with_context(|| format!("cannot use {}", path.display()))?;
        let click = (picture.width() / 2, picture.height() / 2);
        Ok(Self {
            path: path.to_owned(),
            bytes,
            click,
            truth: None,
        })
    }

    /// The prompt as the serving doors take it.
    #[must_use]
    pub fn prompt(&self) -> Value {
        json!({"points": [{"x": self.click.0, "y": self.click.1}]})
    }

    /// IoU of an answer's best mask with the truth.
    ///
    /// # Errors
    /// When the answer has no mask.
    pub fn iou(&self, answer: &Value) -> Result<Option<f64>> {
        let rle = serde_json::from_value(answer["masks"][0]["rle"].clone())
            .context("an answer without a mask")?;
        let mask = Mask::from_rle(&rle)?;
        Ok(self.truth.as_ref().and_then(|truth| truth.iou(&mask)))
    }
}
