//! Forbids tests from reaching inside: a whole stack for each test, through the doors that users have.
//!
//! Everything here starts the product's own programs and speaks to them as a person or a device
//! would: the command line, the HTTP API, the broker. The demo and the tests stand on the same
//! stack, so what the demo shows is what the tests prove.

pub mod agent;
pub mod blobs;
pub mod cloud;
pub mod hostile;
pub mod household;
pub mod mosquitto;
pub mod operator;
pub mod process;
pub mod programs;
pub mod raw_broker;
pub mod scenes;
pub mod skip;
pub mod wait;
pub mod walk;
pub mod wire;
pub mod workshop;

pub use agent::Agent;
pub use cloud::Cloud;
pub use operator::Operator;

/// Two TLS providers are linked into the workspace, so rustls cannot choose by itself.
pub fn tls_provider() {
    // A second installation in one process is refused and harmless.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
