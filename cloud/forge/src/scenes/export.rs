//! Scenes on disk: PNG pictures, PNG label maps and an `index.jsonl`.

use std::io::Write;
use std::path::{Path, PathBuf};

use image::{GrayImage, Luma};

use super::{Kind, Scene, SceneSpec, alternating_style, render};
use crate::data::{Row, Split};

/// Why scenes could not be written.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A file could not be written.
    #[error("could not write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A picture could not be encoded.
    #[error("could not write the picture {path}: {source}")]
    Picture {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        source: image::ImageError,
    },
}

/// Renders `count` scenes from consecutive seeds into `folder`, calling `done` after each, and writes `index.jsonl`
/// in the form that training and evaluation read. Each row has two label maps: parts with clutter, and defects.
///
/// # Errors
/// [`IndexError`] when the folder cannot be written.
pub fn write_index(
    folder: &Path,
    first_seed: u64,
    count: u64,
    size: (u32, u32),
    mut done: impl FnMut(),
) -> Result<(), IndexError> {
    for sub in ["images", "masks"] {
        let path = folder.join(sub);
        std::fs::create_dir_all(&path).map_err(|source| IndexError::File { path, source })?;
    }
    let mut lines = Vec::new();
    for seed in first_seed..first_seed.saturating_add(count) {
        let spec = SceneSpec {
            seed,
            style: alternating_style(seed),
            width: size.0,
            height: size.1,
        };
        let row = write_scene(folder, seed, &render(&spec))?;
        lines.push(serde_json::to_string(&row).unwrap_or_default());
        done();
    }
    let path = folder.join("index.jsonl");
    let mut file = std::fs::File::create(&path).map_err(|source| IndexError::File {
        path: path.clone(),
        source,
    })?;
    file.write_all((lines.join("\n") + "\n").as_bytes())
        .map_err(|source| IndexError::File { path, source })
}

fn write_scene(folder: &Path, seed: u64, scene: &Scene) -> Result<Row, IndexError> {
    let save = |relative: &Path, save: &dyn Fn(&Path) -> image::ImageResult<()>| {
        let path = folder.join(relative);
        save(&path).map_err(|source| IndexError::Picture { path, source })
    };
    let image = PathBuf::from(format!("images/{seed}.png"));
    save(&image, &|path| {
        let picture = &scene.picture;
        image::save_buffer(
            path,
            picture.rgb(),
            picture.width(),
            picture.height(),
            image::ColorType::Rgb8,
        )
    })?;
    let mut masks = Vec::new();
    for (layer, defects) in [("objects", false), ("defects", true)] {
        let mask = PathBuf::from(format!("masks/{seed}-{layer}.png"));
        save(&mask, &|path| labels(scene, defects).save(path))?;
        masks.push(mask);
    }
    Ok(Row {
        set: "scenes".into(),
        id: seed.to_string(),
        w: scene.picture.width(),
        h: scene.picture.height(),
        image,
        masks,
        split: Split::Val,
        kind: "instances".into(),
        may_train_shipped_weights: true,
    })
}

fn labels(scene: &Scene, defects: bool) -> GrayImage {
    let mut labels = GrayImage::new(scene.picture.width(), scene.picture.height());
    let chosen = scene
        .objects
        .iter()
        .filter(|object| matches!(object.kind, Kind::Defect(_)) == defects);
    for (label, object) in (1u8..=255).zip(chosen) {
        for (pixel, &inside) in labels.pixels_mut().zip(object.mask.pixels()) {
            if inside {
                *pixel = Luma([label]);
            }
        }
    }
    labels
}
