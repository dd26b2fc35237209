//! A device trades its claim for a certificate.

use espalier_api::error::ErrorCode;
use espalier_protocol::{
    DeviceIdentity, DeviceName, Digest, Tenant,
    enrol::{EnrolRequest, Enrolled, Role},
};
use espalier_store::{CertificateRecord, EnrolOutcome, Enrolment};
use espalier_trust::ca::{CaError, DeviceCertificate, PeerCertificate};
use jiff::Timestamp;

use super::{announce, sentence};
use crate::{
    authority::Authority,
    cloud::Cloud,
    door,
    refusal::{Outcome, Refusal},
};

/// Lets a device in. With `relay` it came through that gateway, whose certificate is on the
/// connection, and lives behind it from now on.
///
/// # Errors
/// `claim_refused`, `already_exists`, `invalid_value`; `certificate_refused` for a bad relay.
pub async fn enrol(
    cloud: &Cloud,
    request: EnrolRequest,
    relay: Option<&PeerCertificate>,
) -> Outcome<Enrolled> {
    let token = Digest::of(request.token.as_bytes());
    let claim = cloud
        .store()?
        .claims()
        .by_token(&token)
        .await?
        .ok_or_else(unknown_claim)?;
    let gateway = match relay {
        Some(peer) => Some(gateway(cloud, peer, &claim.tenant).await?),
        None => None,
    };
    let identity = DeviceIdentity::new(claim.tenant, request.device.clone());
    let now = cloud.world.now();
    let certificate = issue(cloud, &identity, &request.csr_pem, now)?;
    let enrolment = Enrolment {
        token,
        identity: identity.clone(),
        role: request.role,
        class: request.class,
        gateway: gateway.clone(),
        public_key: certificate.public_key,
        certificate: CertificateRecord {
            serial: certificate.serial.to_string(),
            issued_at: now,
            expires_at: certificate.not_after,
        },
        inventory: request.inventory,
        now,
    };
    let outcome = cloud.store()?.devices().enrol(&enrolment).await?;
    let certificate_pem = match judge(outcome, &identity)? {
        Some(held) => cloud
            .authority
            .certificate(&identity, &enrolment.public_key, &held)?,
        None => {
            enrolled(cloud, &enrolment).await;
            certificate.pem + cloud.authority.ca.certificate_pem()
        }
    };
    Ok(Enrolled {
        identity,
        certificate_pem,
        gateway,
    })
}

async fn enrolled(cloud: &Cloud, enrolment: &Enrolment) {
    let Enrolment {
        identity,
        class,
        gateway,
        ..
    } = enrolment;
    cloud.directory.forget(identity);
    let payload = serde_json::json!({ "class": class, "gateway": gateway });
    let (tenant, device) = (&identity.tenant, &identity.device);
    announce(cloud, tenant, "device.enrolled", device, payload).await;
}

async fn gateway(cloud: &Cloud, peer: &PeerCertificate, tenant: &Tenant) -> Outcome<DeviceName> {
    let caller = door::identify(cloud, Some(peer)).await?;
    if caller.known.role == Role::Gateway && &caller.identity.tenant == tenant {
        return Ok(caller.identity.device);
    }
    let detail = format!(
        "{} is no gateway of the claim's tenant; it cannot bring devices in.",
        caller.identity
    );
    Err(Refusal::new(ErrorCode::CertificateRefused, detail))
}

fn issue(
    cloud: &Cloud,
    identity: &DeviceIdentity,
    csr_pem: &str,
    now: Timestamp,
) -> Outcome<DeviceCertificate> {
    let validity = Authority::device_validity(now);
    let issued = cloud
        .authority
        .ca
        .issue_device(identity, csr_pem, validity, cloud.world.random());
    issued.map_err(|error| match error {
        CaError::BadRequest(_) | CaError::WrongKeyKind => {
            Refusal::new(ErrorCode::InvalidValue, sentence(&error)).because(error)
        }
        other => Refusal::internal(other),
    })
}

/// The certificate that the device holds already, or none when it is to have the new one.
fn judge(outcome: EnrolOutcome, identity: &DeviceIdentity) -> Outcome<Option<CertificateRecord>> {
    match outcome {
        EnrolOutcome::Enrolled | EnrolOutcome::Anew => Ok(None),
        EnrolOutcome::Again(held) => Ok(Some(held)),
        EnrolOutcome::UnknownClaim => Err(unknown_claim()),
        EnrolOutcome::Refused(refusal) => {
            Err(Refusal::new(ErrorCode::ClaimRefused, sentence(&refusal)))
        }
        EnrolOutcome::NameTaken => {
            let detail = format!("The name {} or the device's key is taken.", identity.device);
            Err(Refusal::new(ErrorCode::AlreadyExists, detail)
                .with_hint("choose another name, or a new key"))
        }
        EnrolOutcome::OtherClass(class) => {
            let detail = format!("{identity} is enrolled as a device of class {class}.");
            Err(Refusal::new(ErrorCode::ClaimRefused, detail)
                .with_hint("enrol a device of another class under a new name, with a new key"))
        }
        EnrolOutcome::UnknownGateway => Err(Refusal::new(
            ErrorCode::ClaimRefused,
            "The gateway that the device came through is not known.",
        )),
        EnrolOutcome::Barred => {
            let detail = format!("{identity} was revoked, or is in quarantine.");
            Err(Refusal::new(ErrorCode::ClaimRefused, detail)
                .with_hint("readmit it, or enrol it under a new name, with a new key"))
        }
    }
}

/// One answer for a wrong secret and for a claim of another tenant: it says nothing.
fn unknown_claim() -> Refusal {
    Refusal::new(ErrorCode::ClaimRefused, "The claim is not known here.")
        .with_hint("make a new claim")
}
