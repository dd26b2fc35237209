use espalier_api::{
    model::{ModelVersionView, ModelView},
    page::{Page, PageQuery},
};
use espalier_domain::principal::Principal;
use espalier_protocol::{ModelName, id::ModelVersionId};

use super::cursor;
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
    view,
};

/// A tenant's models by name, each by its newest version.
///
/// # Errors
/// `malformed_parameter`, `database_unavailable`.
pub async fn list_models(
    cloud: &Cloud,
    who: &Principal,
    query: &PageQuery,
) -> Outcome<Page<ModelView>> {
    let (after, limit): (Option<ModelName>, _) = (cursor(query)?, query.rows());
    let models = cloud
        .store()?
        .models()
        .newest(&who.tenant, after.as_ref(), limit + 1)
        .await?;
    let models = models.iter().map(view::model).collect();
    Ok(Page::cut(models, limit, |model: &ModelView| {
        model.name.to_string()
    }))
}

/// A model's versions, newest first.
///
/// # Errors
/// `not_found` for a model without any, `malformed_parameter`.
pub async fn list_model_versions(
    cloud: &Cloud,
    who: &Principal,
    model: &ModelName,
    query: &PageQuery,
) -> Outcome<Page<ModelVersionView>> {
    let (after, limit) = (cursor(query)?, query.rows());
    let versions = cloud
        .store()?
        .models()
        .versions(&who.tenant, model, after.map(ModelVersionId), limit + 1)
        .await?;
    if versions.is_empty() && after.is_none() {
        return Err(Refusal::absent(format!("model {model}")));
    }
    let versions = versions.into_iter().map(view::model_version).collect();
    Ok(Page::cut(versions, limit, |version: &ModelVersionView| {
        version.id.to_string()
    }))
}

/// One model version.
///
/// # Errors
/// `not_found`.
pub async fn show_model_version(
    cloud: &Cloud,
    who: &Principal,
    id: ModelVersionId,
) -> Outcome<ModelVersionView> {
    let version = cloud.store()?.models().find(&who.tenant, id).await?;
    version
        .map(view::model_version)
        .ok_or_else(|| Refusal::absent(format!("model version {id}")))
}
