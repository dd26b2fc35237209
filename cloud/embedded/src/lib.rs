//! Forbids the arrow from one-machine conveniences into production paths: a PostgreSQL child
//! process and an MQTT broker that need nothing else running. Neither knows the other, and nothing
//! here knows what the cloud stores or decides.

pub mod broker;
pub mod postgres;
