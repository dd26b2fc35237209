//! The runtime through its public door, on the real ONNX Runtime.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops at once, and says where"
)]

mod golden;
mod graph;
mod mask;
mod onnx;
mod picture;
mod segmentation;
mod tiny;
