//! TLS with `ring`, always named explicitly: a process may have several providers linked and none installed.
//!
//! Whatever a device opens shows the certificate that its [`Identity`] holds *then*: a renewed one is shown from the next
//! handshake on, without a configuration being made anew, and open connections go on with the one that they began with.

use std::sync::{Arc, PoisonError, RwLock};

use espalier_protocol::claim::Uplink;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};

use crate::{Certificate, Identity};

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM, or none in it.
    #[error("the {what} cannot be read as PEM certificates")]
    Pem {
        /// Which certificates.
        what: &'static str,
    },
    /// rustls refuses them.
    #[error("the {what} cannot be used for TLS")]
    Refused {
        /// Which certificates.
        what: &'static str,
        /// Why.
        source: rustls::Error,
    },
    /// No verifier can be made of the authority.
    #[error("the certificate authority cannot be used to verify clients")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub(crate) fn certificates(
    what: &'static str,
    pem: &str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| TlsError::Pem { what })?;
    if found.is_empty() {
        Err(TlsError::Pem { what })
    } else {
        Ok(found)
    }
}

fn roots(ca_pem: &str) -> Result<Arc<RootCertStore>, TlsError> {
    let what = "certificate authority";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(what, ca_pem)? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::Refused { what, source })?;
    }
    Ok(Arc::new(roots))
}

/// A certificate with its key, as handshakes need them.
#[derive(Debug)]
pub(crate) struct Credential {
    certificate: Certificate,
    certified: Arc<CertifiedKey>,
}

impl Credential {
    /// Puts a certificate and a key (PKCS#8) together.
    ///
    /// # Errors
    /// When they do not belong together.
    pub(crate) fn new(certificate: Certificate, pkcs8: &[u8]) -> Result<Self, TlsError> {
        let what = "device's certificate";
        let chain = certificates(what, certificate.pem())?;
        let key = PrivatePkcs8KeyDer::from(pkcs8.to_vec()).into();
        let certified = CertifiedKey::from_der(chain, key, &provider())
            .map_err(|source| TlsError::Refused { what, source })?;
        Ok(Self {
            certificate,
            certified: Arc::new(certified),
        })
    }
}

/// What a device shows in its next handshake.
#[derive(Debug)]
pub(crate) struct Shown(RwLock<Credential>);

impl Shown {
    pub(crate) fn new(credential: Credential) -> Self {
        Self(RwLock::new(credential))
    }

    pub(crate) fn certificate(&self) -> Certificate {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .certificate
            .clone()
    }

    pub(crate) fn replace(&self, credential: Credential) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = credential;
    }

    fn certified(&self) -> Arc<CertifiedKey> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .certified
            .clone()
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }
}

/// Whether the first certificate of a chain was issued to a client by the authority, at a time at which both hold.
pub(crate) fn verify(chain_pem: &str, ca_pem: &str, at: UnixTime) -> Result<(), TlsError> {
    let what = "device's certificate";
    let chain = certificates(what, chain_pem)?;
    let clients =
        WebPkiClientVerifier::builder_with_provider(roots(ca_pem)?, provider()).build()?;
    let (first, rest) = chain.split_first().ok_or(TlsError::Pem { what })?;
    clients
        .verify_client_cert(first, rest, at)
        .map(drop)
        .map_err(|source| TlsError::Refused { what, source })
}

/// For a device that has no certificate yet: it verifies the other side by the claim's authority alone.
///
/// # Errors
/// When the authority cannot be used.
pub fn anonymous_client(ca_pem: &str) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Refused {
            what: "protocol versions",
            source,
        })?;
    Ok(builder
        .with_root_certificates(roots(ca_pem)?)
        .with_no_client_auth())
}

/// For an enrolled device that dials its cloud or gateway.
///
/// # Errors
/// When the certificates cannot be used.
pub fn client(identity: &Identity) -> Result<ClientConfig, TlsError> {
    client_of(identity, identity.ca_pem())
}

/// For an enrolled device that dials its broker, which may have an authority of its own.
///
/// # Errors
/// When the certificates cannot be used.
pub fn broker_client(identity: &Identity) -> Result<ClientConfig, TlsError> {
    let own = match &identity.facts().uplink {
        Uplink::Cloud { broker_ca_pem, .. } => broker_ca_pem.as_deref(),
        Uplink::Gateway { .. } => None,
    };
    client_of(identity, own.unwrap_or(identity.ca_pem()))
}

fn client_of(identity: &Identity, ca_pem: &str) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Refused {
            what: "protocol versions",
            source,
        })?;
    let mut config = builder
        .with_root_certificates(roots(ca_pem)?)
        .with_client_cert_resolver(identity.shown());
    // A session that is resumed goes on with the certificate of its first handshake.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// For a gateway's LAN door: its own device certificate, and client certificates of the same authority. A client without
/// one is let in, because it may want to enrol; the door's other routes must ask for it.
///
/// # Errors
/// When the certificates cannot be used.
pub fn relay_server(identity: &Identity) -> Result<ServerConfig, TlsError> {
    let clients =
        WebPkiClientVerifier::builder_with_provider(roots(identity.ca_pem())?, provider())
            .allow_unauthenticated()
            .build()?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Refused {
            what: "protocol versions",
            source,
        })?;
    Ok(builder
        .with_client_cert_verifier(clients)
        .with_cert_resolver(identity.shown()))
}
