//! Forbids the arrow from any tier to another: cloud, edge agent and device runtime never import one
//! another, they only speak this language.
//!
//! Ids, the topic grammar, manifests, releases and signed messages. No I/O, no async, no clock, no
//! randomness: everything here is a pure function of its arguments, so that every tier can check
//! what another tier says in exactly the same way.

pub mod cbor;
pub mod claim;
pub mod desired;
pub mod digest;
pub mod enrol;
pub mod envelope;
pub mod id;
pub mod incarnation;
pub mod inventory;
pub mod job;
pub mod manifest;
pub mod name;
pub mod path;
pub mod proof;
pub mod release;
pub mod renew;
pub mod report;
pub mod topic;
pub mod trust;
mod unique;

pub use digest::Digest;
pub use incarnation::Incarnation;
pub use name::{DeviceClassName, DeviceIdentity, DeviceName, ModelName, Tenant};
pub use path::BundlePath;
