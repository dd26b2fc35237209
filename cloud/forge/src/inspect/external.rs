//! Weights that lie in files of their own: found inside the model's folder, or refused.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::onnx::{GraphProto, ModelProto, TensorProto};

use super::InspectError;

/// The most bytes of outside weights that are brought in; protobuf itself ends at 2 GiB.
const MAX_BYTES: u64 = (2 << 30) - (64 << 20);

/// Brings every weight that lies in another file into the model, so that it is whole in one file.
/// Answers the files that were read, with their sizes.
///
/// # Errors
/// [`InspectError::External`] for a file outside the folder (also by a symbolic link), a missing one, or a
/// piece that its file does not hold; [`InspectError::Onnx`] for a tensor that contradicts itself.
pub fn bring_in(
    model: &mut ModelProto,
    file: &str,
    folder: &Path,
) -> Result<BTreeMap<String, u64>, InspectError> {
    let mut files = BTreeMap::new();
    let mut left = MAX_BYTES;
    if let Some(graph) = model.graph.as_mut() {
        bring_in_graph(graph, file, folder, &mut files, &mut left)?;
    }
    Ok(files)
}

fn bring_in_graph(
    graph: &mut GraphProto,
    file: &str,
    folder: &Path,
    files: &mut BTreeMap<String, u64>,
    left: &mut u64,
) -> Result<(), InspectError> {
    let outside = graph
        .initializer
        .iter_mut()
        .filter(|tensor| tensor.is_external());
    for tensor in outside {
        bring_in_tensor(tensor, file, folder, files, left)?;
    }
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        for tensor in attribute
            .t
            .iter_mut()
            .chain(&mut attribute.tensors)
            .filter(|tensor| tensor.is_external())
        {
            bring_in_tensor(tensor, file, folder, files, left)?;
        }
        for subgraph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            bring_in_graph(subgraph, file, folder, files, left)?;
        }
    }
    Ok(())
}

fn bring_in_tensor(
    tensor: &mut TensorProto,
    file: &str,
    folder: &Path,
    files: &mut BTreeMap<String, u64>,
    left: &mut u64,
) -> Result<(), InspectError> {
    let invalid = |source| InspectError::Onnx {
        file: file.to_owned(),
        source,
    };
    let refuse = |problem: String| InspectError::External {
        file: file.to_owned(),
        tensor: tensor.name().to_owned(),
        problem,
    };
    let location = tensor.external_location().map_err(invalid)?.to_owned();
    let needed = bytes_needed(tensor).map_err(invalid)?;
    let offset = match number(tensor, "offset") {
        Ok(offset) => offset.unwrap_or(0),
        Err(problem) => return Err(refuse(problem)),
    };
    match number(tensor, "length") {
        Ok(None) => {}
        Ok(Some(length)) if length == needed => {}
        Ok(Some(length)) => {
            return Err(refuse(format!(
                "its shape needs {needed} bytes, it announces {length}"
            )));
        }
        Err(problem) => return Err(refuse(problem)),
    }
    *left = left
        .checked_sub(needed)
        .ok_or_else(|| refuse(format!("more than {MAX_BYTES} bytes lie outside")))?;
    let path = inside(folder, &location).map_err(&refuse)?;
    let (bytes, size) = read_piece(&path, offset, needed)
        .map_err(|problem| refuse(format!("`{}`: {problem}", location.display())))?;
    files.insert(location.display().to_string(), size);
    tensor.raw_data = Some(bytes);
    tensor.external_data.clear();
    tensor.data_location = None;
    Ok(())
}

fn bytes_needed(tensor: &TensorProto) -> Result<u64, crate::onnx::OnnxError> {
    let elements = tensor.elements()?;
    let bits = tensor.element_type()?.bits().unwrap_or(8);
    Ok((elements * bits).div_ceil(8))
}

fn number(tensor: &TensorProto, key: &str) -> Result<Option<u64>, String> {
    let entry = tensor.external_data.iter().find(|entry| entry.key() == key);
    entry
        .map(|entry| {
            entry
                .value()
                .parse()
                .map_err(|_| format!("its {key} `{}` is not a number", entry.value()))
        })
        .transpose()
}

/// The real path of `location`, which must stay inside `folder` also after every link is followed.
fn inside(folder: &Path, location: &Path) -> Result<PathBuf, String> {
    let unreadable = |error: std::io::Error| {
        format!(
            "its data at `{}` cannot be read: {error}",
            location.display()
        )
    };
    let home = folder.canonicalize().map_err(unreadable)?;
    let real = folder.join(location).canonicalize().map_err(unreadable)?;
    if real.starts_with(&home) {
        Ok(real)
    } else {
        Err(format!(
            "its data lies at `{}`, which leads outside the model's folder",
            location.display()
        ))
    }
}

fn read_piece(path: &Path, offset: u64, length: u64) -> Result<(Vec<u8>, u64), String> {
    let words = |error: std::io::Error| error.to_string();
    let mut file = File::open(path).map_err(words)?;
    let size = file.metadata().map_err(words)?.len();
    let end = offset.checked_add(length).filter(|end| *end <= size);
    if end.is_none() {
        return Err(format!(
            "bytes {offset} to {offset}+{length} are wanted, the file has {size}"
        ));
    }
    file.seek(SeekFrom::Start(offset)).map_err(words)?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).map_err(words)?;
    Ok((bytes, size))
}
