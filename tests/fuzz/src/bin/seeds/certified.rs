//! A device with a certificate, as enrolment leaves it.

use std::io;

use espalier_fuzz_targets::fixture::{DEVICE, DEVICE_CA, key, now, pkcs8};
use espalier_protocol::DeviceIdentity;
use espalier_trust::ca::{DeviceCa, Validity};
use jiff::SignedDuration;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use ring::rand::SystemRandom;
use rustls_pki_types::PrivatePkcs8KeyDer;

/// What it asked, and what it got (PEM).
pub struct Certified {
    /// Who it is.
    pub identity: DeviceIdentity,
    /// Its certificate request.
    pub request: String,
    /// Its certificate.
    pub certificate: String,
    /// Its authority.
    pub authority: String,
}

impl Certified {
    pub fn device() -> io::Result<Self> {
        let der = PrivatePkcs8KeyDer::from(pkcs8(DEVICE));
        let pair =
            KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).map_err(io::Error::other)?;
        let request = CertificateParams::default()
            .serialize_request(&pair)
            .and_then(|request| request.pem())
            .map_err(io::Error::other)?;
        let validity = Validity {
            not_before: now(),
            not_after: now() + SignedDuration::from_hours(24),
        };
        let random = SystemRandom::new();
        let ca = DeviceCa::create(key(DEVICE_CA), validity, &random).map_err(io::Error::other)?;
        let identity = "acme/press-7".parse().map_err(io::Error::other)?;
        let issued = ca
            .issue_device(&identity, &request, validity, &random)
            .map_err(io::Error::other)?;
        Ok(Self {
            identity,
            request,
            certificate: issued.pem,
            authority: ca.certificate_pem().to_owned(),
        })
    }
}
