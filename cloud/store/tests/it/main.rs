//! The store against a real PostgreSQL.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod conversions;
mod database;
mod desired;
mod devices;
mod events;
mod fixture;
mod impossible_rows;
mod jobs;
mod lists;
mod overtaken;
mod releases;
mod renewals;
mod reports;
mod rollouts;
mod tenants;
