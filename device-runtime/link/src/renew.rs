//! Renewal: a certificate that nears its end is followed by the next, for the same name and key, without a claim.
//!
//! The request is signed by the device's key and goes to the door that the device knows: the cloud's, or its gateway's,
//! which passes it on. What comes back is believed for its own signature alone.
//!
//! Nothing is lost at any point of it. A device whose answer was lost, or whose disk refused the certificate, asks again
//! and is given the same one; until the new one is on the disk the old one is shown, and the cloud lets it in until its end.

use bytes::Bytes;
use espalier_protocol::cbor::CborError;
use espalier_protocol::envelope;
use espalier_protocol::renew::{RenewRequest, Renewed};

use crate::certificate::{Certificate, CertificateError};
use crate::door::{self, Door, DoorError};
use crate::{Identity, IdentityError};

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The cloud said no.
    #[error("the renewal was refused with status {status}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why.
        detail: String,
    },
    /// The answer is not understood.
    #[error("the answer to the renewal cannot be used: {0}")]
    Answer(String),
    /// The certificate in it is not one for this device.
    #[error("the certificate that came is not kept: {0}")]
    Certificate(#[from] CertificateError),
    /// It would end no later than the one that it is to follow.
    #[error("the certificate that came is not kept: it ends no later than the one that is here")]
    NoLater,
    /// No answer.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// It cannot be kept.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The request cannot be written.
    #[error("the renewal cannot be asked for")]
    Request(#[from] CborError),
}

/// Asks for the certificate that follows the one that is shown. `None` when the cloud finds that one young enough.
///
/// What is given fits the device, its key and the authority that it knows, and ends later; it is not kept yet.
///
/// # Errors
/// Why there is none; trying again is safe.
pub async fn ask(identity: &Identity, door: &Door) -> Result<Option<Certificate>, RenewError> {
    let held = identity.certificate();
    let request = RenewRequest {
        device: identity.device().clone(),
        follows: held.serial().to_owned(),
    };
    let request = Bytes::from(envelope::seal(&request, identity.key())?);
    let (status, answer) = door.renew(identity.device(), request).await?;
    if !(200..300).contains(&status) {
        let detail = door::problem(&answer);
        return Err(RenewError::Refused { status, detail });
    }
    let renewed: Renewed =
        serde_json::from_slice(&answer).map_err(|error| RenewError::Answer(error.to_string()))?;
    let next = Certificate::read(&renewed.certificate_pem)?;
    if next.serial() == held.serial() {
        return Ok(None);
    }
    next.check(
        identity.device(),
        &identity.key().public(),
        identity.ca_pem(),
    )?;
    if next.until() <= held.until() {
        return Err(RenewError::NoLater);
    }
    Ok(Some(next))
}
