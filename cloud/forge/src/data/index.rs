//! `index.jsonl`: one row a picture.

use std::path::{Path, PathBuf};

use espalier_runtime::{Picture, PictureError};
use serde::{Deserialize, Serialize};

use super::{Example, regions};

/// A row of an index.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Where the picture comes from.
    pub set: String,
    /// Its name there.
    pub id: String,
    /// Width in pixels.
    pub w: u32,
    /// Height in pixels.
    pub h: u32,
    /// The picture's file, relative to the index.
    pub image: PathBuf,
    /// Label maps (PNG; 0 is nothing, every other value a region), relative to the index.
    pub masks: Vec<PathBuf>,
    /// What the row may be used for.
    pub split: Split,
    /// What the regions are: `instances`, `panoptic`, `classmap`, `defect:…`, `none`.
    pub kind: String,
    /// Whether weights that are given to others may be trained on it.
    pub may_train_shipped_weights: bool,
}

/// What a row may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Training.
    Train,
    /// Measuring only.
    Val,
}

/// Why data could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file could not be read.
    #[error("could not read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A line of an index is not a row.
    #[error("{path}, line {line}: {source}")]
    Row {
        /// The index.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A picture cannot be decoded.
    #[error("the picture {path} cannot be used: {source}")]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PictureError,
    },
    /// A label map cannot be decoded.
    #[error("the label map {path} cannot be used: {source}")]
    Labels {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: image::ImageError,
    },
    /// A label map is not of its picture's size.
    #[error("the label map {path} is {labels:?}, its picture is {picture:?}")]
    Mislabelled {
        /// The label map.
        path: PathBuf,
        /// Its size.
        labels: (u32, u32),
        /// The picture's size.
        picture: (u32, u32),
    },
}

/// Reads an index.
///
/// # Errors
/// [`DataError::File`] and [`DataError::Row`].
pub fn read_index(path: &Path) -> Result<Vec<Row>, DataError> {
    let text = std::fs::read_to_string(path).map_err(|source| DataError::File {
        path: path.to_owned(),
        source,
    })?;
    let rows = (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty());
    rows.map(|(line, text)| {
        serde_json::from_str(text).map_err(|source| DataError::Row {
            path: path.to_owned(),
            line,
            source,
        })
    })
    .collect()
}

/// Reads the picture and the regions of a row; `folder` is the index's own.
///
/// # Errors
/// [`DataError`] when a file is missing, unreadable, or of the wrong size.
pub fn read_example(folder: &Path, row: &Row) -> Result<Example, DataError> {
    let path = folder.join(&row.image);
    let bytes = std::fs::read(&path).map_err(|source| DataError::File {
        path: path.clone(),
        source,
    })?;
    let picture = Picture::decode(&bytes).map_err(|source| DataError::Picture { path, source })?;
    let mut masks = Vec::new();
    for relative in &row.masks {
        let path = folder.join(relative);
        let labels = image::open(&path)
            .map_err(|source| DataError::Labels {
                path: path.clone(),
                source,
            })?
            .into_luma8();
        let (found, needed) = (labels.dimensions(), (picture.width(), picture.height()));
        if found != needed {
            return Err(DataError::Mislabelled {
                path,
                labels: found,
                picture: needed,
            });
        }
        masks.extend(regions(&labels));
    }
    Ok(Example { picture, masks })
}
