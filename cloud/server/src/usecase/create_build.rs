use espalier_api::{
    build::{BuildView, CreateBuild},
    error::ErrorCode,
};
use espalier_domain::{
    build::{Build, BuildState},
    principal::Principal,
};
use espalier_protocol::id::{BuildId, JobId};

use super::record;
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
    view,
};

/// The longest recipe; an honest one has a page.
const MAX_RECIPE_BYTES: usize = 64 << 10;

/// Orders a build from the forge.
///
/// # Errors
/// `not_found` for an unknown model version, `invalid_recipe` for what is no TOML. What a recipe
/// means is for the forge to say.
pub async fn create_build(
    cloud: &Cloud,
    who: &Principal,
    order: CreateBuild,
) -> Outcome<BuildView> {
    check_form(&order.recipe)?;
    let version = cloud
        .store()?
        .models()
        .find(&who.tenant, order.model_version)
        .await?;
    let version =
        version.ok_or_else(|| Refusal::absent(format!("model version {}", order.model_version)))?;
    let build = Build {
        id: BuildId(cloud.world.id()?),
        tenant: who.tenant.clone(),
        model_version: version.id,
        device_class: order.device_class,
        recipe: order.recipe,
        created_at: cloud.world.now(),
        state: BuildState::Queued,
    };
    cloud
        .store()?
        .builds()
        .order(&build, JobId(cloud.world.id()?))
        .await?;
    let detail =
        serde_json::json!({ "model_version": version.id, "device_class": build.device_class });
    record(cloud, who, "build.create", build.id, detail).await?;
    Ok(view::build(build, version.model))
}

fn check_form(recipe: &str) -> Outcome<()> {
    if recipe.len() > MAX_RECIPE_BYTES {
        let detail = format!(
            "The recipe has {} bytes; at most {MAX_RECIPE_BYTES} are allowed.",
            recipe.len()
        );
        return Err(Refusal::new(ErrorCode::InvalidRecipe, detail));
    }
    let parsed = recipe.parse::<toml::Table>();
    parsed.map(drop).map_err(|error| {
        Refusal::new(
            ErrorCode::InvalidRecipe,
            format!("The recipe is no TOML: {error}"),
        )
    })
}
