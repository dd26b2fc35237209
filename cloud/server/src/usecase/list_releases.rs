use espalier_api::{
    page::{MAX_LIMIT, Page, PageQuery},
    release::ReleaseView,
};
use espalier_domain::{principal::Principal, release::Release};
use espalier_protocol::id::ReleaseId;

use super::newest_page;
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
    view,
};

/// A tenant's releases, newest first.
///
/// # Errors
/// `database_unavailable`.
pub async fn list_releases(
    cloud: &Cloud,
    who: &Principal,
    query: &PageQuery,
) -> Outcome<Page<ReleaseView>> {
    let releases = cloud
        .store()?
        .releases()
        .list(&who.tenant, None, MAX_LIMIT)
        .await?;
    let trust = cloud.authority.trust();
    let id = |release: &Release| release.id().to_string();
    Ok(newest_page(releases, query, id, |release| {
        view::release(release, trust)
    }))
}

/// One release.
///
/// # Errors
/// `not_found`.
pub async fn show_release(cloud: &Cloud, who: &Principal, id: ReleaseId) -> Outcome<ReleaseView> {
    find(cloud, who, id)
        .await
        .map(|release| view::release(release, cloud.authority.trust()))
}

/// A release of the principal's tenant.
///
/// # Errors
/// `not_found`.
pub(super) async fn find(cloud: &Cloud, who: &Principal, id: ReleaseId) -> Outcome<Release> {
    let release = cloud.store()?.releases().find(&who.tenant, id).await?;
    release.ok_or_else(|| Refusal::absent(format!("release {id}")))
}
