//! Serving through its public door: real HTTP on port 0, real ONNX Runtime, tiny bundles.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops at once, and says where"
)]

mod door;
#[path = "../../../runtime/tests/it/onnx.rs"]
mod onnx;
mod overload;
mod requests;
mod switching;
#[path = "../../../runtime/tests/it/tiny.rs"]
mod tiny;
