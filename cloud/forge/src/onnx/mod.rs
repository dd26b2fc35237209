//! ONNX files as typed values: read with limits, checked, edited, built and written.
//!
//! A model file is hostile input. [`read`] bounds what it takes and never panics; [`check`] refuses graphs
//! that a runtime would choke on; [`build`] writes graphs of our own; [`tensor`] gives constants their types.

pub mod build;
pub mod check;
pub mod element;
pub mod proto;
pub mod read;
pub mod tensor;
pub mod write;

pub use build::{GraphBuilder, Value};
pub use check::check;
pub use element::DataType;
pub use proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto,
};
pub use read::{Limits, read, read_file};
pub use write::{OPSET, write, write_file};

/// Why an ONNX file was refused.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The file could not be read or written.
    #[error("could not access {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The bytes are not an ONNX model.
    #[error(
        "this is not an ONNX model: {0}; export it again, or check that the download was complete"
    )]
    Malformed(String),
    /// The model is larger than the limits allow.
    #[error(
        "the model has {found} {what}, more than the {limit} that are taken; raise the limit if you trust its origin"
    )]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much is taken.
        limit: u64,
    },
    /// The graph contradicts itself.
    #[error("the graph is not valid: {0}")]
    Invalid(String),
    /// A constant is not of the type or size that its reader needs.
    #[error("tensor `{tensor}`: {problem}")]
    Tensor {
        /// The tensor's name.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
}
