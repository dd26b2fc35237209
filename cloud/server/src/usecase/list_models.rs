use std::collections::BTreeMap;

use espalier_api::{
    model::{ModelVersionView, ModelView},
    page::{MAX_LIMIT, Page, PageQuery},
};
use espalier_domain::{model::ModelVersion, principal::Principal};
use espalier_protocol::{ModelName, id::ModelVersionId};

use super::newest_page;
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
    view,
};

/// A tenant's models by name, each by its newest version.
///
/// # Errors
/// `database_unavailable`.
pub async fn list_models(
    cloud: &Cloud,
    who: &Principal,
    query: &PageQuery,
) -> Outcome<Page<ModelView>> {
    let versions = cloud
        .store()?
        .models()
        .list(&who.tenant, None, MAX_LIMIT)
        .await?;
    let mut newest: BTreeMap<ModelName, ModelVersion> = BTreeMap::new();
    for version in versions {
        newest.entry(version.model.clone()).or_insert(version);
    }
    let models = newest.values().map(view::model).collect();
    Ok(Page::after(models, query, |model: &ModelView| {
        model.name.to_string()
    }))
}

/// A model's versions, newest first.
///
/// # Errors
/// `not_found` for a model without any.
pub async fn list_model_versions(
    cloud: &Cloud,
    who: &Principal,
    model: &ModelName,
    query: &PageQuery,
) -> Outcome<Page<ModelVersionView>> {
    let versions = cloud
        .store()?
        .models()
        .list(&who.tenant, Some(model), MAX_LIMIT)
        .await?;
    if versions.is_empty() {
        return Err(Refusal::absent(format!("model {model}")));
    }
    Ok(newest_page(
        versions,
        query,
        |version| version.id.to_string(),
        view::model_version,
    ))
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
