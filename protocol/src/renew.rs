//! Renewal of a device's certificate over HTTPS: `POST {door}/{tenant}/{device}/renew`, a signed message up and JSON down.
//!
//! The request is signed by the device's key, whichever door it goes through: a gateway passes it on, and can neither make
//! one nor change one. It names the certificate that is to be followed, and no key, name or class: those stay what the
//! cloud has on record. A certificate has one successor at most, so a request that is played again gives what it gave
//! before; it needs neither a nonce nor a clock that is right.

use serde::{Deserialize, Serialize};

use crate::{DeviceIdentity, envelope::Message};

/// The largest request in bytes; an honest one has about 300.
pub const MAX_RENEWAL_BYTES: usize = 4 * 1024;

/// A device asks for the certificate that follows the one that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// Who asks; must be the signer.
    pub device: DeviceIdentity,
    /// The serial number of the certificate that it holds: hex without leading zeros.
    pub follows: String,
}

impl Message for RenewRequest {
    const TYPE: &'static str = "application/vnd.espalier.renew.v1+cbor";
}

/// What the cloud answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// The newest certificate of the device, then the chain (PEM). It is the one that the device holds, while that is too
    /// young to be followed.
    pub certificate_pem: String,
}
