//! Starting a rollout: devices are enlisted once, in one transaction with the first stage's opening.

use espalier_domain::release::{Release, ReleaseRefusal};
use espalier_domain::rollout::{
    Candidate, Enlistment, LeftOut, Rollout, RolloutRefusal, RolloutState, Verb, enlist,
};
use espalier_protocol::id::{AssignmentId, RolloutId};
use espalier_protocol::{DeviceName, ModelName, Tenant};
use jiff::Timestamp;
use sqlx::{Postgres, Transaction};

use super::{Rollouts, become_state, insert, lock, state_event};
use crate::row::Row;
use crate::{Signal, StoreError, events};

/// Rows that one insertion carries.
const BATCH: usize = 5000;

/// What became of a start.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum StartOutcome {
    /// It runs.
    Started {
        /// The rollout's new state.
        state: RolloutState,
        /// How many devices are in it.
        members: u64,
        /// The devices that were selected and not taken.
        left_out: Vec<(DeviceName, LeftOut)>,
    },
    /// No device can be taken; nothing has changed.
    Nobody {
        /// The devices that were selected and not taken.
        left_out: Vec<(DeviceName, LeftOut)>,
    },
    /// Its release is not signed.
    NotSigned(ReleaseRefusal),
    /// It has been started before, or has ended.
    Refused(RolloutRefusal),
    /// There is no such rollout.
    Absent,
}

impl Rollouts<'_> {
    /// Keeps a new rollout and starts it, or does neither: one that cannot start leaves no draft behind.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn launch(
        &self,
        rollout: &Rollout,
        now: Timestamp,
        new_id: impl FnMut() -> AssignmentId,
    ) -> Result<StartOutcome, StoreError> {
        let release = match self.signed(rollout).await? {
            Ok(release) => release,
            Err(refusal) => return Ok(StartOutcome::NotSigned(refusal)),
        };
        let mut transaction = self.store.begin().await?;
        insert(&mut *transaction, rollout).await?;
        open(
            transaction,
            &rollout.tenant,
            rollout.id,
            &release,
            now,
            new_id,
        )
        .await
    }

    /// Starts a rollout that was kept before: enlists devices, and opens the first stage. `new_id` makes the
    /// assignments' ids.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn start(
        &self,
        tenant: &Tenant,
        id: RolloutId,
        now: Timestamp,
        new_id: impl FnMut() -> AssignmentId,
    ) -> Result<StartOutcome, StoreError> {
        let Some(rollout) = self.find(tenant, id).await? else {
            return Ok(StartOutcome::Absent);
        };
        let release = match self.signed(&rollout).await? {
            Ok(release) => release,
            Err(refusal) => return Ok(StartOutcome::NotSigned(refusal)),
        };
        let transaction = self.store.begin().await?;
        open(transaction, tenant, id, &release, now, new_id).await
    }

    /// The release of a rollout, if it is signed.
    async fn signed(
        &self,
        rollout: &Rollout,
    ) -> Result<Result<Release, ReleaseRefusal>, StoreError> {
        let releases = self.store.releases();
        let Some(release) = releases.find(&rollout.tenant, rollout.release).await? else {
            return Err(
                Row::of("rollouts", rollout.id).wrong("release_id", "there is no such release")
            );
        };
        let refusal = release.require_signed().err();
        Ok(refusal.map_or(Ok(release), Err))
    }
}

/// Enlists devices and opens the first stage; commits only when the rollout has started.
async fn open(
    mut transaction: Transaction<'static, Postgres>,
    tenant: &Tenant,
    id: RolloutId,
    release: &Release,
    now: Timestamp,
    new_id: impl FnMut() -> AssignmentId,
) -> Result<StartOutcome, StoreError> {
    one_start_at_a_time(&mut transaction, tenant, release.model()).await?;
    let Some(rollout) = lock(&mut transaction, tenant, id).await? else {
        return Ok(StartOutcome::Absent);
    };
    let state = match rollout.state.after(Verb::Start, &[], now) {
        Ok(state) => state,
        Err(refusal) => return Ok(StartOutcome::Refused(refusal)),
    };
    let candidates = candidates(&mut transaction, tenant, &rollout.model).await?;
    let enlistment = enlist(id, &rollout.policy, release, &candidates);
    if enlistment.members.is_empty() {
        return Ok(StartOutcome::Nobody {
            left_out: enlistment.left_out,
        });
    }
    insert_members(&mut transaction, tenant, &rollout, &enlistment, new_id).await?;
    insert_left_out(&mut transaction, tenant, id, &enlistment.left_out).await?;
    become_state(&mut transaction, tenant, id, &state).await?;
    events::append(&mut transaction, tenant, &[state_event(id, &state, now)]).await?;
    Signal::Rollouts(tenant.clone())
        .send(&mut *transaction)
        .await?;
    transaction.commit().await?;
    let members = enlistment.members.len() as u64;
    Ok(StartOutcome::Started {
        state,
        members,
        left_out: enlistment.left_out,
    })
}

/// Two rollouts of one model that start together would both find a device free.
async fn one_start_at_a_time(
    transaction: &mut Transaction<'static, Postgres>,
    tenant: &Tenant,
    model: &ModelName,
) -> Result<(), StoreError> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtext($1), hashtext($2))",
        tenant.as_str(),
        model.as_str()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn candidates(
    transaction: &mut Transaction<'static, Postgres>,
    tenant: &Tenant,
    model: &ModelName,
) -> Result<Vec<Candidate>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT d.device, d.class, d.labels, d.barred, busy.rollout_id AS "busy?"
           FROM devices d
           LEFT JOIN LATERAL (
               SELECT a.rollout_id FROM assignments a JOIN rollouts o USING (tenant_id, rollout_id)
               WHERE a.tenant_id = d.tenant_id AND a.device = d.device AND a.model = $2
                   AND o.state IN ('running', 'paused', 'reverting')
               LIMIT 1
           ) busy ON true
           WHERE d.tenant_id = $1 ORDER BY d.device"#,
        tenant.as_str(),
        model.as_str(),
    )
    .fetch_all(&mut **transaction)
    .await?;
    rows.into_iter()
        .map(|columns| {
            let row = Row::of("devices", format_args!("{tenant}/{}", columns.device));
            Ok(Candidate {
                device: row.parse("device", &columns.device)?,
                class: row.parse("class", &columns.class)?,
                labels: row.json("labels", columns.labels)?,
                barred: columns.barred,
                busy_with: columns.busy.map(RolloutId),
            })
        })
        .collect()
}

async fn insert_members(
    transaction: &mut Transaction<'static, Postgres>,
    tenant: &Tenant,
    rollout: &Rollout,
    enlistment: &Enlistment,
    mut new_id: impl FnMut() -> AssignmentId,
) -> Result<(), StoreError> {
    for (batch, members) in enlistment.members.chunks(BATCH).enumerate() {
        let ids: Vec<_> = members.iter().map(|_| new_id().0).collect();
        let first = i32::try_from(batch * BATCH).unwrap_or(i32::MAX);
        let ordinals: Vec<_> = (first..).take(members.len()).collect();
        let stages: Vec<_> = members
            .iter()
            .map(|member| i32::try_from(member.stage).unwrap_or(i32::MAX))
            .collect();
        sqlx::query!(
            "INSERT INTO assignments (tenant_id, assignment_id, rollout_id, release_id, model, device, class, bundle,
                                      stage, ordinal, goal, attempt, phase)
             SELECT $1, new.id, $2, $3, $4, new.device, new.class, new.bundle, new.stage, new.ordinal, 'install', 0,
                    'pending'
             FROM UNNEST($5::uuid[], $6::text[], $7::text[], $8::bytea[], $9::int[], $10::int[])
                 AS new (id, device, class, bundle, stage, ordinal)",
            tenant.as_str(),
            rollout.id.0,
            rollout.release.0,
            rollout.model.as_str(),
            &ids,
            &members.iter().map(|member| member.device.as_str().to_owned()).collect::<Vec<_>>(),
            &members.iter().map(|member| member.class.as_str().to_owned()).collect::<Vec<_>>(),
            &members.iter().map(|member| member.bundle.as_bytes().to_vec()).collect::<Vec<_>>(),
            &stages,
            &ordinals,
        )
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}

async fn insert_left_out(
    transaction: &mut Transaction<'static, Postgres>,
    tenant: &Tenant,
    id: RolloutId,
    left_out: &[(DeviceName, LeftOut)],
) -> Result<(), StoreError> {
    let devices: Vec<_> = left_out
        .iter()
        .map(|(device, _)| device.as_str().to_owned())
        .collect();
    let reasons: Vec<_> = left_out
        .iter()
        .map(|(_, reason)| reason.to_string())
        .collect();
    sqlx::query!(
        "INSERT INTO rollout_left_out (tenant_id, rollout_id, device, reason)
         SELECT $1, $2, new.device, new.reason FROM UNNEST($3::text[], $4::text[]) AS new (device, reason)",
        tenant.as_str(),
        id.0,
        &devices,
        &reasons,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
