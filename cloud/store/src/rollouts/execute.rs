//! Executing a plan: one transaction, no choices, nothing done twice.

use std::collections::BTreeMap;

use espalier_domain::Assignment;
use espalier_domain::rollout::{Plan, Step};
use espalier_protocol::id::{AssignmentId, RolloutId};
use espalier_protocol::report::{Installed, ModelState};
use espalier_protocol::{DeviceName, Tenant};
use jiff::Timestamp;
use sqlx::{Postgres, Transaction};

use super::{Rollouts, become_state, overtaken, state_event};
use crate::assignments::{Selection, load_for_update, phase_event, save};
use crate::events::NewEvent;
use crate::row::{Row, signed};
use crate::{Signal, StoreError, Written, desired, events};

impl Rollouts<'_> {
    /// Executes a plan that was made on `revision`. Not updated when the rollout's state has changed since: then the
    /// facts are to be looked at again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn execute(
        &self,
        tenant: &Tenant,
        id: RolloutId,
        revision: u64,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let transaction = self.store.begin().await?;
        let mut work = Execution {
            transaction,
            tenant,
            id,
            now,
            events: Vec::new(),
        };
        match work.lock(revision).await? {
            Written::Updated => {}
            other => return Ok(other),
        }
        for step in &plan.steps {
            work.take(step).await?;
        }
        work.commit().await?;
        Ok(Written::Updated)
    }
}

struct Execution<'a> {
    transaction: Transaction<'static, Postgres>,
    tenant: &'a Tenant,
    id: RolloutId,
    now: Timestamp,
    events: Vec<NewEvent>,
}

impl Execution<'_> {
    async fn lock(&mut self, revision: u64) -> Result<Written, StoreError> {
        let found = sqlx::query_scalar!(
            "SELECT revision FROM rollouts WHERE tenant_id = $1 AND rollout_id = $2 FOR NO KEY UPDATE",
            self.tenant.as_str(),
            self.id.0,
        )
        .fetch_optional(&mut *self.transaction)
        .await?;
        Ok(match found {
            None => Written::Absent,
            Some(found) if found == signed(revision) => Written::Updated,
            Some(_) => Written::NotUpdated,
        })
    }

    async fn take(&mut self, step: &Step) -> Result<(), StoreError> {
        let now = self.now;
        match step {
            Step::CountSilent(ids) => {
                self.change(Selection::These(ids), Assignment::count_as_silent)
                    .await?;
                Ok(())
            }
            Step::CancelPending => {
                self.change(Selection::Pending(self.id), Assignment::cancel)
                    .await?;
                Ok(())
            }
            Step::SendBack => {
                let told = Selection::Told(self.id);
                let overtaken =
                    overtaken::assignments(&mut *self.transaction, self.tenant, self.id).await?;
                let changed = self
                    .change(told, |assignment| {
                        if overtaken.contains(&assignment.id) {
                            assignment.withdraw();
                        } else {
                            assignment.send_back(now);
                        }
                    })
                    .await?;
                self.tell(&changed).await
            }
            Step::Send(ids) => self.send(ids).await,
            Step::Become(state) => {
                self.events.push(state_event(self.id, state, now));
                become_state(&mut self.transaction, self.tenant, self.id, state).await
            }
        }
    }

    async fn send(&mut self, ids: &[AssignmentId]) -> Result<(), StoreError> {
        let serving = self.serving(ids).await?;
        let now = self.now;
        let changed = self
            .change(Selection::These(ids), |assignment| {
                let before = serving.get(&assignment.id).copied();
                assignment.send(before, now);
            })
            .await?;
        self.tell(&changed).await
    }

    /// What the devices of these assignments serve now, by their own last word.
    async fn serving(
        &mut self,
        ids: &[AssignmentId],
    ) -> Result<BTreeMap<AssignmentId, Installed>, StoreError> {
        let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
        let rows = sqlx::query!(
            "SELECT a.assignment_id, a.model, r.models
             FROM assignments a JOIN device_reports r USING (tenant_id, device)
             WHERE a.tenant_id = $1 AND a.assignment_id = ANY($2)",
            self.tenant.as_str(),
            &ids,
        )
        .fetch_all(&mut *self.transaction)
        .await?;
        let mut serving = BTreeMap::new();
        for columns in rows {
            let row = Row::of("device_reports", columns.assignment_id);
            let models: Vec<ModelState> = row.json("models", columns.models)?;
            let found = models
                .iter()
                .find(|state| state.model.as_str() == columns.model);
            if let Some(installed) = found.and_then(|state| state.active) {
                serving.insert(AssignmentId(columns.assignment_id), installed);
            }
        }
        Ok(serving)
    }

    /// Loads, moves on, writes back what has changed.
    async fn change(
        &mut self,
        selection: Selection<'_>,
        step: impl Fn(&mut Assignment),
    ) -> Result<Vec<Assignment>, StoreError> {
        let mut changed = Vec::new();
        for before in load_for_update(&mut self.transaction, self.tenant, selection).await? {
            let mut after = before.clone();
            step(&mut after);
            if after != before {
                self.events.push(phase_event(&after, self.now));
                changed.push(after);
            }
        }
        save(&mut *self.transaction, self.tenant, &changed).await?;
        Ok(changed)
    }

    /// What these assignments' devices should run has changed.
    async fn tell(&mut self, changed: &[Assignment]) -> Result<(), StoreError> {
        let devices: Vec<DeviceName> = changed
            .iter()
            .map(|assignment| assignment.device.clone())
            .collect();
        desired::want(&mut *self.transaction, self.tenant, &devices).await?;
        Signal::Desired(self.tenant.clone())
            .send(&mut *self.transaction)
            .await
    }

    async fn commit(mut self) -> Result<(), StoreError> {
        events::append(&mut self.transaction, self.tenant, &self.events).await?;
        Signal::Rollouts(self.tenant.clone())
            .send(&mut *self.transaction)
            .await?;
        self.transaction.commit().await?;
        Ok(())
    }
}
