//! Who a device is: its key, which never leaves it, and what enrolment gave it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use espalier_protocol::claim::Uplink;
use espalier_protocol::enrol::Role;
use espalier_protocol::trust::{KeyError, SigningKey, TrustLevel};
use espalier_protocol::{DeviceClassName, DeviceIdentity, DeviceName};
use espalier_slots::Files;
use espalier_slots::record::{Kept, RecordError};
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};

use crate::certificate::{Certificate, CertificateError};
use crate::tls::{Credential, Shown, TlsError};

/// Where the parts of an agent's state lie.
#[derive(Debug, Clone)]
pub struct StateFolder(PathBuf);

impl StateFolder {
    /// The state folder at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The record of the device's key and certificate; readable by its owner only.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.0.join("identity")
    }

    /// The store of slots, content and trust.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    /// Reports that are not acknowledged yet.
    #[must_use]
    pub fn outbox(&self) -> PathBuf {
        self.0.join("outbox")
    }
}

/// Why a device has no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The record is damaged, or the disk refused.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The key is not one.
    #[error("the device's key cannot be used: enrol the device again")]
    Key(#[from] KeyError),
    /// The certificate is not one.
    #[error("the device's certificate cannot be used: {0}")]
    Certificate(#[from] CertificateError),
    /// The certificate does not belong to the key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The state folder cannot be made.
    #[error("cannot make the state folder {0}")]
    Folder(PathBuf, #[source] std::io::Error),
}

#[derive(Serialize, Deserialize, Clone)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum IdentityFile {
    /// The key was made; the cloud was asked, or is about to be. A repeated enrolment uses the same key.
    Pending { key: String },
    /// The cloud answered.
    Enrolled { key: String, facts: Box<Papers> },
}

/// What enrolment gave, as it lies on the disk.
#[derive(Serialize, Deserialize, Clone)]
struct Papers {
    #[serde(flatten)]
    facts: Facts,
    /// The certificate, then the chain (PEM): the one part that changes.
    certificate_pem: String,
}

/// What is known about an enrolled device besides its key and its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Who it is.
    pub identity: DeviceIdentity,
    /// What builds are made for it.
    pub class: DeviceClassName,
    /// What it is in its site.
    pub role: Role,
    /// The authority of doors, broker and devices (PEM).
    pub ca_pem: String,
    /// Whom it talks to.
    pub uplink: Uplink,
    /// How far the keys are to be trusted.
    pub trust: TrustLevel,
    /// The gateway that it was enrolled through, as the cloud has it on record.
    pub gateway: Option<DeviceName>,
}

/// An enrolled device. Clones are one device: a certificate that one of them is given is shown by all.
#[derive(Clone)]
pub struct Identity {
    kept: Kept<IdentityFile>,
    key: Arc<SigningKey>,
    pkcs8: Arc<[u8]>,
    facts: Arc<Facts>,
    shown: Arc<Shown>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Identity({}, key {})",
            self.facts.identity,
            self.key.public().id()
        )
    }
}

impl Identity {
    /// The identity in a state folder, or `None` when the device was not enrolled.
    ///
    /// # Errors
    /// When there is one and it cannot be read.
    pub fn load(files: Arc<dyn Files>, state: &StateFolder) -> Result<Option<Self>, IdentityError> {
        let kept = Kept::<IdentityFile>::new(files, state.identity());
        match kept.read()? {
            Some(IdentityFile::Enrolled { key, facts }) => {
                let certificate = Certificate::read(&facts.certificate_pem)?;
                Ok(Some(Self::new(
                    kept,
                    decode(&key)?,
                    facts.facts,
                    certificate,
                )?))
            }
            Some(IdentityFile::Pending { .. }) | None => Ok(None),
        }
    }

    fn new(
        kept: Kept<IdentityFile>,
        pkcs8: Vec<u8>,
        facts: Facts,
        certificate: Certificate,
    ) -> Result<Self, IdentityError> {
        Ok(Self {
            kept,
            key: Arc::new(SigningKey::from_pkcs8(&pkcs8)?),
            shown: Arc::new(Shown::new(Credential::new(certificate, &pkcs8)?)),
            pkcs8: pkcs8.into(),
            facts: Arc::new(facts),
        })
    }

    /// What is known about the device.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Who it is.
    #[must_use]
    pub fn device(&self) -> &DeviceIdentity {
        &self.facts.identity
    }

    /// What it signs its reports with.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The certificate that it shows in its next handshake.
    #[must_use]
    pub fn certificate(&self) -> Certificate {
        self.shown.certificate()
    }

    pub(crate) fn shown(&self) -> Arc<Shown> {
        self.shown.clone()
    }

    /// Makes its next certificate durable, then shows it. What is shown is on the disk, so that no start goes back.
    pub(crate) fn renew(&self, certificate: Certificate) -> Result<(), IdentityError> {
        let credential = Credential::new(certificate.clone(), &self.pkcs8)?;
        self.keep(&certificate)?;
        self.shown.replace(credential);
        Ok(())
    }

    fn keep(&self, certificate: &Certificate) -> Result<(), IdentityError> {
        let facts = Papers {
            facts: Facts::clone(&self.facts),
            certificate_pem: certificate.pem().to_owned(),
        };
        Ok(self.kept.write(&IdentityFile::Enrolled {
            key: STANDARD.encode(&self.pkcs8),
            facts: Box::new(facts),
        })?)
    }

    pub(crate) fn ca_pem(&self) -> &str {
        &self.facts.ca_pem
    }
}

fn decode(key: &str) -> Result<Vec<u8>, IdentityError> {
    Ok(STANDARD.decode(key).map_err(|_| KeyError::PrivateKey)?)
}

/// The record of a device's identity while it is being made.
pub(crate) struct Draft {
    kept: Kept<IdentityFile>,
    pkcs8: Vec<u8>,
}

impl Draft {
    /// The key of an earlier try, or a new one, durable before anybody hears of it.
    pub(crate) fn begin(
        files: Arc<dyn Files>,
        state: &StateFolder,
        random: &dyn SecureRandom,
    ) -> Result<Self, IdentityError> {
        files
            .create_folder(state.path())
            .map_err(|source| IdentityError::Folder(state.path().to_owned(), source))?;
        let kept = Kept::new(files, state.identity());
        let pkcs8 = match kept.read()? {
            Some(IdentityFile::Pending { key } | IdentityFile::Enrolled { key, .. }) => {
                decode(&key)?
            }
            None => {
                let (_, pkcs8) = SigningKey::generate(random)?;
                let key = STANDARD.encode(&pkcs8);
                kept.write(&IdentityFile::Pending { key })?;
                pkcs8
            }
        };
        Ok(Self { kept, pkcs8 })
    }

    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Makes the identity durable that this key, `facts` and a certificate make: from now on the device is enrolled.
    pub(crate) fn keep(
        self,
        facts: Facts,
        certificate: Certificate,
    ) -> Result<Identity, IdentityError> {
        let identity = Identity::new(self.kept, self.pkcs8, facts, certificate.clone())?;
        identity.keep(&certificate)?;
        Ok(identity)
    }
}
