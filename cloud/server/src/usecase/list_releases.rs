use espalier_api::{
    page::{Page, PageQuery},
    release::ReleaseView,
};
use espalier_domain::{principal::Principal, release::Release};
use espalier_protocol::id::ReleaseId;

use super::cursor;
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
    view,
};

/// A tenant's releases, newest first.
///
/// # Errors
/// `malformed_parameter`, `database_unavailable`.
pub async fn list_releases(
    cloud: &Cloud,
    who: &Principal,
    query: &PageQuery,
) -> Outcome<Page<ReleaseView>> {
    let (after, limit) = (cursor(query)?, query.rows());
    let releases = cloud
        .store()?
        .releases()
        .list(&who.tenant, after.map(ReleaseId), limit + 1)
        .await?;
    let trust = cloud.authority.trust();
    let releases = releases.into_iter();
    let views = releases.map(|release| view::release(release, trust));
    Ok(Page::cut(views.collect(), limit, |view: &ReleaseView| {
        view.id.to_string()
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
