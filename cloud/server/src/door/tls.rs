//! TLS of the device door: the cloud shows a certificate of the device CA, and reads the caller's.

use std::{any::Any, sync::Arc};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{dev::Extensions, rt::net::TcpStream};
use espalier_trust::ca::{PeerCertificate, ServerCertificate, read_peer};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorTlsError {
    /// A certificate or key that does not parse.
    #[error("a certificate or key of the device door cannot be read: {0}")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// Certificate and key do not make a server.
    #[error("the device door's certificate cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// The CA cannot judge callers.
    #[error("the device CA cannot judge callers: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// TLS for a door that only certificates of `ca_pem` open. A caller without any may come in as far
/// as enrolment, where the claim decides.
///
/// # Errors
/// When certificate, key or CA are unusable.
pub fn server_config(
    certificate: &ServerCertificate,
    ca_pem: &str,
) -> Result<ServerConfig, DoorTlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes())?)?;
    let callers = WebPkiClientVerifier::builder(Arc::new(roots))
        .allow_unauthenticated()
        .build()?;
    let chain = CertificateDer::pem_slice_iter(certificate.pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes())?;
    Ok(ServerConfig::builder()
        .with_client_cert_verifier(callers)
        .with_single_cert(chain, key)?)
}

/// Puts the caller's certificate beside its connection, where handlers find it.
pub fn remember_peer(connection: &dyn Any, data: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<TlsStream<TcpStream>>() else {
        return;
    };
    let Some(leaf) = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first)
    else {
        return;
    };
    match read_peer(leaf) {
        Ok(peer) => drop(data.insert::<PeerCertificate>(peer)),
        Err(error) => tracing::debug!(%error, "a caller's certificate names no device"),
    }
}
