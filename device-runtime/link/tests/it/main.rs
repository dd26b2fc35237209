//! Link against a cloud in the same process: real TLS, real keys, real HTTP, and a broker where one is needed.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod agent;
mod attacks;
mod cloud;
mod compromise;
mod doors;
mod download;
mod engine;
mod enrolment;
mod full_disk;
mod mqtt;
mod outbox;
mod register;
mod renewal;
mod restart;

/// The store's tests have the same cloud on paper: keys, repository, releases.
#[expect(dead_code, reason = "the store's own tests ask it for more than these")]
#[path = "../../../slots/tests/it/mint.rs"]
mod mint;
