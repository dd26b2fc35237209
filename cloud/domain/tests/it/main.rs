//! The decisions of the cloud, without a cloud.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod assignments;
mod builds;
mod certificates;
mod claims;
mod observations;
mod percents;
mod policies;
mod properties;
mod selectors;
mod transcripts;
mod world;
