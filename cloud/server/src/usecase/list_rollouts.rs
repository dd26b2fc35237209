use espalier_api::{
    page::{Page, PageQuery},
    rollout::RolloutView,
};
use espalier_domain::{
    principal::Principal,
    rollout::{Rollout, Verb},
};
use espalier_protocol::id::RolloutId;

use super::cursor;
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
    view,
};

/// A tenant's rollouts, newest first. What can be done with each is told by its state alone.
///
/// # Errors
/// `malformed_parameter`, `database_unavailable`.
pub async fn list_rollouts(
    cloud: &Cloud,
    who: &Principal,
    query: &PageQuery,
) -> Outcome<Page<RolloutView>> {
    let (after, limit) = (cursor(query)?, query.rows());
    let rollouts = cloud
        .store()?
        .rollouts()
        .list(&who.tenant, after.map(RolloutId), limit + 1)
        .await?;
    let page = Page::cut(rollouts, limit, |rollout: &Rollout| rollout.id.to_string());
    let mut items = Vec::with_capacity(page.items.len());
    for rollout in page.items {
        items.push(show(cloud, rollout, None).await?);
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
    let rollout = find(cloud, who, id).await?;
    let overtaken_by = match rollout.state.allowed().contains(&Verb::Revert) {
        true => {
            let rollouts = cloud.store()?.rollouts();
            rollouts.overtaken_by(&who.tenant, id).await?
        }
        false => None,
    };
    show(cloud, rollout, overtaken_by).await
}

/// A rollout of the principal's tenant.
///
/// # Errors
/// `not_found`.
pub(super) async fn find(cloud: &Cloud, who: &Principal, id: RolloutId) -> Outcome<Rollout> {
    let rollout = cloud.store()?.rollouts().find(&who.tenant, id).await?;
    rollout.ok_or_else(|| Refusal::absent(format!("rollout {id}")))
}

async fn show(
    cloud: &Cloud,
    rollout: Rollout,
    overtaken_by: Option<RolloutId>,
) -> Outcome<RolloutView> {
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
        overtaken_by,
        cloud.world.now(),
    ))
}
