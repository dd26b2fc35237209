use actix_web::{post, web};
use espalier_protocol::{
    DeviceIdentity, DeviceName, Tenant,
    renew::{MAX_RENEWAL_BYTES, Renewed},
};

use super::Caller;
use crate::{cloud::Cloud, http::problem, refusal::Outcome, usecase};

/// Gives a device its next certificate. The connection is the device's own, or its gateway's.
#[post("/{tenant}/{device}/renew")]
pub async fn renew(
    cloud: web::Data<Cloud>,
    caller: Caller,
    device: web::Path<(Tenant, DeviceName)>,
    body: web::Payload,
) -> Outcome<web::Json<Renewed>> {
    let (tenant, device) = device.into_inner();
    let device = DeviceIdentity::new(tenant, device);
    let request = problem::read_bytes(body, MAX_RENEWAL_BYTES).await?;
    usecase::renew(&cloud, &caller, &device, &request)
        .await
        .map(web::Json)
}
