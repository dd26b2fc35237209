//! A device gets the certificate that follows the one that it holds.
//!
//! What the new certificate says comes from the records alone: the name and the key that enrolment bound together. So a
//! device that has another key, or wants to be of another class, cannot say so here; it enrols anew.

use espalier_api::error::ErrorCode;
use espalier_protocol::{
    DeviceIdentity,
    envelope::{Envelope, EnvelopeError},
    renew::{RenewRequest, Renewed},
    trust::PublicKey,
};
use espalier_store::{CertificateRecord, RenewOutcome, Renewal};

use super::{announce, sentence};
use crate::{
    authority::Authority,
    bridge::Known,
    cloud::Cloud,
    door::Caller,
    refusal::{Outcome, Refusal},
};

/// The newest certificate of `device`: a new one, if the one that it holds is old enough. `caller` is the device itself,
/// or the gateway that it lives behind.
///
/// # Errors
/// `certificate_refused`, `malformed_body`, `invalid_signature`, `invalid_value`.
pub async fn renew(
    cloud: &Cloud,
    caller: &Caller,
    device: &DeviceIdentity,
    request: &[u8],
) -> Outcome<Renewed> {
    let known = whom(cloud, caller, device).await?;
    let asked = open(request, device, &known.public_key)?;
    let renewal = Renewal {
        identity: device.clone(),
        follows: asked.follows,
        next: Authority::next_certificate(&cloud.world)?,
        now: cloud.world.now(),
    };
    let outcome = cloud.store()?.devices().renew(&renewal).await?;
    let record = match outcome {
        RenewOutcome::Renewed => {
            renewed(cloud, &renewal).await;
            renewal.next
        }
        RenewOutcome::Newest(record) => record,
        RenewOutcome::UnknownCertificate => {
            let detail = format!("{device} has no certificate {}.", renewal.follows);
            return Err(refused(detail));
        }
        RenewOutcome::Barred => return Err(barred(device)),
    };
    let certificate_pem = cloud
        .authority
        .certificate(device, &known.public_key, &record)?;
    Ok(Renewed { certificate_pem })
}

/// The device that the caller may speak for.
async fn whom(cloud: &Cloud, caller: &Caller, device: &DeviceIdentity) -> Outcome<Known> {
    if caller.identity == *device {
        return Ok(caller.known.clone());
    }
    let behind = |known: &Known| {
        caller.identity.tenant == device.tenant
            && known.gateway.as_ref() == Some(&caller.identity.device)
    };
    let known = cloud.directory.find(device).await?.filter(behind);
    let known = known.ok_or_else(|| {
        refused(format!(
            "{device} does not live behind {}.",
            caller.identity
        ))
    })?;
    if known.barred {
        return Err(barred(device));
    }
    Ok(known)
}

fn open(request: &[u8], device: &DeviceIdentity, key: &PublicKey) -> Outcome<RenewRequest> {
    let opened = Envelope::parse(request)
        .and_then(|envelope| envelope.open::<RenewRequest>(|id| (id == key.id()).then_some(key)));
    let asked = opened.map_err(|error| match error {
        EnvelopeError::UnknownKey(_) | EnvelopeError::BadSignature(_) => {
            let detail = format!("The request is not signed by the key of {device}.");
            Refusal::new(ErrorCode::InvalidSignature, detail)
                .with_hint("a device keeps its key for good: enrol another key under a new name")
                .because(error)
        }
        _ => Refusal::new(ErrorCode::MalformedBody, sentence(&error)),
    })?;
    if asked.device == *device {
        return Ok(asked);
    }
    let detail = format!("The request of {} was sent as {device}'s.", asked.device);
    Err(Refusal::new(ErrorCode::InvalidValue, detail))
}

async fn renewed(cloud: &Cloud, renewal: &Renewal) {
    let Renewal { identity, next, .. } = renewal;
    // The doors let the new certificate in from now on.
    cloud.directory.forget(identity);
    let CertificateRecord {
        serial, expires_at, ..
    } = next;
    let payload = serde_json::json!({ "serial": serial, "not_after": expires_at });
    let (tenant, device) = (&identity.tenant, &identity.device);
    announce(cloud, tenant, "device.renewed", device, payload).await;
}

fn barred(device: &DeviceIdentity) -> Refusal {
    refused(format!("{device} was revoked, or is in quarantine."))
}

fn refused(detail: String) -> Refusal {
    Refusal::new(ErrorCode::CertificateRefused, detail)
        .with_hint("enrol the device with a new claim")
}
