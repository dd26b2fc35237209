use std::collections::{BTreeMap, btree_map::Entry};

use espalier_api::{
    build::{BuildQuery, BuildView},
    page::Page,
};
use espalier_domain::{build::Build, principal::Principal};
use espalier_protocol::{
    ModelName,
    id::{BuildId, ModelVersionId},
};

use super::cursor;
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
    view,
};

/// A tenant's builds, newest first.
///
/// # Errors
/// `malformed_parameter`, `database_unavailable`.
pub async fn list_builds(
    cloud: &Cloud,
    who: &Principal,
    query: &BuildQuery,
) -> Outcome<Page<BuildView>> {
    let page = query.page();
    let (after, limit) = (cursor(&page)?.map(BuildId), page.rows());
    let builds = cloud
        .store()?
        .builds()
        .list(&who.tenant, query.model_version, after, limit + 1)
        .await?;
    let page = Page::cut(builds, limit, |build: &Build| build.id.to_string());
    let mut models: BTreeMap<ModelVersionId, ModelName> = BTreeMap::new();
    for build in &page.items {
        if let Entry::Vacant(unknown) = models.entry(build.model_version) {
            unknown.insert(model(cloud, build).await?);
        }
    }
    let views = page.items.into_iter().filter_map(|build| {
        let model = models.get(&build.model_version)?.clone();
        Some(view::build(build, model))
    });
    Ok(Page {
        items: views.collect(),
        next: page.next,
    })
}

/// One build.
///
/// # Errors
/// `not_found`.
pub async fn show_build(cloud: &Cloud, who: &Principal, id: BuildId) -> Outcome<BuildView> {
    let build = cloud.store()?.builds().find(&who.tenant, id).await?;
    let build = build.ok_or_else(|| Refusal::absent(format!("build {id}")))?;
    let model = model(cloud, &build).await?;
    Ok(view::build(build, model))
}

async fn model(cloud: &Cloud, build: &Build) -> Outcome<ModelName> {
    let version = cloud
        .store()?
        .models()
        .find(&build.tenant, build.model_version)
        .await?;
    version
        .map(|version| version.model)
        .ok_or_else(|| Refusal::internal("a build of no model version"))
}
