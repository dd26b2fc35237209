//! Models, their versions, and the blobs that they are made of.

use actix_web::{HttpResponse, get, post, put, web};
use espalier_api::{
    model::{BlobView, CreateModelVersion, ModelPage, ModelVersionPage, ModelVersionView},
    page::PageQuery,
    problem::Problem,
};
use espalier_protocol::{Digest, ModelName, id::ModelVersionId};

use super::Shared;
use crate::{
    principal::Operator,
    refusal::{Outcome, Refusal},
    usecase,
};

/// Uploads one file of a model
///
/// The body is the file itself. It is kept under its SHA-256, which must be the one in the address;
/// sending the same bytes again changes nothing. A file may have 4 GiB.
#[utoipa::path(tag = "models", params(("digest" = String, Path, description = "SHA-256 of the body, lower-case hex")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = BlobView), (status = 413, body = Problem), (status = 422, body = Problem), (status = 507, body = Problem)))]
#[put("/blobs/{digest}")]
pub async fn upload_blob(
    cloud: Shared,
    who: Operator,
    digest: web::Path<String>,
    body: web::Payload,
) -> Outcome<web::Json<BlobView>> {
    let digest = parse_digest(&digest)?;
    usecase::upload_blob(&cloud, &who, digest, body)
        .await
        .map(web::Json)
}

/// Downloads a file that the cloud holds
#[utoipa::path(tag = "models", params(("digest" = String, Path, description = "SHA-256, lower-case hex")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = 404, body = Problem)))]
#[get("/blobs/{digest}")]
pub async fn download_blob(
    cloud: Shared,
    who: Operator,
    digest: web::Path<String>,
) -> Outcome<HttpResponse> {
    let digest = parse_digest(&digest)?;
    let stream = usecase::download_blob(&cloud, &who, digest).await?;
    Ok(HttpResponse::Ok()
        .content_type("application/octet-stream")
        .streaming(stream))
}

/// Imports a full model
///
/// The files were uploaded before, or the cloud fetches them from an address. The forge then
/// inspects the graphs, apart from everything else, before the version is there.
#[utoipa::path(tag = "models", params(("model" = String, Path, description = "The model's name")), request_body = CreateModelVersion,
    responses((status = 201, body = ModelVersionView), (status = 422, body = Problem)))]
#[post("/models/{model}/versions")]
pub async fn import_model(
    cloud: Shared,
    who: Operator,
    model: web::Path<ModelName>,
    body: web::Json<CreateModelVersion>,
) -> Outcome<HttpResponse> {
    let version =
        usecase::import_model(&cloud, &who, model.into_inner(), body.into_inner()).await?;
    Ok(HttpResponse::Created().json(version))
}

/// Lists models by name
#[utoipa::path(tag = "models", params(PageQuery), responses((status = 200, body = ModelPage)))]
#[get("/models")]
pub async fn list_models(
    cloud: Shared,
    who: Operator,
    page: web::Query<PageQuery>,
) -> Outcome<web::Json<ModelPage>> {
    usecase::list_models(&cloud, &who, &page)
        .await
        .map(web::Json)
}

/// Lists the versions of a model, newest first
#[utoipa::path(tag = "models", params(("model" = String, Path, description = "The model's name"), PageQuery),
    responses((status = 200, body = ModelVersionPage), (status = 404, body = Problem)))]
#[get("/models/{model}/versions")]
pub async fn list_model_versions(
    cloud: Shared,
    who: Operator,
    model: web::Path<ModelName>,
    page: web::Query<PageQuery>,
) -> Outcome<web::Json<ModelVersionPage>> {
    usecase::list_model_versions(&cloud, &who, &model, &page)
        .await
        .map(web::Json)
}

/// Shows a model version
#[utoipa::path(tag = "models", params(("id" = uuid::Uuid, Path, description = "The version's id")),
    responses((status = 200, body = ModelVersionView), (status = 404, body = Problem)))]
#[get("/model-versions/{id}")]
pub async fn show_model_version(
    cloud: Shared,
    who: Operator,
    id: web::Path<ModelVersionId>,
) -> Outcome<web::Json<ModelVersionView>> {
    usecase::show_model_version(&cloud, &who, *id)
        .await
        .map(web::Json)
}

fn parse_digest(text: &str) -> Outcome<Digest> {
    text.parse()
        .map_err(|error: espalier_protocol::digest::InvalidDigest| {
            Refusal::new(
                espalier_api::error::ErrorCode::MalformedParameter,
                format!("`{text}` is {error}."),
            )
        })
}
