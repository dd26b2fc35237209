//! Devices and the claims that they enrol with.

use actix_web::{HttpResponse, get, post, put, web};
use espalier_api::{
    claim::{ClaimView, CreateClaim},
    device::{DevicePage, DeviceView, SetLabels},
    event::FleetEventPage,
    page::PageQuery,
    problem::Problem,
};
use espalier_protocol::DeviceName;

use super::Shared;
use crate::{principal::Operator, refusal::Outcome, usecase};

/// Lists devices by name
#[utoipa::path(tag = "devices", params(PageQuery), responses((status = 200, body = DevicePage)))]
#[get("/devices")]
pub async fn list_devices(
    cloud: Shared,
    who: Operator,
    page: web::Query<PageQuery>,
) -> Outcome<web::Json<DevicePage>> {
    usecase::list_devices(&cloud, &who, &page)
        .await
        .map(web::Json)
}

/// Shows a device: what it is, what is wanted of it, what it signed that it runs
#[utoipa::path(tag = "devices", params(("name" = String, Path, description = "The device's name")),
    responses((status = 200, body = DeviceView), (status = 404, body = Problem)))]
#[get("/devices/{name}")]
pub async fn show_device(
    cloud: Shared,
    who: Operator,
    name: web::Path<DeviceName>,
) -> Outcome<web::Json<DeviceView>> {
    usecase::show_device(&cloud, &who, &name)
        .await
        .map(web::Json)
}

/// Lists what happened with a device, oldest first: its assignments, and what it refused
#[utoipa::path(tag = "devices", params(("name" = String, Path, description = "The device's name"), PageQuery),
    responses((status = 200, body = FleetEventPage), (status = 404, body = Problem)))]
#[get("/devices/{name}/events")]
pub async fn list_device_events(
    cloud: Shared,
    who: Operator,
    name: web::Path<DeviceName>,
    page: web::Query<PageQuery>,
) -> Outcome<web::Json<FleetEventPage>> {
    usecase::list_device_events(&cloud, &who, &name, &page)
        .await
        .map(web::Json)
}

/// Replaces the labels of a device
#[utoipa::path(tag = "devices", params(("name" = String, Path, description = "The device's name")), request_body = SetLabels,
    responses((status = 200, body = DeviceView), (status = 404, body = Problem), (status = 422, body = Problem)))]
#[put("/devices/{name}/labels")]
pub async fn set_labels(
    cloud: Shared,
    who: Operator,
    name: web::Path<DeviceName>,
    body: web::Json<SetLabels>,
) -> Outcome<web::Json<DeviceView>> {
    usecase::set_labels(&cloud, &who, &name, body.into_inner())
        .await
        .map(web::Json)
}

/// Revokes a device's certificate: no door opens for it any more
#[utoipa::path(tag = "devices", params(("name" = String, Path, description = "The device's name")),
    responses((status = 200, body = DeviceView), (status = 404, body = Problem)))]
#[post("/devices/{name}/revoke")]
pub async fn revoke_device(
    cloud: Shared,
    who: Operator,
    name: web::Path<DeviceName>,
) -> Outcome<web::Json<DeviceView>> {
    usecase::revoke_device(&cloud, &who, &name)
        .await
        .map(web::Json)
}

/// Ends a device's quarantine: its certificate opens doors again
///
/// A device is put into quarantine when two live agents are seen to hold its key. Make sure that only one is left, or
/// revoke the device.
#[utoipa::path(tag = "devices", params(("name" = String, Path, description = "The device's name")),
    responses((status = 200, body = DeviceView), (status = 404, body = Problem), (status = 409, body = Problem)))]
#[post("/devices/{name}/readmit")]
pub async fn readmit_device(
    cloud: Shared,
    who: Operator,
    name: web::Path<DeviceName>,
) -> Outcome<web::Json<DeviceView>> {
    usecase::readmit_device(&cloud, &who, &name)
        .await
        .map(web::Json)
}

/// Makes a claim, with which devices enrol
///
/// The secret in it is shown once. Bring the file to the device by hand or QR code: it holds the
/// first trust, and must not come over the network that it protects.
#[utoipa::path(tag = "devices", request_body = CreateClaim,
    responses((status = 201, body = ClaimView), (status = 404, body = Problem), (status = 422, body = Problem)))]
#[post("/claims")]
pub async fn make_claim(
    cloud: Shared,
    who: Operator,
    body: web::Json<CreateClaim>,
) -> Outcome<HttpResponse> {
    let claim = usecase::make_claim(&cloud, &who, body.into_inner()).await?;
    Ok(HttpResponse::Created().json(claim))
}
