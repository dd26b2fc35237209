//! Writing model files: one IR version and one operator set, and never half a file.

use std::path::Path;

use prost::Message;

use super::{OnnxError, proto::ModelProto};

/// The IR version of what we write; accepted by every runtime that we support.
pub const IR_VERSION: i64 = 8;
/// The operator set of what we write.
pub const OPSET: i64 = 17;

/// The model's bytes.
#[must_use]
pub fn write(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

/// Writes the model beside `path` and renames it into place, so that a reader never sees half of it.
///
/// # Errors
/// [`OnnxError::File`] when the folder cannot be written.
pub fn write_file(model: &ModelProto, path: &Path) -> Result<(), OnnxError> {
    let failed = |source| OnnxError::File {
        path: path.display().to_string(),
        source,
    };
    let partial = path.with_extension("onnx.partial");
    std::fs::write(&partial, write(model)).map_err(failed)?;
    std::fs::rename(&partial, path).map_err(failed)
}
