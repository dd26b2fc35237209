//! The commands, one file each.

pub mod enrol;
pub mod infer;
pub mod run;
pub mod status;
