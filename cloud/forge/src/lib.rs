//! Forbids the arrow from hostile model files to keys and database: a process of its own that only makes builds.

pub mod bundle;
pub mod data;
pub mod evaluate;
pub mod inspect;
pub mod job;
pub mod onnx;
pub mod quantise;
pub mod recipe;
pub mod sandbox;
pub mod scenes;
pub mod stages;
pub mod train;
pub mod trial;
