//! Loading assignments to change them, and writing them back in one statement.

use espalier_domain::Assignment;
use espalier_protocol::id::{AssignmentId, RolloutId};
use espalier_protocol::{DeviceName, Tenant};
use sqlx::{PgExecutor, Postgres, Transaction};

use super::row::{AssignmentRow, Changed};
use crate::StoreError;
use crate::moment::Moment;

/// Which assignments are to be changed.
pub(crate) enum Selection<'a> {
    /// These.
    These(&'a [AssignmentId]),
    /// Those of a rollout whose devices were not told.
    Pending(RolloutId),
    /// Those of a rollout whose devices were told to install.
    Told(RolloutId),
    /// Those of a device that have not ended.
    Open(&'a DeviceName),
}

/// Loads and locks, always in the order of ids, so that two writers never wait for each other in a circle.
pub(crate) async fn load_for_update(
    transaction: &mut Transaction<'static, Postgres>,
    tenant: &Tenant,
    selection: Selection<'_>,
) -> Result<Vec<Assignment>, StoreError> {
    let (mut ids, mut rollout, mut told, mut device) = (None, None, false, None);
    match selection {
        Selection::These(these) => ids = Some(these.iter().map(|id| id.0).collect::<Vec<_>>()),
        Selection::Pending(of) => rollout = Some(of.0),
        Selection::Told(of) => (rollout, told) = (Some(of.0), true),
        Selection::Open(of) => device = Some(of.as_str()),
    }
    let rows = sqlx::query_as!(
        AssignmentRow,
        r#"SELECT a.assignment_id, a.rollout_id, a.release_id, a.device, a.stage, a.class, a.model, a.bundle,
                  a.before, a.goal, a.attempt, a.phase, a.step, a.sent_at AS "sent_at: Moment", a.done, a.total,
                  a.outcome, a.boot, a.seq, r.digest AS release_digest, r.counter AS release_counter
           FROM assignments a JOIN releases r USING (tenant_id, release_id)
           WHERE a.tenant_id = $1
               AND ($2::uuid[] IS NULL OR a.assignment_id = ANY($2))
               AND ($3::uuid IS NULL OR a.rollout_id = $3 AND a.goal = 'install'
                    AND CASE WHEN $4 THEN a.attempt > 0 AND a.phase <> 'withdrawn' ELSE a.phase = 'pending' END)
               AND ($5::text IS NULL OR a.device = $5 AND (a.phase = 'pending' OR a.step IS NOT NULL))
           ORDER BY a.assignment_id FOR UPDATE OF a"#,
        tenant.as_str(),
        ids.as_deref(),
        rollout,
        told,
        device,
    )
    .fetch_all(&mut **transaction)
    .await?;
    rows.into_iter().map(Assignment::try_from).collect()
}

/// Writes assignments back.
pub(crate) async fn save(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    assignments: &[Assignment],
) -> Result<(), StoreError> {
    if assignments.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = assignments
        .iter()
        .map(|assignment| assignment.id.0)
        .collect();
    let columns: Vec<_> = assignments
        .iter()
        .map(Changed::of)
        .collect::<Result<_, _>>()?;
    sqlx::query!(
        "UPDATE assignments a
         SET before = new.before, goal = new.goal, attempt = new.attempt, phase = new.phase, step = new.step,
             sent_at = new.sent_at, done = new.done, total = new.total, outcome = new.outcome, boot = new.boot,
             seq = new.seq
         FROM UNNEST($2::uuid[], $3::jsonb[], $4::text[], $5::int[], $6::text[], $7::text[], $8::timestamptz[],
                     $9::bigint[], $10::bigint[], $11::jsonb[], $12::bigint[], $13::bigint[])
             AS new (id, before, goal, attempt, phase, step, sent_at, done, total, outcome, boot, seq)
         WHERE a.tenant_id = $1 AND a.assignment_id = new.id",
        tenant.as_str(),
        &ids,
        &columns.iter().map(|new| new.before.clone()).collect::<Vec<_>>() as _,
        &columns.iter().map(|new| new.goal.to_owned()).collect::<Vec<_>>(),
        &columns.iter().map(|new| new.attempt).collect::<Vec<_>>(),
        &columns.iter().map(|new| new.phase.to_owned()).collect::<Vec<_>>(),
        &columns.iter().map(|new| new.step.map(str::to_owned)).collect::<Vec<_>>() as _,
        &columns.iter().map(|new| new.sent_at).collect::<Vec<_>>() as _,
        &columns.iter().map(|new| new.done).collect::<Vec<_>>() as _,
        &columns.iter().map(|new| new.total).collect::<Vec<_>>() as _,
        &columns.iter().map(|new| new.outcome.clone()).collect::<Vec<_>>() as _,
        &columns.iter().map(|new| new.boot).collect::<Vec<_>>() as _,
        &columns.iter().map(|new| new.seq).collect::<Vec<_>>() as _,
    )
    .execute(executor)
    .await?;
    Ok(())
}
