//! What we write, before other people's programs.

mod proof;
mod python;
mod repository;
