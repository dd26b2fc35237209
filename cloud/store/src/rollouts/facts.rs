//! What the planner looks at, loaded in one consistent look.

use espalier_domain::Phase;
use espalier_domain::rollout::{Facts, Policy, Rollout, RolloutState, Sent, Tally};
use espalier_protocol::Tenant;
use espalier_protocol::id::{AssignmentId, RolloutId};
use sqlx::{PgExecutor, Postgres, Transaction};

use super::Rollouts;
use super::row::RolloutRow;
use crate::StoreError;
use crate::moment::Moment;
use crate::row::Row;

/// Most devices that one plan tells or counts as silent; the next plan takes the next ones.
const BATCH: i64 = 1000;

/// A rollout's facts, and the revision that they belong to.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedFacts {
    /// The rollout's policy.
    pub policy: Policy,
    /// The facts.
    pub facts: Facts,
    /// Given back to [`Rollouts::execute`].
    pub revision: u64,
}

impl Rollouts<'_> {
    /// What the planner looks at.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn facts(
        &self,
        tenant: &Tenant,
        id: RolloutId,
    ) -> Result<Option<LoadedFacts>, StoreError> {
        let mut look = self.store.begin().await?;
        sqlx::query!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .execute(&mut *look)
            .await?;
        let row = sqlx::query_as!(
            RolloutRow,
            r#"SELECT o.tenant_id, o.rollout_id, o.release_id, r.model, o.policy, o.created_at AS "created_at: Moment",
                      o.traceparent, o.revision, o.state, o.since AS "since: Moment", o.stage, o.excused, o.reason
               FROM rollouts o JOIN releases r USING (tenant_id, release_id)
               WHERE o.tenant_id = $1 AND o.rollout_id = $2"#,
            tenant.as_str(),
            id.0,
        )
        .fetch_optional(&mut *look)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let revision = row.revision()?;
        let rollout = Rollout::try_from(row)?;
        let facts = Facts {
            tallies: tallies(&mut *look, tenant, id).await?,
            pending: pending(&mut look, tenant, id, &rollout.state).await?,
            underway: underway(&mut look, tenant, id).await?,
            state: rollout.state,
        };
        look.commit().await?;
        Ok(Some(LoadedFacts {
            policy: rollout.policy,
            facts,
            revision,
        }))
    }
}

pub(super) async fn tallies(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    id: RolloutId,
) -> Result<Vec<Tally>, StoreError> {
    let rows = sqlx::query!(
        "SELECT stage, phase, devices FROM stage_tallies WHERE tenant_id = $1 AND rollout_id = $2 ORDER BY stage",
        tenant.as_str(),
        id.0,
    )
    .fetch_all(executor)
    .await?;
    let row = Row::of("stage_tallies", id);
    let mut counts: Vec<Vec<(Phase, u64)>> = Vec::new();
    for columns in rows {
        let stage: usize = row.unsigned("stage", columns.stage)?;
        let phase =
            Phase::from_name(&columns.phase).ok_or_else(|| row.wrong("phase", &columns.phase))?;
        if counts.len() <= stage {
            counts.resize_with(stage + 1, Vec::new);
        }
        counts[stage].push((phase, row.unsigned("devices", columns.devices)?));
    }
    Ok(counts.into_iter().map(Tally::from_iter).collect())
}

async fn pending(
    look: &mut Transaction<'static, Postgres>,
    tenant: &Tenant,
    id: RolloutId,
    state: &RolloutState,
) -> Result<Vec<AssignmentId>, StoreError> {
    let RolloutState::Running { stage, .. } = state else {
        return Ok(Vec::new());
    };
    let ids = sqlx::query_scalar!(
        "SELECT assignment_id FROM assignments
         WHERE tenant_id = $1 AND rollout_id = $2 AND stage = $3 AND phase = 'pending' ORDER BY ordinal LIMIT $4",
        tenant.as_str(),
        id.0,
        i32::try_from(*stage).unwrap_or(i32::MAX),
        BATCH,
    )
    .fetch_all(&mut **look)
    .await?;
    Ok(ids.into_iter().map(AssignmentId).collect())
}

async fn underway(
    look: &mut Transaction<'static, Postgres>,
    tenant: &Tenant,
    id: RolloutId,
) -> Result<Vec<Sent>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT assignment_id, stage, sent_at AS "sent_at!: Moment" FROM assignments
           WHERE tenant_id = $1 AND rollout_id = $2 AND step IS NOT NULL ORDER BY sent_at LIMIT $3"#,
        tenant.as_str(),
        id.0,
        BATCH,
    )
    .fetch_all(&mut **look)
    .await?;
    rows.into_iter()
        .map(|columns| {
            let stage =
                Row::of("assignments", columns.assignment_id).unsigned("stage", columns.stage)?;
            Ok(Sent {
                assignment: AssignmentId(columns.assignment_id),
                stage,
                at: columns.sent_at.0,
            })
        })
        .collect()
}
