//! Signed metadata that a key ceremony hands in: roots, and targets without a new release.

use actix_web::{post, web};
use espalier_api::{
    problem::Problem,
    tuf::{PublishRoot, PublishTargets, TufTargetsView},
};

use super::Shared;
use crate::{principal::Operator, refusal::Outcome, usecase};

/// Takes the next root
///
/// Signed by enough holders of the current root and of the new one. The cloud checks the chain, and that it holds the
/// snapshot and timestamp keys that the new root names; then it publishes the root, the targets if they had to be
/// signed anew, and a snapshot and a timestamp by the new keys: all of it, or nothing.
#[utoipa::path(tag = "trust", request_body = PublishRoot,
    responses((status = 200, body = TufTargetsView), (status = 409, body = Problem), (status = 422, body = Problem)))]
#[post("/tuf/root")]
pub async fn publish_root(
    cloud: Shared,
    who: Operator,
    body: web::Json<PublishRoot>,
) -> Outcome<web::Json<TufTargetsView>> {
    usecase::publish_root(&cloud, &who, body.into_inner())
        .await
        .map(web::Json)
}

/// Takes the next targets without a new release
///
/// They name what the current ones name, and may name other deployer keys. The cloud signs the snapshot and the
/// timestamp that name them.
#[utoipa::path(tag = "trust", request_body = PublishTargets,
    responses((status = 200, body = TufTargetsView), (status = 409, body = Problem), (status = 422, body = Problem)))]
#[post("/tuf/targets")]
pub async fn publish_targets(
    cloud: Shared,
    who: Operator,
    body: web::Json<PublishTargets>,
) -> Outcome<web::Json<TufTargetsView>> {
    usecase::publish_targets(&cloud, &who, body.into_inner())
        .await
        .map(web::Json)
}
