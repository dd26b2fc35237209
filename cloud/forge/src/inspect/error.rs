//! Why a model is refused, in words for the person who brought it.

use std::path::PathBuf;

use espalier_protocol::BundlePath;
use espalier_protocol::manifest::{MODEL_FILE, ManifestError};

use super::{MAX_GRAPHS, operators};
use crate::onnx::OnnxError;

/// Why a model is refused. Every message names the file, and the tensor or operator where it is one.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The path cannot be read.
    #[error("the model at {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// No graph at all.
    #[error("there is no ONNX file at {}: give a folder with .onnx files, or one .onnx file", .0.display())]
    NoGraph(PathBuf),
    /// More graphs than are taken.
    #[error("there are {0} ONNX files: at most {MAX_GRAPHS} are taken")]
    TooManyGraphs(usize),
    /// A file name that a bundle cannot have.
    #[error("`{0}` cannot be used as a file name: rename it to letters, digits, `.`, `_` and `-`")]
    FileName(String),
    /// The description is unusable.
    #[error("{MODEL_FILE}: {0}")]
    Description(#[from] ManifestError),
    /// A graph is no valid model.
    #[error("{file}: {source}")]
    Onnx {
        /// The graph's file.
        file: String,
        /// What is wrong.
        source: OnnxError,
    },
    /// Weights in another file cannot be brought in.
    #[error("{file}: tensor `{tensor}`: {problem}")]
    External {
        /// The graph's file.
        file: String,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        problem: String,
    },
    /// An operator set that is not understood.
    #[error("{file}: it is written for ONNX opset {found}; opsets {} to {} are understood: export it again with opset 17",
        operators::OPSETS.start(), operators::OPSETS.end())]
    Opset {
        /// The graph's file.
        file: String,
        /// Its opset.
        found: i64,
    },
    /// Operators that nobody defines.
    #[error("{file}: unknown operators: {}; export it with standard ONNX operators only", .operators.join(", "))]
    UnknownOperators {
        /// The graph's file.
        file: String,
        /// Their names.
        operators: Vec<String>,
    },
    /// The description and the graphs disagree.
    #[error("{MODEL_FILE} names {what} `{name}`, which {file} does not have; it has: {}", .present.join(", "))]
    MissingTensor {
        /// The graph's file.
        file: String,
        /// `the input` or `the output`.
        what: &'static str,
        /// The name in the description.
        name: String,
        /// What the graph has.
        present: Vec<String>,
    },
    /// The description names a graph that is not in the folder.
    #[error("{MODEL_FILE} names the graph `{0}`, which is not in the folder")]
    MissingGraph(BundlePath),
    /// Several graphs and no description.
    #[error(
        "there are {0} graphs and no {MODEL_FILE}, and their tensors are not those of the SAM export: write a {MODEL_FILE} that says how they are served"
    )]
    Undescribed(usize),
}
