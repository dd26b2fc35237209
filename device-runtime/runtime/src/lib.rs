//! Forbids the arrow from inference to network: sessions, tasks and statistics on ONNX Runtime.
//!
//! From the bottom up: [`engine`] finds and starts ONNX Runtime, [`graph`] loads one ONNX file and
//! runs it with named [`tensor`]s on an explicit [`provider`] policy, [`folder`] opens a folder with
//! a manifest, [`segmentation`] serves the task, and [`golden`] tells whether a bundle still
//! computes what it computed where it was built.

pub mod engine;
pub mod folder;
pub mod golden;
pub mod graph;
pub mod mask;
pub mod picture;
mod pool;
pub mod preprocess;
pub mod provider;
pub mod segmentation;
pub mod statistics;
pub mod tensor;

pub use folder::ModelFolder;
pub use graph::{Graph, GraphError, GraphOptions};
pub use mask::Mask;
pub use picture::{Picture, PictureError};
pub use provider::{Placement, Provider, ProviderPolicy};
pub use segmentation::{EmbeddingCache, Segmenter};
pub use statistics::Statistics;
pub use tensor::{ElementType, Elements, Tensor};
