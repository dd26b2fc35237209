//! A device's certificate, as the device itself reads it.

use std::time::Duration;

use espalier_protocol::DeviceIdentity;
use espalier_protocol::trust::PublicKey;
use jiff::Timestamp;
use rustls_pki_types::UnixTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::tls::{self, TlsError};

/// Why a certificate is not one that this device can use.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not a certificate of a device.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Of another device.
    #[error("it is the certificate of {0}")]
    OtherDevice(DeviceIdentity),
    /// For another key.
    #[error("it is for another key than this device's")]
    OtherKey,
    /// Signed by somebody else.
    #[error("it is not from the authority that this device knows")]
    OtherAuthority(#[source] TlsError),
}

/// What a device's certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pem: String,
    device: DeviceIdentity,
    key: PublicKey,
    serial: String,
    from: Timestamp,
    until: Timestamp,
}

impl Certificate {
    /// Reads the first certificate of a chain (PEM). Nothing in it is verified yet.
    ///
    /// # Errors
    /// [`CertificateError::Unreadable`].
    pub fn read(pem: &str) -> Result<Self, CertificateError> {
        let chain = tls::certificates("device's certificate", pem).map_err(unreadable)?;
        let der = chain.first().ok_or_else(|| unreadable("there is none"))?;
        let (_, certificate) = X509Certificate::from_der(der).map_err(unreadable)?;
        let mut names = certificate.subject().iter_common_name();
        let (Some(name), None) = (names.next(), names.next()) else {
            return Err(unreadable("it has not exactly one common name"));
        };
        let name = name.as_str().map_err(unreadable)?;
        let key = &certificate.public_key().subject_public_key.data[..];
        let key: [u8; 32] = key
            .try_into()
            .map_err(|_| unreadable("its key is not Ed25519"))?;
        let serial = hex::encode(certificate.raw_serial());
        let validity = certificate.validity();
        Ok(Self {
            pem: pem.to_owned(),
            device: name.parse().map_err(unreadable)?,
            key: PublicKey::from_bytes(key),
            serial: serial.trim_start_matches('0').to_owned(),
            from: moment(validity.not_before.timestamp())?,
            until: moment(validity.not_after.timestamp())?,
        })
    }

    /// Whether it makes this device known, with this key, to whoever trusts the authority. Whether it holds *now* is for
    /// the doors to say: a device's clock may be wrong.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn check(
        &self,
        device: &DeviceIdentity,
        key: &PublicKey,
        ca_pem: &str,
    ) -> Result<(), CertificateError> {
        if self.device != *device {
            return Err(CertificateError::OtherDevice(self.device.clone()));
        }
        if self.key != *key {
            return Err(CertificateError::OtherKey);
        }
        let since_1970 = Duration::from_secs(u64::try_from(self.from.as_second()).unwrap_or(0));
        let begin = UnixTime::since_unix_epoch(since_1970);
        tls::verify(&self.pem, ca_pem, begin).map_err(CertificateError::OtherAuthority)
    }

    /// The certificate, then the chain (PEM).
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its serial number: hex without leading zeros.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// When it ends.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// Whether it ended, by this clock.
    #[must_use]
    pub fn has_ended(&self, now: Timestamp) -> bool {
        now > self.until
    }

    /// Whether no more than this share of its life is left, by this clock.
    pub(crate) fn has_left(&self, share: f64, now: Timestamp) -> bool {
        let life = self.until.duration_since(self.from).as_secs_f64();
        self.until.duration_since(now).as_secs_f64() <= life * share
    }
}

fn moment(second: i64) -> Result<Timestamp, CertificateError> {
    Timestamp::from_second(second).map_err(unreadable)
}

fn unreadable(reason: impl std::fmt::Display) -> CertificateError {
    CertificateError::Unreadable(reason.to_string())
}
