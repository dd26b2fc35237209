use espalier_api::{
    page::{MAX_LIMIT, Page, PageQuery},
    rollout::RolloutView,
};
use espalier_domain::{principal::Principal, rollout::Rollout};
use espalier_protocol::id::RolloutId;

use super::newest_page;
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
    view,
};

/// A tenant's rollouts, newest first.
///
/// # Errors
/// `database_unavailable`.
pub async fn list_rollouts(
    cloud: &Cloud,
    who: &Principal,
    query: &PageQuery,
) -> Outcome<Page<RolloutView>> {
    let rollouts = cloud
        .store()?
        .rollouts()
        .list(&who.tenant, None, MAX_LIMIT)
        .await?;
    let page = newest_page(
        rollouts,
        query,
        |rollout| rollout.id.to_string(),
        |rollout| rollout,
    );
    let mut items = Vec::with_capacity(page.items.len());
    for rollout in page.items {
        items.push(show(cloud, rollout).await?);
    }
    Ok(Page {
        items,
        next: page.next,
    })
}

/// One rollout.
///
/// # Errors
/// `not_found`.
pub async fn show_rollout(cloud: &Cloud, who: &Principal, id: RolloutId) -> Outcome<RolloutView> {
    let rollout = cloud.store()?.rollouts().find(&who.tenant, id).await?;
    show(
        cloud,
        rollout.ok_or_else(|| Refusal::absent(format!("rollout {id}")))?,
    )
    .await
}

async fn show(cloud: &Cloud, rollout: Rollout) -> Outcome<RolloutView> {
    let (store, tenant) = (cloud.store()?, &rollout.tenant);
    let release = store.releases().find(tenant, rollout.release).await?;
    let release = release.ok_or_else(|| Refusal::internal("a rollout of no release"))?;
    let tallies = store.rollouts().tallies(tenant, rollout.id).await?;
    let left_out = store.rollouts().left_out(tenant, rollout.id).await?;
    Ok(view::rollout(
        rollout,
        &release,
        &tallies,
        left_out,
        cloud.world.now(),
    ))
}
