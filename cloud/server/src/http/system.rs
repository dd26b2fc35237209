//! What machines ask without a token: alive, ready, how much, which version. None of it names a
//! device, a model or an address.

use actix_web::{HttpResponse, get, http::header, web};
use espalier_api::system::{ReadinessView, VersionView};
use utoipa_actix_web::service_config::ServiceConfig;

use super::Shared;
use crate::{refusal::Outcome, usecase};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(health)
        .service(ready)
        .service(metrics)
        .service(version);
}

/// Says that the process is alive
#[utoipa::path(tag = "system", security(()), responses((status = 200, body = String, content_type = "text/plain")))]
#[get("/healthz")]
async fn health() -> &'static str {
    "ok\n"
}

/// Says whether the server can do its work, part by part
#[utoipa::path(tag = "system", security(()), responses((status = 200, body = ReadinessView), (status = 503, body = ReadinessView)))]
#[get("/readyz")]
async fn ready(cloud: Shared) -> HttpResponse {
    let view = usecase::readiness(&cloud);
    let mut answer = if view.ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    answer
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(view)
}

/// Gives metrics in Prometheus' text format
#[utoipa::path(tag = "system", security(()), responses((status = 200, body = String, content_type = "text/plain")))]
#[get("/metrics")]
async fn metrics(cloud: Shared) -> Outcome<HttpResponse> {
    let text = cloud.metrics.text()?;
    Ok(HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(text))
}

/// Says what is running
#[utoipa::path(tag = "system", security(()), responses((status = 200, body = VersionView)))]
#[get("/version")]
async fn version(cloud: Shared) -> web::Json<VersionView> {
    web::Json(usecase::version(&cloud))
}

/// The page that every problem's `type` names.
pub(super) async fn error_codes() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/markdown; charset=utf-8")
        .body(include_str!("../../../../docs/errors.md"))
}
