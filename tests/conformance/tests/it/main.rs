//! The agent's trust from the outside: the TUF conformance suite, and what the suite does not ask.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod store;
mod suite;
