//! Forbids the arrow from hostile model files to keys and database: a process of its own that only makes builds.

pub mod onnx;
