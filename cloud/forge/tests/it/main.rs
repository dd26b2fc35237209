//! The forge through its public doors, named by hazard.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod inspect;
mod job;
mod quantise;
mod recipe;
mod sandbox;
mod support;
mod train;
