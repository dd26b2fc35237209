//! What a run needs to go on after it was killed, in one file of the safetensors format.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::optimiser::Learner;
use super::weights::{Array, Arrays};

/// Why a checkpoint could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file.
    #[error("the checkpoint {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is damaged or of another run.
    #[error("the checkpoint {path} cannot be resumed: {problem}; delete it to start again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// Where a tensor lies in the file, as safetensors has it.
#[derive(Serialize, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(rename = "__metadata__")]
    metadata: BTreeMap<String, String>,
    #[serde(flatten)]
    entries: BTreeMap<String, Entry>,
}

const PARTS: [&str; 4] = ["weights", "mean", "first", "second"];

/// Saves beside `path` and renames into place: a kill leaves the old checkpoint or the new one.
///
/// # Errors
/// [`CheckpointError::File`] when the disk is full or the folder is not writable.
pub fn save(learner: &Learner, path: &Path) -> Result<(), CheckpointError> {
    let failed = |source| CheckpointError::File {
        path: path.to_owned(),
        source,
    };
    let mut header = Header {
        metadata: BTreeMap::new(),
        entries: BTreeMap::new(),
    };
    header
        .metadata
        .insert("step".to_owned(), learner.step.to_string());
    let mut data: Vec<u8> = Vec::new();
    for (part, arrays) in PARTS.into_iter().zip([
        &learner.weights,
        &learner.mean,
        &learner.first,
        &learner.second,
    ]) {
        for (name, array) in arrays {
            let start = data.len();
            data.extend(array.values.iter().flat_map(|value| value.to_le_bytes()));
            let entry = Entry {
                dtype: "F32".to_owned(),
                shape: array.dims.clone(),
                data_offsets: [start, data.len()],
            };
            header.entries.insert(format!("{part}/{name}"), entry);
        }
    }
    let header = serde_json::to_vec(&header).map_err(|error| failed(error.into()))?;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes).map_err(failed)?;
    std::fs::rename(&partial, path).map_err(failed)
}

/// Loads a checkpoint; `None` when there is none.
///
/// # Errors
/// [`CheckpointError`] when the file cannot be read or is no checkpoint.
pub fn load(path: &Path) -> Result<Option<Learner>, CheckpointError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(CheckpointError::File {
                path: path.to_owned(),
                source,
            });
        }
    };
    parse(&bytes)
        .map(Some)
        .map_err(|problem| CheckpointError::Damaged {
            path: path.to_owned(),
            problem,
        })
}

fn parse(bytes: &[u8]) -> Result<Learner, String> {
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or("it is cut off")?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|error| error.to_string())?;
    let (header, data) = rest.split_at_checked(length).ok_or("it is cut off")?;
    let header: Header = serde_json::from_slice(header).map_err(|error| error.to_string())?;
    let step = header
        .metadata
        .get("step")
        .and_then(|step| step.parse().ok())
        .ok_or("it names no step")?;
    let mut parts: [Arrays; 4] = Default::default();
    for (name, entry) in &header.entries {
        let (part, name) = name
            .split_once('/')
            .ok_or_else(|| format!("`{name}` belongs to no part"))?;
        let at = PARTS
            .iter()
            .position(|known| *known == part)
            .ok_or_else(|| format!("`{part}` is no part"))?;
        parts[at].insert(
            name.to_owned(),
            array(entry, data).ok_or_else(|| format!("`{name}` is damaged"))?,
        );
    }
    let [weights, mean, first, second] = parts;
    let alike = [&mean, &first, &second]
        .into_iter()
        .all(|part| part.keys().eq(weights.keys()));
    if alike {
        Ok(Learner {
            step,
            weights,
            mean,
            first,
            second,
        })
    } else {
        Err("its parts differ".to_owned())
    }
}

fn array(entry: &Entry, data: &[u8]) -> Option<Array> {
    let [start, end] = entry.data_offsets;
    let values: Vec<f32> = data
        .get(start..end)?
        .as_chunks::<4>()
        .0
        .iter()
        .map(|word| f32::from_le_bytes(*word))
        .collect();
    let needed = entry
        .shape
        .iter()
        .try_fold(1usize, |product, side| product.checked_mul(*side))?;
    (entry.dtype == "F32" && values.len() == needed).then(|| Array {
        dims: entry.shape.clone(),
        values,
    })
}
