//! Forbids the arrow from HTTP and MQTT code to SQL: use cases, reconcilers, doors and wiring.
//!
//! A call comes in through a door ([`http`] for operators, [`door`] for devices, [`bridge`] for what
//! devices publish), which only translates. What is done stands in [`usecase`], one file for each
//! verb. What has to happen by itself is a reconciler ([`reconcile`]): it takes no input, looks at the
//! store, and brings the world one step nearer to it.

pub mod authority;
pub mod bells;
pub mod blobs;
pub mod bridge;
pub mod catalogue;
pub mod cloud;
pub mod config;
pub mod deployers;
pub mod door;
pub mod forge;
pub mod http;
pub mod last_edition;
pub mod metrics;
pub mod passphrase;
pub mod principal;
pub mod readiness;
pub mod reconcile;
pub mod refusal;
pub mod serve;
pub mod telemetry;
pub mod usecase;
pub mod view;
pub mod world;
