//! The protocol's behaviour on good and hostile bytes, through its public door.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod messages;
mod names;
mod proof;
mod recorded;
mod releases;
