//! Certificates: the cloud decides what they say, and the request only which key they name.

use std::sync::Arc;

use espalier_protocol::trust::PublicKey;
use espalier_trust::ca::{CaError, DeviceCa, Serial, Validity, read_peer};
use jiff::SignedDuration;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SanType,
};
use ring::rand::SystemRandom;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::fixture::{Cloud, cloud, identity, now};

fn validity() -> Validity {
    Validity {
        not_before: now(),
        not_after: now() + SignedDuration::from_hours(24 * 365),
    }
}

fn ca(cloud: &Cloud) -> DeviceCa {
    DeviceCa::create(
        cloud.online.device_ca.clone(),
        validity(),
        &SystemRandom::new(),
    )
    .unwrap()
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn request(params: &CertificateParams) -> (KeyPair, String) {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    (key, csr)
}

#[test]
fn a_device_certificate_says_what_the_cloud_wants() {
    let cloud = cloud();
    let ca = ca(&cloud);
    let (key, csr) = request(&CertificateParams::default());
    let issued = ca
        .issue_device(
            &identity("acme/press-1"),
            &csr,
            validity(),
            &SystemRandom::new(),
        )
        .unwrap();

    let der = der(&issued.pem);
    let peer = read_peer(&der).unwrap();
    assert_eq!(peer.identity, identity("acme/press-1"));
    assert_eq!(peer.serial, issued.serial);
    assert_eq!(peer.not_after, issued.not_after);
    assert_eq!(peer.public_key.as_bytes()[..], *key.der_bytes());

    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let ca_der = self::der(ca.certificate_pem());
    let (_, issuer) = X509Certificate::from_der(&ca_der).unwrap();
    certificate
        .verify_signature(Some(issuer.public_key()))
        .unwrap();
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && usage.server_auth && !usage.any);
    let names = &certificate
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names;
    assert_eq!(format!("{}", names[0]), "DNSName(press-1.acme.espalier)");
    assert_eq!(names.len(), 1);
}

/// Asks for everything that would make it an authority, another device and the cloud itself.
#[test]
fn a_greedy_request_gets_nothing_but_its_key() {
    let cloud = cloud();
    let ca = ca(&cloud);
    let mut greedy =
        CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    greedy.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    greedy
        .distinguished_name
        .push(DnType::CommonName, "acme/press-9");
    greedy
        .distinguished_name
        .push(DnType::OrganizationName, "acme");
    greedy.subject_alt_names.push(SanType::DnsName(
        "press-9.acme.espalier".try_into().unwrap(),
    ));
    let (_, csr) = request(&greedy);
    let issued = ca
        .issue_device(
            &identity("acme/press-1"),
            &csr,
            validity(),
            &SystemRandom::new(),
        )
        .unwrap();

    let der = der(&issued.pem);
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(certificate.subject().to_string(), "CN=acme/press-1");
    assert!(!certificate.is_ca());
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign());
    let names = &certificate
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names;
    assert_eq!(format!("{names:?}"), "[DNSName(\"press-1.acme.espalier\")]");
}

#[test]
fn requests_that_prove_nothing_are_refused() {
    let cloud = cloud();
    let ca = ca(&cloud);
    let ask = |csr: &str| {
        ca.issue_device(
            &identity("acme/press-1"),
            csr,
            validity(),
            &SystemRandom::new(),
        )
    };

    assert!(matches!(ask(""), Err(CaError::BadRequest(_))));
    assert!(matches!(
        ask(&"A".repeat(20_000)),
        Err(CaError::BadRequest(_))
    ));

    let (_, csr) = request(&CertificateParams::default());
    let mut bytes = rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(csr.as_bytes())
        .unwrap()
        .to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let stolen = rcgen_pem("CERTIFICATE REQUEST", &bytes);
    assert!(
        matches!(ask(&stolen), Err(CaError::BadRequest(_))),
        "its signature does not hold"
    );

    let p256 = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let csr = CertificateParams::default()
        .serialize_request(&p256)
        .unwrap()
        .pem()
        .unwrap();
    assert!(matches!(ask(&csr), Err(CaError::WrongKeyKind)));
}

fn rcgen_pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

#[test]
fn a_door_certificate_carries_its_hosts_and_addresses_and_names_no_device() {
    let cloud = cloud();
    let ca = ca(&cloud);
    let names = ["localhost", "127.0.0.1", "::1", "cloud.example"].map(str::to_owned);
    let issued = ca
        .issue_server(&names, validity(), &SystemRandom::new())
        .unwrap();
    assert!(issued.key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert!(matches!(
        read_peer(&der(&issued.pem)),
        Err(CaError::NotADevice(_))
    ));

    let bad = ca.issue_server(&["two words".to_owned()], validity(), &SystemRandom::new());
    assert!(matches!(bad, Err(CaError::BadName(_))));
}

#[test]
fn a_ca_is_taken_up_with_its_own_key_only() {
    let cloud = cloud();
    let pem = ca(&cloud).certificate_pem().to_owned();
    let reopened = DeviceCa::open(&pem, cloud.online.device_ca.clone()).unwrap();
    let (_, csr) = request(&CertificateParams::default());
    let issued = reopened
        .issue_device(
            &identity("acme/press-1"),
            &csr,
            validity(),
            &SystemRandom::new(),
        )
        .unwrap();
    let (ca_der, device_der) = (der(&pem), der(&issued.pem));
    let (_, issuer) = X509Certificate::from_der(&ca_der).unwrap();
    let (_, certificate) = X509Certificate::from_der(&device_der).unwrap();
    certificate
        .verify_signature(Some(issuer.public_key()))
        .unwrap();
    assert_eq!(certificate.issuer(), issuer.subject());

    let other = DeviceCa::open(&pem, Arc::clone(&cloud.online.deployer));
    assert!(matches!(other, Err(CaError::ForeignCertificate)));
}

#[test]
fn serials_are_unique_and_have_one_text_each() {
    let cloud = cloud();
    let ca = ca(&cloud);
    let (key, csr) = request(&CertificateParams::default());
    let issue = || {
        ca.issue_device(
            &identity("acme/press-1"),
            &csr,
            validity(),
            &SystemRandom::new(),
        )
        .unwrap()
    };
    let (one, two) = (issue(), issue());
    assert_ne!(one.serial, two.serial);
    assert_eq!(one.serial.as_str().len(), 32);
    assert_eq!(
        one.public_key,
        PublicKey::from_bytes(key.der_bytes().try_into().unwrap())
    );
    assert_eq!(Serial::from_bytes(&[0, 0, 10]), Serial::from_bytes(&[10]));
    assert_eq!(Serial::from_bytes(&[]).as_str(), "0");
    assert_eq!(Serial::parse(one.serial.as_str()).unwrap(), one.serial);
    assert_eq!(Serial::parse("a").unwrap(), Serial::from_bytes(&[10]));
    for wrong in ["", "0a", "A", "xy", "-1"] {
        assert!(
            matches!(Serial::parse(wrong), Err(CaError::BadSerial(_))),
            "{wrong}"
        );
    }
}

/// So a lost answer is given again from what is on record, and nothing else has to be kept of it.
#[test]
fn a_certificate_is_the_same_whenever_it_is_given() {
    let cloud = cloud();
    let (key, csr) = request(&CertificateParams::default());
    let device = identity("acme/press-1");
    let issued = ca(&cloud)
        .issue_device(&device, &csr, validity(), &SystemRandom::new())
        .unwrap();
    let key = PublicKey::from_bytes(key.der_bytes().try_into().unwrap());
    let reopened = ca(&cloud).certificate_pem().to_owned();
    let reopened = DeviceCa::open(&reopened, cloud.online.device_ca.clone()).unwrap();
    let again = reopened.certify(&device, &key, &issued.serial, validity());
    assert_eq!(again.unwrap(), issued.pem);
}
