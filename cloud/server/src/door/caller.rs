//! Which device calls: the certificate of its connection, checked against the records at each call.

use std::future::{Ready, ready};

use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    middleware::Next,
    web,
};
use espalier_api::error::ErrorCode;
use espalier_protocol::DeviceIdentity;
use espalier_trust::ca::PeerCertificate;

use crate::{
    bridge::Known,
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// An enrolled device that is neither revoked nor in quarantine.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is.
    pub identity: DeviceIdentity,
    /// What the records say of it.
    pub known: Known,
}

/// Middleware: puts the [`Caller`] on the request, or answers 403.
///
/// # Errors
/// `certificate_refused`.
pub async fn admit(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let cloud = request.app_data::<web::Data<Cloud>>().cloned();
    let cloud = cloud.ok_or_else(|| Refusal::internal("no cloud is wired"))?;
    let peer = request.conn_data::<PeerCertificate>().cloned();
    let caller = identify(&cloud, peer.as_ref()).await?;
    request.extensions_mut().insert(caller);
    next.call(request).await
}

/// The device behind a certificate, as the records know it now.
///
/// # Errors
/// `certificate_refused` when there is no certificate, or none that is good here.
pub async fn identify(cloud: &Cloud, peer: Option<&PeerCertificate>) -> Outcome<Caller> {
    let peer = peer.ok_or_else(|| refused("This call needs a device certificate."))?;
    let known = cloud.directory.find(&peer.identity).await?;
    let known = known.filter(|known| known.admits(peer.serial.as_str()));
    let known = known.ok_or_else(|| {
        refused(format!(
            "The certificate of {} is unknown, revoked or in quarantine.",
            peer.identity
        ))
    })?;
    Ok(Caller {
        identity: peer.identity.clone(),
        known,
    })
}

fn refused(detail: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::CertificateRefused, detail)
        .with_hint("enrol the device with a new claim")
}

impl FromRequest for Caller {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let known = request.extensions().get::<Self>().cloned();
        ready(known.ok_or_else(|| refused("This call needs a device certificate.")))
    }
}
