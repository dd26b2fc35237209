//! Rollouts: their states, their facts, and the execution of plans.

mod execute;
mod facts;
mod overtaken;
mod row;
mod start;

use espalier_domain::rollout::{Rollout, RolloutRefusal, RolloutState, Tally, Verb};
use espalier_protocol::id::RolloutId;
use espalier_protocol::{DeviceName, Tenant};
use jiff::Timestamp;
use sqlx::{PgExecutor, Postgres, Transaction};

pub use facts::LoadedFacts;
pub use start::StartOutcome;

use row::{RolloutRow, StateColumns};

use crate::events::{self, NewEvent};
use crate::moment::Moment;
use crate::row::{Row, to_json};
use crate::{Signal, Store, StoreError};

/// Rollouts.
#[derive(Debug, Clone, Copy)]
pub struct Rollouts<'a> {
    pub(crate) store: &'a Store,
}

/// What became of an operator's verb.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum VerbOutcome {
    /// The rollout's new state.
    Done(RolloutState),
    /// Its state does not allow it.
    Refused(RolloutRefusal),
    /// It cannot be reverted: every device that it told has been told by a newer rollout since, this one last.
    Overtaken(RolloutId),
    /// There is no such rollout.
    Absent,
}

impl Rollouts<'_> {
    /// Keeps a new rollout, which must be a draft.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn create(&self, rollout: &Rollout) -> Result<(), StoreError> {
        insert(&self.store.pool, rollout).await
    }

    /// A rollout.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(
        &self,
        tenant: &Tenant,
        id: RolloutId,
    ) -> Result<Option<Rollout>, StoreError> {
        let row = sqlx::query_as!(
            RolloutRow,
            r#"SELECT o.tenant_id, o.rollout_id, o.release_id, r.model, o.policy, o.created_at AS "created_at: Moment",
                      o.traceparent, o.revision, o.state, o.since AS "since: Moment", o.stage, o.excused, o.reason
               FROM rollouts o JOIN releases r USING (tenant_id, release_id)
               WHERE o.tenant_id = $1 AND o.rollout_id = $2"#,
            tenant.as_str(),
            id.0,
        )
        .fetch_optional(&self.store.pool)
        .await?;
        row.map(Rollout::try_from).transpose()
    }

    /// A page of a tenant's rollouts, newest first, from the one made before `after` on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(
        &self,
        tenant: &Tenant,
        after: Option<RolloutId>,
        limit: u32,
    ) -> Result<Vec<Rollout>, StoreError> {
        let rows = sqlx::query_as!(
            RolloutRow,
            r#"SELECT o.tenant_id, o.rollout_id, o.release_id, r.model, o.policy, o.created_at AS "created_at: Moment",
                      o.traceparent, o.revision, o.state, o.since AS "since: Moment", o.stage, o.excused, o.reason
               FROM rollouts o JOIN releases r USING (tenant_id, release_id)
               WHERE o.tenant_id = $1 AND ($2::uuid IS NULL OR o.rollout_id < $2)
               ORDER BY o.rollout_id DESC LIMIT $3"#,
            tenant.as_str(),
            after.map(|after| after.0),
            i64::from(limit),
        )
        .fetch_all(&self.store.pool)
        .await?;
        rows.into_iter().map(Rollout::try_from).collect()
    }

    /// The stages' tallies, one for each stage that has devices, and empty ones before it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tallies(&self, tenant: &Tenant, id: RolloutId) -> Result<Vec<Tally>, StoreError> {
        facts::tallies(&self.store.pool, tenant, id).await
    }

    /// The devices that were selected and not taken, with the reason in words.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn left_out(
        &self,
        tenant: &Tenant,
        id: RolloutId,
    ) -> Result<Vec<(DeviceName, String)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT device, reason FROM rollout_left_out
             WHERE tenant_id = $1 AND rollout_id = $2 ORDER BY device",
            tenant.as_str(),
            id.0,
        )
        .fetch_all(&self.store.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok((
                    Row::of("rollout_left_out", &row.device).parse("device", &row.device)?,
                    row.reason,
                ))
            })
            .collect()
    }

    /// Does what an operator wants of a rollout that has been started.
    ///
    /// Starting itself is [`Rollouts::start`], because it enlists devices.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn act(
        &self,
        tenant: &Tenant,
        id: RolloutId,
        verb: Verb,
        now: Timestamp,
    ) -> Result<VerbOutcome, StoreError> {
        let mut transaction = self.store.begin().await?;
        let Some(rollout) = lock(&mut transaction, tenant, id).await? else {
            return Ok(VerbOutcome::Absent);
        };
        let tallies = facts::tallies(&mut *transaction, tenant, id).await?;
        let state = match rollout.state.after(verb, &tallies, now) {
            Ok(state) => state,
            Err(refusal) => return Ok(VerbOutcome::Refused(refusal)),
        };
        if verb == Verb::Revert
            && let Some(newer) = overtaken::by(&mut transaction, tenant, id).await?
        {
            return Ok(VerbOutcome::Overtaken(newer));
        }
        become_state(&mut transaction, tenant, id, &state).await?;
        events::append(&mut transaction, tenant, &[state_event(id, &state, now)]).await?;
        Signal::Rollouts(tenant.clone())
            .send(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(VerbOutcome::Done(state))
    }

    /// Rollouts that the planner must look at, of any tenant.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn live(&self) -> Result<Vec<(Tenant, RolloutId)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT o.tenant_id, o.rollout_id FROM rollouts o
             WHERE o.state IN ('running', 'paused', 'reverting')
                 OR (o.state = 'aborted' AND EXISTS (
                     SELECT FROM stage_tallies t
                     WHERE (t.tenant_id, t.rollout_id) = (o.tenant_id, o.rollout_id) AND t.devices > 0
                         AND t.phase IN ('pending', 'sent', 'accepted', 'downloading', 'verified', 'trial')
                 ))
             ORDER BY o.tenant_id, o.rollout_id"
        )
        .fetch_all(&self.store.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let tenant =
                    Row::of("rollouts", row.rollout_id).parse("tenant_id", &row.tenant_id)?;
                Ok((tenant, RolloutId(row.rollout_id)))
            })
            .collect()
    }
}

async fn insert(executor: impl PgExecutor<'_>, rollout: &Rollout) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO rollouts (tenant_id, rollout_id, release_id, policy, created_at, traceparent, state)
         VALUES ($1, $2, $3, $4, $5, $6, 'draft')",
        rollout.tenant.as_str(),
        rollout.id.0,
        rollout.release.0,
        to_json(&rollout.policy)?,
        Moment(rollout.created_at) as _,
        rollout.traceparent,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// A rollout, locked until the transaction ends.
async fn lock(
    transaction: &mut Transaction<'static, Postgres>,
    tenant: &Tenant,
    id: RolloutId,
) -> Result<Option<Rollout>, StoreError> {
    let row = sqlx::query_as!(
        RolloutRow,
        r#"SELECT o.tenant_id, o.rollout_id, o.release_id, r.model, o.policy, o.created_at AS "created_at: Moment",
                  o.traceparent, o.revision, o.state, o.since AS "since: Moment", o.stage, o.excused, o.reason
           FROM rollouts o JOIN releases r USING (tenant_id, release_id)
           WHERE o.tenant_id = $1 AND o.rollout_id = $2 FOR NO KEY UPDATE OF o"#,
        tenant.as_str(),
        id.0,
    )
    .fetch_optional(&mut **transaction)
    .await?;
    row.map(Rollout::try_from).transpose()
}

async fn become_state(
    transaction: &mut Transaction<'static, Postgres>,
    tenant: &Tenant,
    id: RolloutId,
    state: &RolloutState,
) -> Result<(), StoreError> {
    let columns = StateColumns::of(state)?;
    sqlx::query!(
        "UPDATE rollouts SET revision = revision + 1, state = $3, since = $4, stage = $5, excused = $6, reason = $7
         WHERE tenant_id = $1 AND rollout_id = $2",
        tenant.as_str(),
        id.0,
        columns.state,
        columns.since as _,
        columns.stage,
        columns.excused.as_deref(),
        columns.reason,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn state_event(id: RolloutId, state: &RolloutState, now: Timestamp) -> NewEvent {
    let name = state.name();
    let stage = match state {
        RolloutState::Running { stage, .. } | RolloutState::Paused { stage, .. } => Some(*stage),
        _ => None,
    };
    NewEvent {
        at: now,
        kind: format!("rollout.{name}"),
        subject: id.to_string(),
        payload: serde_json::json!({ "state": name, "stage": stage }),
    }
}
