//! Certificates and requests for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use espalier_link::Certificate;
use espalier_protocol::DeviceIdentity;
use espalier_trust::ca::{DeviceCa, MAX_CSR_BYTES, Validity, read_peer};
use jiff::SignedDuration;
use ring::rand::SystemRandom;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::sync::LazyLock;

use crate::fixture::{DEVICE_CA, key, now};

static CA: LazyLock<DeviceCa> = LazyLock::new(|| {
    DeviceCa::create(key(DEVICE_CA), a_year(), &SystemRandom::new()).expect("a key makes a CA")
});

fn a_year() -> Validity {
    Validity {
        not_before: now(),
        not_after: now() + SignedDuration::from_hours(24 * 365),
    }
}

/// A request for a certificate: whatever it asks for, the certificate names the device that the cloud decided on.
pub fn certificate_request(bytes: &[u8]) {
    let Ok(pem) = std::str::from_utf8(bytes) else {
        return;
    };
    let identity: DeviceIdentity = "acme/press-7".parse().expect("a constant is a name");
    let Ok(issued) = CA.issue_device(&identity, pem, a_year(), &SystemRandom::new()) else {
        return;
    };
    assert!(pem.len() <= MAX_CSR_BYTES);
    let certificate =
        CertificateDer::from_pem_slice(issued.pem.as_bytes()).expect("a certificate is PEM");
    let peer = read_peer(&certificate).expect("a certificate that we issued is read");
    assert_eq!(peer.identity, identity, "a request chose its own name");
    assert_eq!(peer.public_key, issued.public_key);
    assert_eq!(peer.serial, issued.serial);
}

/// A peer's certificate, as the cloud and as the device itself read it. TLS has verified it before; reading it must not
/// depend on that.
pub fn peer_certificate(bytes: &[u8]) {
    let Ok(peer) = read_peer(bytes) else {
        return;
    };
    let body = STANDARD.encode(bytes);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    if let Ok(own) = Certificate::read(&pem) {
        let here = (own.serial(), own.until());
        assert_eq!(
            here,
            (peer.serial.as_str(), peer.not_after),
            "cloud and device read another certificate"
        );
    }
    assert_eq!(peer.identity.to_string().parse(), Ok(peer.identity));
}
