//! What makes a description unusable although it is one.

use std::collections::BTreeSet;

use super::{
    Decoder, FORMAT, GoldenTolerance, MANIFEST_FILE, MAX_FILE_BYTES, MAX_FILES, Manifest,
    ManifestError, ModelDescription, Preprocessing, PromptableSegmentation, SIGNATURE_FILE,
    Serving,
};
use crate::BundlePath;

/// The longest side of a picture's or mask's tensor; stops a few bytes that ask for gigabytes of memory.
const MAX_SIDE: u32 = 4096;

pub(super) fn manifest(manifest: &Manifest) -> Result<(), ManifestError> {
    format(manifest.format)?;
    serving(&manifest.serving)?;
    tolerance(manifest.golden_tolerance)?;
    files(manifest)?;
    if manifest.golden.is_empty() {
        return Err(ManifestError::NoGolden);
    }
    let golden = manifest
        .golden
        .iter()
        .flat_map(|g| [&g.input, &g.request, &g.own, &g.full]);
    let mut used = manifest.serving.graphs().into_iter().chain(golden);
    match used.find(|path| !manifest.files.contains_key(*path)) {
        Some(path) => Err(ManifestError::Unlisted(path.clone())),
        None => Ok(()),
    }
}

pub(super) fn description(description: &ModelDescription) -> Result<(), ManifestError> {
    format(description.format)?;
    serving(&description.serving)
}

fn format(format: u32) -> Result<(), ManifestError> {
    if format == FORMAT {
        Ok(())
    } else {
        Err(ManifestError::Format(format))
    }
}

fn files(manifest: &Manifest) -> Result<(), ManifestError> {
    if manifest.files.len() > MAX_FILES {
        return Err(ManifestError::TooManyFiles(manifest.files.len()));
    }
    let mut names = BTreeSet::from([MANIFEST_FILE.to_owned(), SIGNATURE_FILE.to_owned()]);
    for (path, file) in &manifest.files {
        if file.size > MAX_FILE_BYTES {
            return Err(ManifestError::FileTooLarge {
                path: path.clone(),
                size: file.size,
            });
        }
        if !names.insert(folded(path)) {
            return Err(ManifestError::Collision(path.clone()));
        }
    }
    let below_a_file = |path: &&BundlePath| {
        let name = folded(path);
        let mut folders = name.match_indices('/').map(|(end, _)| &name[..end]);
        folders.any(|folder| names.contains(folder))
    };
    match manifest.files.keys().find(below_a_file) {
        Some(path) => Err(ManifestError::Collision(path.clone())),
        None => Ok(()),
    }
}

/// Some file systems fold case: `A.onnx` and `a.onnx` would be one file there.
fn folded(path: &BundlePath) -> String {
    path.as_str().to_ascii_lowercase()
}

fn tolerance(tolerance: GoldenTolerance) -> Result<(), ManifestError> {
    if (0.0..=1.0).contains(&tolerance.min_iou) && (0.0..=f32::MAX).contains(&tolerance.max_abs) {
        Ok(())
    } else {
        Err(ManifestError::Impossible(
            "golden tolerance (an IoU of 0 to 1, and a finite difference)",
        ))
    }
}

fn serving(serving: &Serving) -> Result<(), ManifestError> {
    match serving {
        Serving::Tensor(_) => Ok(()),
        Serving::PromptableSegmentation(sam) => segmentation(sam),
    }
}

fn segmentation(sam: &PromptableSegmentation) -> Result<(), ManifestError> {
    preprocessing(&sam.encoder.preprocessing)?;
    decoder(&sam.decoder)?;
    if sam.encoder.outputs.is_empty() || sam.encoder.outputs.len() != sam.decoder.embeddings.len() {
        return Err(ManifestError::Impossible(
            "embedding (encoder outputs and decoder inputs differ)",
        ));
    }
    Ok(())
}

fn is_rectangle(height: u32, width: u32) -> bool {
    let side = 1..=MAX_SIDE;
    side.contains(&height) && side.contains(&width)
}

fn preprocessing(picture: &Preprocessing) -> Result<(), ManifestError> {
    if !is_rectangle(picture.height, picture.width) {
        return Err(ManifestError::Impossible(
            "input size (1 to 4096 pixels a side)",
        ));
    }
    let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
    if !finite(&picture.mean) || !finite(&picture.std) || !picture.scale.is_finite() {
        return Err(ManifestError::Impossible(
            "normalisation (a value is not a number)",
        ));
    }
    if picture.std.contains(&0.0) {
        return Err(ManifestError::Impossible(
            "normalisation (a standard deviation is zero)",
        ));
    }
    Ok(())
}

fn decoder(decoder: &Decoder) -> Result<(), ManifestError> {
    let mask = decoder.mask_input.as_ref();
    if mask.is_some_and(|mask| !is_rectangle(mask.height, mask.width)) {
        return Err(ManifestError::Impossible(
            "mask input's size (1 to 4096 pixels a side)",
        ));
    }
    if decoder.mask_threshold.is_finite() {
        Ok(())
    } else {
        Err(ManifestError::Impossible(
            "mask threshold (it is not a number)",
        ))
    }
}
