//! The Open Inference Protocol's questions about health and models (`/v2`).

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use espalier_protocol::Digest;
use espalier_protocol::id::ModelVersionId;
use serde::Serialize;

use crate::host::Instance;
use crate::problem::Problem;
use crate::service::{ServeError, Service};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/v2/health/live", web::get().to(live))
        .route("/v2/health/ready", web::get().to(ready))
        .route("/v2/models", web::get().to(models))
        .route("/v2/models/{model}", web::get().to(model))
        .route("/v2/models/{model}/ready", web::get().to(model_ready));
}

/// A model's metadata; what the protocol does not name is ours.
#[derive(Serialize)]
struct ModelMetadata {
    name: String,
    versions: Vec<String>,
    platform: &'static str,
    task: &'static str,
    bundle_digest: Digest,
    release_digest: Option<Digest>,
    model_version: Option<ModelVersionId>,
    /// The execution providers of encoder and decoder.
    providers: Vec<&'static str>,
    answered: u64,
    latency_p50_ms: Option<f64>,
    latency_p95_ms: Option<f64>,
}

impl From<&Instance> for ModelMetadata {
    fn from(instance: &Instance) -> Self {
        let counted = instance.statistics().snapshot();
        Self {
            name: instance.model().to_string(),
            versions: vec![instance.bundle().to_string()],
            platform: "onnxruntime",
            task: "promptable-segmentation",
            bundle_digest: instance.bundle(),
            release_digest: instance.origin().release,
            model_version: instance.origin().model_version,
            providers: instance
                .segmenter()
                .placements()
                .map(|placement| placement.provider.name())
                .to_vec(),
            answered: counted.answered,
            latency_p50_ms: counted.p50_ms,
            latency_p95_ms: counted.p95_ms,
        }
    }
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "live": true }))
}

async fn ready(service: web::Data<Service>) -> HttpResponse {
    readiness(service.is_ready())
}

async fn models(service: web::Data<Service>) -> HttpResponse {
    let models: Vec<_> = service
        .host()
        .instances()
        .iter()
        .map(|instance| ModelMetadata::from(instance.as_ref()))
        .collect();
    HttpResponse::Ok().json(serde_json::json!({ "models": models }))
}

async fn model(
    service: web::Data<Service>,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(ModelMetadata::from(find(&service, &name)?.as_ref())))
}

async fn model_ready(
    service: web::Data<Service>,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    find(&service, &name)?;
    Ok(readiness(service.is_ready()))
}

fn find(service: &Service, name: &str) -> Result<Arc<Instance>, Problem> {
    service
        .host()
        .instance(name)
        .ok_or_else(|| ServeError::UnknownModel(name.to_owned()).into())
}

fn readiness(ready: bool) -> HttpResponse {
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    HttpResponse::build(status).json(serde_json::json!({ "ready": ready }))
}
