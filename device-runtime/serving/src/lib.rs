//! Forbids the arrow from serving to fleet: requests in, answers out, no cloud.
//!
//! A [`ModelHost`] holds what serves now and switches it under load; a [`Service`] admits requests,
//! computes them away from the network's threads and counts them; [`http`] speaks the protocols.
//! Gateways, devices and the cloud's host all serve through here, and every answer says which bundle
//! computed it, and where.

pub mod admission;
pub mod answer;
mod computing;
pub mod host;
pub mod http;
pub mod metrics;
pub mod place;
mod problem;
pub mod question;
pub mod service;

pub use answer::Answer;
pub use host::{Candidate, HostOptions, Instance, ModelHost, Origin};
pub use place::{Place, Tier};
pub use question::Question;
pub use service::{Limits, ServeError, Service};
