//! Releases, and the targets that a signer starts from.

use actix_web::{HttpResponse, get, post, web};
use espalier_api::{
    page::PageQuery,
    problem::Problem,
    release::{
        BundleSignatures, CreateRelease, ReleasePage, ReleaseSignature, ReleaseView,
        SigningRequestView,
    },
    tuf::TufTargetsView,
};
use espalier_protocol::{DeviceClassName, id::ReleaseId};

use super::Shared;
use crate::{principal::Operator, refusal::Outcome, usecase};

/// Drafts a release of builds that passed their gates
#[utoipa::path(tag = "releases", request_body = CreateRelease,
    responses((status = 201, body = ReleaseView), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
#[post("/releases")]
pub async fn draft_release(
    cloud: Shared,
    who: Operator,
    body: web::Json<CreateRelease>,
) -> Outcome<HttpResponse> {
    let release = usecase::draft_release(&cloud, &who, body.into_inner()).await?;
    Ok(HttpResponse::Created().json(release))
}

/// Lists releases, newest first
#[utoipa::path(tag = "releases", params(PageQuery), responses((status = 200, body = ReleasePage)))]
#[get("/releases")]
pub async fn list_releases(
    cloud: Shared,
    who: Operator,
    page: web::Query<PageQuery>,
) -> Outcome<web::Json<ReleasePage>> {
    usecase::list_releases(&cloud, &who, &page)
        .await
        .map(web::Json)
}

/// Shows a release
#[utoipa::path(tag = "releases", params(("id" = uuid::Uuid, Path, description = "The release's id")),
    responses((status = 200, body = ReleaseView), (status = 404, body = Problem)))]
#[get("/releases/{id}")]
pub async fn show_release(
    cloud: Shared,
    who: Operator,
    id: web::Path<ReleaseId>,
) -> Outcome<web::Json<ReleaseView>> {
    usecase::show_release(&cloud, &who, *id)
        .await
        .map(web::Json)
}

/// Gives what a signer needs
///
/// The release document and the deployer's keys, byte by byte as the next targets must name them, and the
/// manifests of the bundles, each of which needs a signature of its own first.
#[utoipa::path(tag = "releases", params(("id" = uuid::Uuid, Path, description = "The release's id")),
    responses((status = 200, body = SigningRequestView), (status = 404, body = Problem)))]
#[get("/releases/{id}/signing-request")]
pub async fn signing_request(
    cloud: Shared,
    who: Operator,
    id: web::Path<ReleaseId>,
) -> Outcome<web::Json<SigningRequestView>> {
    usecase::signing_request(&cloud, &who, *id)
        .await
        .map(web::Json)
}

/// Takes the bundles' own signatures
///
/// By the OpenSSF Model Signing specification, so that anybody can verify a bundle without Espalier. The cloud checks
/// that each signature is whole and of that very bundle, and hands it out with it. They can be handed in again
/// until the release is signed.
#[utoipa::path(tag = "releases", params(("id" = uuid::Uuid, Path, description = "The release's id")), request_body = BundleSignatures,
    responses((status = 200, body = ReleaseView), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
#[post("/releases/{id}/bundle-signatures")]
pub async fn sign_bundles(
    cloud: Shared,
    who: Operator,
    id: web::Path<ReleaseId>,
    body: web::Json<BundleSignatures>,
) -> Outcome<web::Json<ReleaseView>> {
    usecase::sign_bundles(&cloud, &who, *id, body.into_inner())
        .await
        .map(web::Json)
}

/// Takes a signature
///
/// The next targets, signed by the release keys. The cloud checks them against its root and signs
/// the snapshot and the timestamp that name them. The bundles' own signatures come before.
#[utoipa::path(tag = "releases", params(("id" = uuid::Uuid, Path, description = "The release's id")), request_body = ReleaseSignature,
    responses((status = 200, body = ReleaseView), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
#[post("/releases/{id}/signature")]
pub async fn sign_release(
    cloud: Shared,
    who: Operator,
    id: web::Path<ReleaseId>,
    body: web::Json<ReleaseSignature>,
) -> Outcome<web::Json<ReleaseView>> {
    usecase::sign_release(&cloud, &who, *id, body.into_inner())
        .await
        .map(web::Json)
}

/// Downloads a file of a bundle
///
/// `manifest.json`, every file that it lists, and `model.sig`, the bundle's own signature once there is one.
#[utoipa::path(tag = "releases", params(("id" = uuid::Uuid, Path, description = "The release's id"),
    ("class" = String, Path, description = "The device class"), ("path" = String, Path, description = "The file's path in the bundle")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = 404, body = Problem)))]
#[get("/releases/{id}/bundles/{class}/{path:.+}")]
pub async fn release_file(
    cloud: Shared,
    who: Operator,
    file: web::Path<(ReleaseId, DeviceClassName, String)>,
) -> Outcome<HttpResponse> {
    let (id, class, path) = file.into_inner();
    let stream = usecase::release_file(&cloud, &who, id, &class, &path).await?;
    Ok(HttpResponse::Ok()
        .content_type("application/octet-stream")
        .streaming(stream))
}

/// Gives the signed metadata that the next targets are made from
#[utoipa::path(tag = "releases", responses((status = 200, body = TufTargetsView)))]
#[get("/tuf/targets")]
pub async fn current_targets(cloud: Shared, who: Operator) -> Outcome<web::Json<TufTargetsView>> {
    usecase::current_targets(&cloud, &who).await.map(web::Json)
}
