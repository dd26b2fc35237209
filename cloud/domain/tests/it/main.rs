//! The decisions of the cloud, without a cloud.

mod assignments;
mod builds;
mod claims;
mod observations;
mod percents;
mod policies;
mod properties;
mod selectors;
mod transcripts;
mod world;
