//! Rollouts.

use actix_web::{HttpResponse, get, post, web};
use espalier_api::{
    event::FleetEventPage,
    page::PageQuery,
    problem::Problem,
    rollout::{AssignmentPage, CreateRollout, RolloutPage, RolloutView},
};
use espalier_domain::rollout::Verb;
use espalier_protocol::id::RolloutId;

use super::Shared;
use crate::{principal::Operator, refusal::Outcome, usecase};

/// Creates a rollout
///
/// Policy and stages are fixed here. Devices are enlisted when it is started: which device is in which stage never
/// changes from then on.
#[utoipa::path(tag = "rollouts", request_body = CreateRollout,
    responses((status = 201, body = RolloutView), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
#[post("/rollouts")]
pub async fn create_rollout(
    cloud: Shared,
    who: Operator,
    body: web::Json<CreateRollout>,
) -> Outcome<HttpResponse> {
    let rollout = usecase::create_rollout(&cloud, &who, body.into_inner()).await?;
    Ok(HttpResponse::Created().json(rollout))
}

/// Lists rollouts, newest first
#[utoipa::path(tag = "rollouts", params(PageQuery), responses((status = 200, body = RolloutPage)))]
#[get("/rollouts")]
pub async fn list_rollouts(
    cloud: Shared,
    who: Operator,
    page: web::Query<PageQuery>,
) -> Outcome<web::Json<RolloutPage>> {
    usecase::list_rollouts(&cloud, &who, &page)
        .await
        .map(web::Json)
}

/// Shows a rollout with its stages, counts and allowed actions
#[utoipa::path(tag = "rollouts", params(("id" = uuid::Uuid, Path, description = "The rollout's id")),
    responses((status = 200, body = RolloutView), (status = 404, body = Problem)))]
#[get("/rollouts/{id}")]
pub async fn show_rollout(
    cloud: Shared,
    who: Operator,
    id: web::Path<RolloutId>,
) -> Outcome<web::Json<RolloutView>> {
    usecase::show_rollout(&cloud, &who, *id)
        .await
        .map(web::Json)
}

/// Lists the assignments of a rollout
#[utoipa::path(tag = "rollouts", params(("id" = uuid::Uuid, Path, description = "The rollout's id"), PageQuery),
    responses((status = 200, body = AssignmentPage), (status = 404, body = Problem)))]
#[get("/rollouts/{id}/assignments")]
pub async fn list_assignments(
    cloud: Shared,
    who: Operator,
    id: web::Path<RolloutId>,
    page: web::Query<PageQuery>,
) -> Outcome<web::Json<AssignmentPage>> {
    usecase::list_assignments(&cloud, &who, *id, &page)
        .await
        .map(web::Json)
}

/// Lists what happened in a rollout, oldest first
#[utoipa::path(tag = "rollouts", params(("id" = uuid::Uuid, Path, description = "The rollout's id"), PageQuery),
    responses((status = 200, body = FleetEventPage), (status = 404, body = Problem)))]
#[get("/rollouts/{id}/events")]
pub async fn list_rollout_events(
    cloud: Shared,
    who: Operator,
    id: web::Path<RolloutId>,
    page: web::Query<PageQuery>,
) -> Outcome<web::Json<FleetEventPage>> {
    usecase::list_rollout_events(&cloud, &who, *id, &page)
        .await
        .map(web::Json)
}

/// Starts a rollout
#[utoipa::path(tag = "rollouts", params(("id" = uuid::Uuid, Path, description = "The rollout's id")),
    responses((status = 200, body = RolloutView), (status = 404, body = Problem), (status = 409, body = Problem)))]
#[post("/rollouts/{id}/start")]
pub async fn start_rollout(
    cloud: Shared,
    who: Operator,
    id: web::Path<RolloutId>,
) -> Outcome<web::Json<RolloutView>> {
    usecase::steer_rollout(&cloud, &who, *id, Verb::Start)
        .await
        .map(web::Json)
}

/// Pauses a rollout: no further device gets the release
#[utoipa::path(tag = "rollouts", params(("id" = uuid::Uuid, Path, description = "The rollout's id")),
    responses((status = 200, body = RolloutView), (status = 404, body = Problem), (status = 409, body = Problem)))]
#[post("/rollouts/{id}/pause")]
pub async fn pause_rollout(
    cloud: Shared,
    who: Operator,
    id: web::Path<RolloutId>,
) -> Outcome<web::Json<RolloutView>> {
    usecase::steer_rollout(&cloud, &who, *id, Verb::Pause)
        .await
        .map(web::Json)
}

/// Resumes a paused rollout
#[utoipa::path(tag = "rollouts", params(("id" = uuid::Uuid, Path, description = "The rollout's id")),
    responses((status = 200, body = RolloutView), (status = 404, body = Problem), (status = 409, body = Problem)))]
#[post("/rollouts/{id}/resume")]
pub async fn resume_rollout(
    cloud: Shared,
    who: Operator,
    id: web::Path<RolloutId>,
) -> Outcome<web::Json<RolloutView>> {
    usecase::steer_rollout(&cloud, &who, *id, Verb::Resume)
        .await
        .map(web::Json)
}

/// Aborts a rollout: devices keep what they run
#[utoipa::path(tag = "rollouts", params(("id" = uuid::Uuid, Path, description = "The rollout's id")),
    responses((status = 200, body = RolloutView), (status = 404, body = Problem), (status = 409, body = Problem)))]
#[post("/rollouts/{id}/abort")]
pub async fn abort_rollout(
    cloud: Shared,
    who: Operator,
    id: web::Path<RolloutId>,
) -> Outcome<web::Json<RolloutView>> {
    usecase::steer_rollout(&cloud, &who, *id, Verb::Abort)
        .await
        .map(web::Json)
}

/// Reverts a rollout: devices that took the release go back to the slot they kept
#[utoipa::path(tag = "rollouts", params(("id" = uuid::Uuid, Path, description = "The rollout's id")),
    responses((status = 200, body = RolloutView), (status = 404, body = Problem), (status = 409, body = Problem)))]
#[post("/rollouts/{id}/revert")]
pub async fn revert_rollout(
    cloud: Shared,
    who: Operator,
    id: web::Path<RolloutId>,
) -> Outcome<web::Json<RolloutView>> {
    usecase::steer_rollout(&cloud, &who, *id, Verb::Revert)
        .await
        .map(web::Json)
}
