//! The device CA: which key belongs to which device, and which doors are the cloud's own.
//!
//! A certificate request proves that its sender holds a key, and nothing else of it is used: subject, names,
//! usages and constraints come from the cloud's records.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use espalier_protocol::DeviceIdentity;
use espalier_protocol::claim::gateway_dns_name;
use espalier_protocol::trust::PublicKey;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
    SigningKey, date_time_ymd,
};
use ring::rand::SecureRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::keys::{KeyError, KeySource};

/// Largest certificate request that is parsed; an honest one has under 500 bytes. Stops endless data.
pub const MAX_CSR_BYTES: usize = 16 * 1024;

/// Bytes of a new serial number.
const SERIAL_BYTES: usize = 16;

/// Why a certificate was not issued or not understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// The request is none, or its own signature does not hold.
    #[error("the certificate request cannot be used: {0}")]
    BadRequest(String),
    /// Another kind of key than a device may have.
    #[error(
        "the certificate request holds another key than Ed25519, which is the only kind that devices use"
    )]
    WrongKeyKind,
    /// The certificate on disk does not belong to the CA's key.
    #[error(
        "the CA certificate belongs to another key; restore the folder that it came from, or make a new CA"
    )]
    ForeignCertificate,
    /// No certificate, or one that names no device.
    #[error("this is no device certificate: {0}")]
    NotADevice(String),
    /// Text that is no serial number.
    #[error("`{0}` is no serial number of a certificate")]
    BadSerial(String),
    /// A name that no certificate can carry.
    #[error("`{0}` is neither a host name nor an address")]
    BadName(String),
    /// A key would not sign, or none could be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The encoder refused.
    #[error("the certificate could not be written: {0}")]
    Encoding(String),
}

/// From when to when a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From.
    pub not_before: Timestamp,
    /// Until.
    pub not_after: Timestamp,
}

/// A certificate's serial number, hex: what revocation names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(String);

impl Serial {
    /// From big-endian bytes; leading zeros are dropped, so that one number has one text.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let digits = hex::encode(bytes);
        let short = digits.trim_start_matches('0');
        Self(if short.is_empty() {
            "0".to_owned()
        } else {
            short.to_owned()
        })
    }

    /// A new one: random, so that it says nothing and cannot be guessed.
    ///
    /// # Errors
    /// [`CaError::Key`] when the machine gives no randomness.
    pub fn random(rng: &dyn SecureRandom) -> Result<Self, CaError> {
        let mut bytes = [0_u8; SERIAL_BYTES];
        rng.fill(&mut bytes).map_err(|_| KeyError::NoRandomness)?;
        // Positive and of full length: the top bit is a sign in DER, and a leading zero byte would be dropped.
        bytes[0] = (bytes[0] & 0x7f) | 0x40;
        Ok(Self::from_bytes(&bytes))
    }

    /// From its text, as it is on record.
    ///
    /// # Errors
    /// [`CaError::BadSerial`] when it is not hex.
    pub fn parse(text: &str) -> Result<Self, CaError> {
        let serial = Self(text.to_owned());
        match serial.bytes() {
            Ok(bytes) if Self::from_bytes(&bytes) == serial => Ok(serial),
            _ => Err(CaError::BadSerial(text.chars().take(100).collect())),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn bytes(&self) -> Result<Vec<u8>, hex::FromHexError> {
        let odd = self.0.len() % 2;
        hex::decode("0".repeat(odd) + &self.0)
    }
}

impl std::fmt::Display for Serial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A device's new certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCertificate {
    /// The certificate (PEM).
    pub pem: String,
    /// Its serial number.
    pub serial: Serial,
    /// The key that it names.
    pub public_key: PublicKey,
    /// When it ends.
    pub not_after: Timestamp,
}

/// A server's new certificate with its private key.
#[derive(Debug, Clone)]
pub struct ServerCertificate {
    /// The certificate (PEM).
    pub pem: String,
    /// The private key (PKCS#8, PEM).
    pub key_pem: String,
    /// When it ends.
    pub not_after: Timestamp,
}

/// What a verified peer certificate says. The TLS layer has checked its chain; this only reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Which device it names.
    pub identity: DeviceIdentity,
    /// Its serial number.
    pub serial: Serial,
    /// The key that it names.
    pub public_key: PublicKey,
    /// When it ends.
    pub not_after: Timestamp,
}

/// The authority behind devices, device door and broker.
#[derive(Debug)]
pub struct DeviceCa {
    certificate_pem: String,
    issuer: Issuer<'static, CaKey>,
}

impl DeviceCa {
    /// Makes a self-signed CA for `key`; its certificate travels with every claim.
    ///
    /// # Errors
    /// [`CaError::Key`].
    pub fn create(
        key: Arc<dyn KeySource>,
        validity: Validity,
        rng: &dyn SecureRandom,
    ) -> Result<Self, CaError> {
        let mut params = params("Espalier device CA", validity, &Serial::random(rng)?)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = CaKey::new(key);
        let certificate_pem = params.self_signed(&key).map_err(encoding)?.pem();
        Ok(Self {
            certificate_pem,
            issuer: Issuer::new(params, key),
        })
    }

    /// Takes up a CA that was made earlier.
    ///
    /// # Errors
    /// [`CaError::ForeignCertificate`] when `certificate_pem` names another key.
    pub fn open(certificate_pem: &str, key: Arc<dyn KeySource>) -> Result<Self, CaError> {
        let der = pem_contents(certificate_pem)?;
        let (_, certificate) = X509Certificate::from_der(&der).map_err(not_a_device)?;
        if certificate.public_key().subject_public_key.data[..] != key.public_key().as_bytes()[..] {
            return Err(CaError::ForeignCertificate);
        }
        let issuer =
            Issuer::from_ca_cert_pem(certificate_pem, CaKey::new(key)).map_err(encoding)?;
        Ok(Self {
            certificate_pem: certificate_pem.to_owned(),
            issuer,
        })
    }

    /// The CA's own certificate (PEM).
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Issues a certificate for the key in `csr_pem` to `identity`, under a new serial number.
    ///
    /// # Errors
    /// [`CaError::BadRequest`], [`CaError::WrongKeyKind`], [`CaError::Key`].
    pub fn issue_device(
        &self,
        identity: &DeviceIdentity,
        csr_pem: &str,
        validity: Validity,
        rng: &dyn SecureRandom,
    ) -> Result<DeviceCertificate, CaError> {
        let public_key = ed25519_key(&read_request(csr_pem)?)?;
        let serial = Serial::random(rng)?;
        let pem = self.certify(identity, &public_key, &serial, validity)?;
        Ok(DeviceCertificate {
            pem,
            serial,
            public_key,
            not_after: validity.not_after,
        })
    }

    /// The certificate (PEM) that `identity` holds for `key` under a serial number. The arguments determine its bytes,
    /// because Ed25519 signs without randomness: what is on record can be given again.
    ///
    /// It is good for both ends of TLS, because a device may be a gateway to others; the only name in it is
    /// under `.espalier`, so it can never stand for the cloud's own doors.
    ///
    /// # Errors
    /// [`CaError::BadSerial`], [`CaError::Key`].
    pub fn certify(
        &self,
        identity: &DeviceIdentity,
        key: &PublicKey,
        serial: &Serial,
        validity: Validity,
    ) -> Result<String, CaError> {
        let mut params = params(&identity.to_string(), validity, serial)?;
        params.subject_alt_names = vec![dns_name(&gateway_dns_name(identity))?];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let certificate = params.signed_by(&DeviceKey(key), &self.issuer);
        Ok(certificate.map_err(encoding)?.pem())
    }

    /// Issues a certificate with a new key to one of the cloud's own doors, for host names and addresses.
    ///
    /// # Errors
    /// [`CaError::BadName`], [`CaError::Key`].
    pub fn issue_server(
        &self,
        names: &[String],
        validity: Validity,
        rng: &dyn SecureRandom,
    ) -> Result<ServerCertificate, CaError> {
        let key = server_key(rng)?;
        let mut params = params("Espalier cloud", validity, &Serial::random(rng)?)?;
        params.subject_alt_names = names
            .iter()
            .map(|name| host_name(name))
            .collect::<Result<_, _>>()?;
        // A client, too: of a broker that is somebody else's.
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let pem = params
            .signed_by(&key, &self.issuer)
            .map_err(encoding)?
            .pem();
        Ok(ServerCertificate {
            pem,
            key_pem: key.serialize_pem(),
            not_after: validity.not_after,
        })
    }
}

/// Reads the identity out of a peer's certificate (DER) after TLS has verified its chain.
///
/// # Errors
/// [`CaError::NotADevice`] when it names no device of ours.
pub fn read_peer(der: &[u8]) -> Result<PeerCertificate, CaError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(not_a_device)?;
    let mut names = certificate.subject().iter_common_name();
    let (Some(name), None) = (names.next(), names.next()) else {
        return Err(not_a_device("it has not exactly one common name"));
    };
    let identity = name
        .as_str()
        .map_err(not_a_device)?
        .parse()
        .map_err(not_a_device)?;
    let key = &certificate.public_key().subject_public_key.data[..];
    let key: [u8; 32] = key
        .try_into()
        .map_err(|_| not_a_device("its key is not Ed25519"))?;
    let not_after = Timestamp::from_second(certificate.validity().not_after.timestamp())
        .map_err(not_a_device)?;
    Ok(PeerCertificate {
        identity,
        serial: Serial::from_bytes(certificate.raw_serial()),
        public_key: PublicKey::from_bytes(key),
        not_after,
    })
}

/// The CA's key as `rcgen` wants to see it.
struct CaKey {
    source: Arc<dyn KeySource>,
    public_key: PublicKey,
}

impl CaKey {
    fn new(source: Arc<dyn KeySource>) -> Self {
        let public_key = source.public_key();
        Self { source, public_key }
    }
}

impl PublicKeyData for CaKey {
    fn der_bytes(&self) -> &[u8] {
        self.public_key.as_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for CaKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.source
            .sign(message)
            .map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

/// A device's key as `rcgen` wants to see it.
struct DeviceKey<'a>(&'a PublicKey);

impl PublicKeyData for DeviceKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

fn params(
    common_name: &str,
    validity: Validity,
    serial: &Serial,
) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    // The epoch plus seconds, so that the crate behind `rcgen`'s time type need not be named here.
    params.not_before = date_time_ymd(1970, 1, 1) + seconds(validity.not_before);
    params.not_after = date_time_ymd(1970, 1, 1) + seconds(validity.not_after);
    let bytes = serial
        .bytes()
        .map_err(|_| CaError::BadSerial(serial.0.clone()))?;
    params.serial_number = Some(SerialNumber::from_slice(&bytes));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn seconds(since_epoch: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(since_epoch.as_second()).unwrap_or(0))
}

fn read_request(csr_pem: &str) -> Result<CertificateSigningRequestParams, CaError> {
    if csr_pem.len() > MAX_CSR_BYTES {
        return Err(CaError::BadRequest(format!(
            "{} bytes, at most {MAX_CSR_BYTES}",
            csr_pem.len()
        )));
    }
    CertificateSigningRequestParams::from_pem(csr_pem)
        .map_err(|reason| CaError::BadRequest(reason.to_string()))
}

fn ed25519_key(request: &CertificateSigningRequestParams) -> Result<PublicKey, CaError> {
    if request.public_key.algorithm() != &PKCS_ED25519 {
        return Err(CaError::WrongKeyKind);
    }
    let bytes: [u8; 32] = request
        .public_key
        .der_bytes()
        .try_into()
        .map_err(|_| CaError::WrongKeyKind)?;
    Ok(PublicKey::from_bytes(bytes))
}

/// P-256 for the doors: brokers and clients built on older TLS libraries cannot read an Ed25519 key file.
fn server_key(rng: &dyn SecureRandom) -> Result<KeyPair, CaError> {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, rng)
        .map_err(|_| KeyError::NoRandomness)?;
    let der = rustls_pki_types::PrivatePkcs8KeyDer::from(document.as_ref().to_vec());
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).map_err(encoding)
}

fn host_name(name: &str) -> Result<SanType, CaError> {
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => dns_name(name),
    }
}

fn dns_name(name: &str) -> Result<SanType, CaError> {
    let host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let bad = || CaError::BadName(name.chars().take(200).collect());
    if name.is_empty() || !name.chars().all(host) {
        return Err(bad());
    }
    name.try_into().map(SanType::DnsName).map_err(|_| bad())
}

fn pem_contents(text: &str) -> Result<Vec<u8>, CaError> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(text.as_bytes())
        .map(|der| der.to_vec())
        .map_err(not_a_device)
}

fn encoding(reason: rcgen::Error) -> CaError {
    CaError::Encoding(reason.to_string())
}

fn not_a_device(reason: impl std::fmt::Display) -> CaError {
    CaError::NotADevice(reason.to_string())
}
