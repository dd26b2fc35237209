//! The device door: HTTPS under the device CA. Enrolment is open to who has a claim; everything else
//! to devices whose certificate is on record and not revoked.

mod blobs;
mod caller;
mod enrol;
mod metadata;
mod renew;
mod tls;

pub use caller::{Caller, identify};
pub use tls::{DoorTlsError, remember_peer, server_config};

use actix_web::{
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::from_fn,
    web,
};
use espalier_protocol::enrol::MAX_ENROL_BYTES;
use tracing_actix_web::TracingLogger;

use crate::{cloud::Cloud, http::problem};

/// The whole device door as one app.
pub fn app(
    cloud: web::Data<Cloud>,
) -> actix_web::App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl actix_web::body::MessageBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let admitted = web::scope("")
        .wrap(from_fn(caller::admit))
        .service(metadata::metadata)
        .service(blobs::blob)
        .service(renew::renew);
    actix_web::App::new()
        .app_data(cloud)
        .app_data(problem::json_config().limit(MAX_ENROL_BYTES))
        .app_data(problem::path_config())
        .service(
            web::scope("/device/v1")
                .service(enrol::enrol)
                .service(admitted),
        )
        .default_service(web::to(problem::nothing_here))
        .wrap(TracingLogger::default())
}
