//! Builds.

use actix_web::{HttpResponse, get, post, web};
use espalier_api::{
    build::{BuildPage, BuildQuery, BuildView, CreateBuild},
    problem::Problem,
};
use espalier_protocol::id::BuildId;

use super::Shared;
use crate::{principal::Operator, refusal::Outcome, usecase};

/// Asks the forge for a build
#[utoipa::path(tag = "builds", request_body = CreateBuild,
    responses((status = 201, body = BuildView), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
#[post("/builds")]
pub async fn create_build(
    cloud: Shared,
    who: Operator,
    body: web::Json<CreateBuild>,
) -> Outcome<HttpResponse> {
    let build = usecase::create_build(&cloud, &who, body.into_inner()).await?;
    Ok(HttpResponse::Created().json(build))
}

/// Lists builds, newest first
#[utoipa::path(tag = "builds", params(BuildQuery), responses((status = 200, body = BuildPage)))]
#[get("/builds")]
pub async fn list_builds(
    cloud: Shared,
    who: Operator,
    query: web::Query<BuildQuery>,
) -> Outcome<web::Json<BuildPage>> {
    usecase::list_builds(&cloud, &who, &query)
        .await
        .map(web::Json)
}

/// Shows a build with its progress and its evaluation report
#[utoipa::path(tag = "builds", params(("id" = uuid::Uuid, Path, description = "The build's id")),
    responses((status = 200, body = BuildView), (status = 404, body = Problem)))]
#[get("/builds/{id}")]
pub async fn show_build(
    cloud: Shared,
    who: Operator,
    id: web::Path<BuildId>,
) -> Outcome<web::Json<BuildView>> {
    usecase::show_build(&cloud, &who, *id).await.map(web::Json)
}

/// Cancels a build that is queued or running
#[utoipa::path(tag = "builds", params(("id" = uuid::Uuid, Path, description = "The build's id")),
    responses((status = 200, body = BuildView), (status = 404, body = Problem), (status = 409, body = Problem)))]
#[post("/builds/{id}/cancel")]
pub async fn cancel_build(
    cloud: Shared,
    who: Operator,
    id: web::Path<BuildId>,
) -> Outcome<web::Json<BuildView>> {
    usecase::cancel_build(&cloud, &who, *id)
        .await
        .map(web::Json)
}
