//! The subcommands of `espalier-forge`, one file each.

pub mod scenes;
