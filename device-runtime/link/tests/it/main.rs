//! Link against a cloud in the same process: real TLS, real keys, real HTTP, and a broker where one is needed.

mod agent;
mod cloud;
mod download;
mod engine;
mod enrolment;
mod mqtt;
mod outbox;
mod restart;

/// The store's tests have the same cloud on paper: keys, repository, releases.
#[path = "../../../slots/tests/it/mint.rs"]
mod mint;
