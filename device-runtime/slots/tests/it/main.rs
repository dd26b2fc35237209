//! The store through its public doors: records, slots, content and trust, each by the hazards that it must survive.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod content;
mod delegations;
mod mint;
mod orders;
mod record;
mod slots;
mod store;
mod trust;
