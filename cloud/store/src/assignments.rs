//! Assignments. They are changed by the domain's transitions only: loaded and locked, moved on, written back.

mod row;
mod write;

use std::collections::BTreeMap;

use espalier_domain::Assignment;
use espalier_protocol::id::{AssignmentId, RolloutId};
use espalier_protocol::{DeviceName, Tenant};
use jiff::Timestamp;

pub(crate) use row::AssignmentRow;
pub(crate) use write::{Selection, load_for_update, save};

use crate::events::NewEvent;
use crate::moment::Moment;
use crate::row::names;
use crate::{Store, StoreError};

/// Assignments, for reading.
#[derive(Debug, Clone, Copy)]
pub struct Assignments<'a> {
    pub(crate) store: &'a Store,
}

impl Assignments<'_> {
    /// A page of a rollout's assignments by device, after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn of_rollout(
        &self,
        tenant: &Tenant,
        rollout: RolloutId,
        after: Option<&DeviceName>,
        limit: u32,
    ) -> Result<Vec<Assignment>, StoreError> {
        let rows = sqlx::query_as!(
            AssignmentRow,
            r#"SELECT a.assignment_id, a.rollout_id, a.release_id, a.device, a.stage, a.class, a.model, a.bundle,
                      a.before, a.goal, a.attempt, a.phase, a.step, a.sent_at AS "sent_at: Moment", a.done, a.total,
                      a.outcome, a.boot, a.seq, r.digest AS release_digest, r.counter AS release_counter
               FROM assignments a JOIN releases r USING (tenant_id, release_id)
               WHERE a.tenant_id = $1 AND a.rollout_id = $2 AND a.device > $3 ORDER BY a.device LIMIT $4"#,
            tenant.as_str(),
            rollout.0,
            after.map_or("", DeviceName::as_str),
            i64::from(limit),
        )
        .fetch_all(&self.store.pool)
        .await?;
        rows.into_iter().map(Assignment::try_from).collect()
    }

    /// The newest assignments of each of these devices, at most `limit` for each, in the order in which it was told of
    /// them. A device without any is not there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn of_devices(
        &self,
        tenant: &Tenant,
        devices: &[DeviceName],
        limit: u32,
    ) -> Result<BTreeMap<DeviceName, Vec<Assignment>>, StoreError> {
        let rows = sqlx::query_as!(
            AssignmentRow,
            r#"SELECT a.assignment_id, a.rollout_id, a.release_id, a.device, a.stage, a.class, a.model, a.bundle,
                      a.before, a.goal, a.attempt, a.phase, a.step, a.sent_at AS "sent_at: Moment", a.done, a.total,
                      a.outcome, a.boot, a.seq, r.digest AS release_digest, r.counter AS release_counter
               FROM UNNEST($2::text[]) AS wanted (device)
               CROSS JOIN LATERAL (
                   SELECT * FROM assignments
                   WHERE tenant_id = $1 AND device = wanted.device ORDER BY assignment_id DESC LIMIT $3
               ) a
               JOIN releases r ON r.tenant_id = $1 AND r.release_id = a.release_id
               ORDER BY a.assignment_id"#,
            tenant.as_str(),
            &names(devices),
            i64::from(limit),
        )
        .fetch_all(&self.store.pool)
        .await?;
        let mut found: BTreeMap<DeviceName, Vec<Assignment>> = BTreeMap::new();
        for row in rows {
            let assignment = Assignment::try_from(row)?;
            found
                .entry(assignment.device.clone())
                .or_default()
                .push(assignment);
        }
        Ok(found)
    }

    /// One assignment.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(
        &self,
        tenant: &Tenant,
        id: AssignmentId,
    ) -> Result<Option<Assignment>, StoreError> {
        let row = sqlx::query_as!(
            AssignmentRow,
            r#"SELECT a.assignment_id, a.rollout_id, a.release_id, a.device, a.stage, a.class, a.model, a.bundle,
                      a.before, a.goal, a.attempt, a.phase, a.step, a.sent_at AS "sent_at: Moment", a.done, a.total,
                      a.outcome, a.boot, a.seq, r.digest AS release_digest, r.counter AS release_counter
               FROM assignments a JOIN releases r USING (tenant_id, release_id)
               WHERE a.tenant_id = $1 AND a.assignment_id = $2"#,
            tenant.as_str(),
            id.0,
        )
        .fetch_optional(&self.store.pool)
        .await?;
        row.map(Assignment::try_from).transpose()
    }
}

/// What the console is told when an assignment's phase has changed.
pub(crate) fn phase_event(assignment: &Assignment, now: Timestamp) -> NewEvent {
    let phase = assignment.phase().name();
    NewEvent {
        at: now,
        kind: format!("assignment.{phase}"),
        subject: assignment.id.to_string(),
        payload: serde_json::json!({
            "rollout": assignment.rollout,
            "device": assignment.device,
            "model": assignment.model,
            "stage": assignment.stage,
            "attempt": assignment.attempt,
            "phase": phase,
        }),
    }
}
