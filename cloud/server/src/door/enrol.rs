use actix_web::{HttpRequest, post, web};
use espalier_protocol::enrol::{EnrolRequest, Enrolled};
use espalier_trust::ca::PeerCertificate;

use crate::{cloud::Cloud, refusal::Outcome, usecase};

/// Trades a claim and a certificate request for a certificate. A gateway's certificate on the
/// connection says that the device lives behind it.
#[post("/enrol")]
pub async fn enrol(
    cloud: web::Data<Cloud>,
    request: HttpRequest,
    body: web::Json<EnrolRequest>,
) -> Outcome<web::Json<Enrolled>> {
    let relay = request.conn_data::<PeerCertificate>();
    usecase::enrol(&cloud, body.into_inner(), relay)
        .await
        .map(web::Json)
}
