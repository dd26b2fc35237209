//! Assignments that a newer rollout has overtaken: it has told their devices since, and only it can send them back.
//!
//! A device hears of the newest assignment of a model that stands, so an older one that is sent back changes nothing
//! for it: it would never answer.

use std::collections::BTreeSet;

use espalier_protocol::Tenant;
use espalier_protocol::id::{AssignmentId, RolloutId};
use sqlx::{PgConnection, PgExecutor};

use super::Rollouts;
use crate::StoreError;

impl Rollouts<'_> {
    /// The newest rollout that has told one of the rollout's devices since, if one has told each of those that were
    /// told here: then a revert has nobody to send back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn overtaken_by(
        &self,
        tenant: &Tenant,
        id: RolloutId,
    ) -> Result<Option<RolloutId>, StoreError> {
        by(&mut *self.store.pool.acquire().await?, tenant, id).await
    }
}

/// As [`Rollouts::overtaken_by`], within a transaction.
pub(super) async fn by(
    connection: &mut PgConnection,
    tenant: &Tenant,
    id: RolloutId,
) -> Result<Option<RolloutId>, StoreError> {
    // The first device that is still this rollout's to send back ends the look.
    let free = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM assignments a
               WHERE a.tenant_id = $1 AND a.rollout_id = $2 AND a.goal = 'install' AND a.attempt > 0
                   AND a.phase <> 'withdrawn'
                   AND NOT EXISTS (
                       SELECT FROM assignments n
                       WHERE n.tenant_id = a.tenant_id AND n.device = a.device AND n.model = a.model
                           AND n.assignment_id > a.assignment_id
                           AND n.phase NOT IN ('pending', 'cancelled', 'withdrawn')
                   )
           ) AS "free!""#,
        tenant.as_str(),
        id.0,
    )
    .fetch_one(&mut *connection)
    .await?;
    if free {
        return Ok(None);
    }
    let newest = sqlx::query_scalar!(
        "SELECT n.rollout_id
         FROM assignments a JOIN assignments n USING (tenant_id, device, model)
         WHERE a.tenant_id = $1 AND a.rollout_id = $2 AND a.goal = 'install' AND a.attempt > 0
             AND a.phase <> 'withdrawn' AND n.assignment_id > a.assignment_id
             AND n.phase NOT IN ('pending', 'cancelled', 'withdrawn')
         ORDER BY n.rollout_id DESC LIMIT 1",
        tenant.as_str(),
        id.0,
    )
    .fetch_optional(connection)
    .await?;
    Ok(newest.map(RolloutId))
}

/// The assignments of a rollout that a newer one has overtaken.
pub(super) async fn assignments(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    id: RolloutId,
) -> Result<BTreeSet<AssignmentId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT a.assignment_id FROM assignments a
         WHERE a.tenant_id = $1 AND a.rollout_id = $2 AND a.attempt > 0
             AND EXISTS (
                 SELECT FROM assignments n
                 WHERE n.tenant_id = a.tenant_id AND n.device = a.device AND n.model = a.model
                     AND n.assignment_id > a.assignment_id
                     AND n.phase NOT IN ('pending', 'cancelled', 'withdrawn')
             )",
        tenant.as_str(),
        id.0,
    )
    .fetch_all(executor)
    .await?;
    Ok(ids.into_iter().map(AssignmentId).collect())
}
