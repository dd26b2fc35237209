//! Who is at the other end: the name in the certificate that TLS verified, never what a request says.

use std::any::Any;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{HttpRequest, dev::Extensions, rt::net::TcpStream};
use espalier_protocol::DeviceIdentity;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The verified name of a connection's other end.
struct Peer(DeviceIdentity);

/// Notes the peer's name when a connection is made; one without a certificate gets none.
pub(super) fn remember(connection: &dyn Any, data: &mut Extensions) {
    let stream = connection.downcast_ref::<TlsStream<TcpStream>>();
    let certificate = stream.and_then(|tls| tls.get_ref().1.peer_certificates()?.first());
    if let Some(identity) = certificate.and_then(|der| common_name(der)) {
        data.insert(Peer(identity));
    }
}

/// The peer of a request's connection, if it showed a certificate.
pub(super) fn of(request: &HttpRequest) -> Option<&DeviceIdentity> {
    request.conn_data::<Peer>().map(|peer| &peer.0)
}

fn common_name(der: &[u8]) -> Option<DeviceIdentity> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let name = certificate
        .subject()
        .iter_common_name()
        .next()?
        .as_str()
        .ok()?;
    name.parse().ok()
}
