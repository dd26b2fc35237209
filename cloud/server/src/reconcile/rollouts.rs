//! The planner's hands: loads facts, has the domain plan, executes the plan. It makes no choice of
//! its own, and any number of replicas may do the same: a plan on an older revision is not executed.

use std::time::{Duration, Instant};

use espalier_domain::rollout::plan;
use espalier_protocol::{Tenant, id::RolloutId};
use espalier_store::Written;
use jiff::Timestamp;

use crate::{cloud::Cloud, refusal::Outcome};

/// Plans of one rollout in one pass. Each tells at most a batch of devices, so that other rollouts
/// have their turn.
const MOST_PLANS: usize = 50;
/// A plan that asks to be looked at again is looked at not before this.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);

/// One pass over all live rollouts.
pub(super) async fn pass(cloud: &Cloud) -> Outcome<()> {
    let began = Instant::now();
    let mut again = None;
    for (tenant, rollout) in cloud.store()?.rollouts().live().await? {
        again = earlier(again, advance(cloud, &tenant, rollout).await?);
    }
    cloud
        .metrics
        .plan_seconds
        .observe(began.elapsed().as_secs_f64());
    if let Some(at) = again {
        ring_at(cloud, at);
    }
    Ok(())
}

/// Executes plans until there is only waiting to do; gives when to look again.
#[tracing::instrument(skip_all, fields(%rollout))]
async fn advance(cloud: &Cloud, tenant: &Tenant, rollout: RolloutId) -> Outcome<Option<Timestamp>> {
    let rollouts = cloud.store()?.rollouts();
    for _ in 0..MOST_PLANS {
        let Some(loaded) = rollouts.facts(tenant, rollout).await? else {
            return Ok(None);
        };
        let now = cloud.world.now();
        let plan = plan(&loaded.policy, &loaded.facts, now);
        if plan.steps.is_empty() {
            return Ok(plan.look_again);
        }
        match rollouts
            .execute(tenant, rollout, loaded.revision, &plan, now)
            .await?
        {
            Written::Updated => tracing::debug!(steps = plan.steps.len(), "a plan was executed"),
            // An operator or another replica was faster: look again.
            Written::NotUpdated => {}
            Written::Absent => return Ok(None),
        }
    }
    Ok(Some(cloud.world.now()))
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

/// Rings the planner's own bell when a silence becomes a failure before the timer would look.
fn ring_at(cloud: &Cloud, at: Timestamp) {
    let wait = Duration::try_from(at.duration_since(cloud.world.now())).unwrap_or_default();
    if wait >= Duration::from_secs(super::PLAN_SECONDS) {
        return;
    }
    let (bell, stopping) = (cloud.bells.plan.clone(), cloud.stopping.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = tokio::time::sleep(wait.max(SHORTEST_WAIT)) => bell.notify_one(),
            () = stopping.cancelled() => {}
        }
    });
}
