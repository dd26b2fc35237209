//! The control plane through its public doors, on free ports, with a database of its own.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod attacks;
mod ceremony;
mod console;
mod device;
mod enrolment;
mod full_disk;
mod operators;
mod production;
mod releases;
mod renewal;
mod reports;
mod restart;
mod rotation;
mod stack;
mod unreachable;
