//! TLS with `ring`, always named explicitly: a process may have several providers linked and none installed.

use std::sync::Arc;

use espalier_protocol::claim::Uplink;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::Identity;

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

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
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

fn key(identity: &Identity) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(identity.key_pkcs8().to_vec()).into()
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
    let what = "device's certificate";
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Refused { what, source })?;
    builder
        .with_root_certificates(roots(ca_pem)?)
        .with_client_auth_cert(
            certificates(what, identity.certificate_pem())?,
            key(identity),
        )
        .map_err(|source| TlsError::Refused { what, source })
}

/// For a gateway's LAN door: its own device certificate, and client certificates of the same authority. A client without
/// one is let in, because it may want to enrol; the door's other routes must ask for it.
///
/// # Errors
/// When the certificates cannot be used.
pub fn relay_server(identity: &Identity) -> Result<ServerConfig, TlsError> {
    let what = "gateway's certificate";
    let clients =
        WebPkiClientVerifier::builder_with_provider(roots(identity.ca_pem())?, provider())
            .allow_unauthenticated()
            .build()?;
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Refused { what, source })?
        .with_client_cert_verifier(clients)
        .with_single_cert(
            certificates(what, identity.certificate_pem())?,
            key(identity),
        )
        .map_err(|source| TlsError::Refused { what, source })
}
