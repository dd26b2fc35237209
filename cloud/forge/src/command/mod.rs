//! The subcommands of `espalier-forge`, one file each.

pub mod build;
pub mod inspect;
pub mod sandbox;
pub mod scenes;
pub mod train;
pub mod worker;
mod workshop;
