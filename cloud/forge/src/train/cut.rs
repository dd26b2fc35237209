//! Where masks are cut. The loss weighs a pixel that is missed against one that is invented otherwise than IoU does,
//! so the logit from which a pixel counts as inside is found afterwards, on pictures that were learnt from.

use std::path::Path;

use espalier_protocol::manifest::{MODEL_FILE, ModelDescription, Serving};

use super::corpus::Corpus;
use super::measure::{self, Figures, MeasureError};

/// Logits that are tried.
const CUTS: [f32; 6] = [-1.0, -0.75, -0.5, -0.25, 0.0, 0.25];
/// Pictures of the corpus that judge; it is shuffled, so that they are of every set.
const PICTURES: usize = 160;

/// The masks could not be cut anew.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// The model could not be measured.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// Its description could not be read or written.
    #[error("could not write the description: {0}")]
    Disk(#[from] std::io::Error),
    /// Its description is none.
    #[error("could not read the description: {0}")]
    Json(#[from] serde_json::Error),
}

/// Finds the cut with the best agreement, over boxes and clicks alike, writes it into the description of the model in
/// `folder`, and gives it.
///
/// # Errors
/// [`CutError`].
pub fn find(folder: &Path, corpus: &Corpus) -> Result<f32, CutError> {
    let mut best = (0.0, f64::MIN);
    for cut in CUTS {
        write(folder, cut)?;
        let Figures { boxed, clicked, .. } = measure::on_corpus(folder, corpus, PICTURES)?;
        if boxed + clicked > best.1 {
            best = (cut, boxed + clicked);
        }
    }
    write(folder, best.0)?;
    Ok(best.0)
}

fn write(folder: &Path, cut: f32) -> Result<(), CutError> {
    let path = folder.join(MODEL_FILE);
    let mut description: ModelDescription = serde_json::from_slice(&std::fs::read(&path)?)?;
    if let Serving::PromptableSegmentation(task) = &mut description.serving {
        task.decoder.mask_threshold = cut;
    }
    std::fs::write(path, serde_json::to_string_pretty(&description)? + "\n")?;
    Ok(())
}
