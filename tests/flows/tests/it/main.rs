//! Whole walks and hazards, through the doors that users and devices have.

mod busy;
mod clones;
mod hostile_children;
mod hostile_models;
mod kills;
#[path = "../../../../device-runtime/runtime/tests/it/onnx.rs"]
mod onnx;
mod proof;
mod restored;
mod rights;
mod rotation;
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "the runtime's own tests make bundles of it, too; a helper that fails is a test that fails"
)]
#[path = "../../../../device-runtime/runtime/tests/it/tiny.rs"]
mod tiny;
mod walk;
