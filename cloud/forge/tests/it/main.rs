//! The forge through its public doors, named by hazard.

mod inspect;
mod job;
mod quantise;
mod recipe;
mod sandbox;
mod support;
