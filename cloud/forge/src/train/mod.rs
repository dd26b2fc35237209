//! The trainer: our own full model, from pictures to ONNX.

pub mod batch;
pub mod cache;
pub mod carry_out;
pub mod checkpoint;
pub mod corpus;
pub mod cut;
pub mod describe;
pub mod export;
pub mod frame;
pub mod kernels;
pub mod learn;
pub mod loss;
pub mod measure;
pub mod network;
pub mod optimiser;
pub mod recipe;
pub mod target;
pub mod weights;
pub mod write_down;
