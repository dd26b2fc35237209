//! The runtime through its public door, on the real ONNX Runtime.

mod golden;
mod graph;
mod mask;
mod onnx;
mod picture;
mod segmentation;
mod tiny;
