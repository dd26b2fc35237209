//! Desired states on their way: wanted, composed and signed, published.
//!
//! Each step is written before the next one is taken, so a cut anywhere shows as a difference between two numbers
//! of the row, and whoever looks next goes on from there.

use std::collections::BTreeMap;

use espalier_domain::Assignment;
use espalier_domain::desired::desired_models;
use espalier_protocol::desired::DesiredModel;
use espalier_protocol::{DeviceClassName, DeviceIdentity, DeviceName, Tenant};
use jiff::Timestamp;
use sqlx::{PgConnection, PgExecutor};

use crate::assignments::AssignmentRow;
use crate::error::happened;
use crate::moment::Moment;
use crate::row::{Row, names, signed};
use crate::{Signal, Store, StoreError, Written};

/// Desired states.
#[derive(Debug, Clone, Copy)]
pub struct Desired<'a> {
    pub(crate) store: &'a Store,
}

/// A device whose desired state must be composed and signed anew.
#[derive(Debug, Clone, PartialEq)]
pub struct ToCompose {
    /// The device.
    pub identity: DeviceIdentity,
    /// Its class.
    pub class: DeviceClassName,
    /// The change that this answers; given back to [`Desired::put`].
    pub wanted: u64,
    /// The sequence that the new state must carry: above all that was signed, and all that the device ever accepted.
    pub sequence: u64,
    /// What it should run.
    pub models: Vec<DesiredModel>,
    /// The trace of the call behind the newest assignment.
    pub traceparent: Option<String>,
}

/// A composed and signed desired state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The device.
    pub identity: DeviceIdentity,
    /// As in [`ToCompose::wanted`].
    pub wanted: u64,
    /// As in [`ToCompose::sequence`].
    pub sequence: u64,
    /// The signed bytes.
    pub envelope: Vec<u8>,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A signed desired state that the broker has not taken yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToPublish {
    /// The device.
    pub identity: DeviceIdentity,
    /// The state.
    pub envelope: Envelope,
}

/// A signed desired state by its sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Its sequence.
    pub sequence: u64,
    /// The signed bytes.
    pub bytes: Vec<u8>,
}

impl Desired<'_> {
    /// Devices whose desired state must be composed, of any tenant.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn to_compose(&self, limit: u32) -> Result<Vec<ToCompose>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT s.tenant_id, s.device, d.class, s.wanted,
                      GREATEST(s.sequence, r.desired_sequence) AS "sequence!"
               FROM desired_states s
               JOIN devices d USING (tenant_id, device)
               LEFT JOIN device_reports r USING (tenant_id, device)
               WHERE s.composed < s.wanted AND NOT d.barred
               ORDER BY s.tenant_id, s.device LIMIT $1"#,
            i64::from(limit),
        )
        .fetch_all(&self.store.pool)
        .await?;
        let mut waiting = Vec::with_capacity(rows.len());
        for columns in rows {
            let row = Row::of(
                "desired_states",
                format_args!("{}/{}", columns.tenant_id, columns.device),
            );
            waiting.push(ToCompose {
                identity: DeviceIdentity {
                    tenant: row.parse("tenant_id", &columns.tenant_id)?,
                    device: row.parse("device", &columns.device)?,
                },
                class: row.parse("class", &columns.class)?,
                wanted: row.unsigned("wanted", columns.wanted)?,
                sequence: row
                    .unsigned::<u64, _>("sequence", columns.sequence)?
                    .saturating_add(1),
                models: Vec::new(),
                traceparent: None,
            });
        }
        self.add_models(&mut waiting).await?;
        Ok(waiting)
    }

    async fn add_models(&self, waiting: &mut [ToCompose]) -> Result<(), StoreError> {
        let mut tenants: BTreeMap<Tenant, Vec<DeviceName>> = BTreeMap::new();
        for device in waiting.iter() {
            tenants
                .entry(device.identity.tenant.clone())
                .or_default()
                .push(device.identity.device.clone());
        }
        for (tenant, devices) in tenants {
            let mut standing = self.standing(&tenant, &devices).await?;
            for device in waiting
                .iter_mut()
                .filter(|device| device.identity.tenant == tenant)
            {
                let assignments = standing.remove(&device.identity.device).unwrap_or_default();
                device.models =
                    desired_models(assignments.iter().map(|(assignment, _)| assignment));
                device.traceparent = assignments
                    .into_iter()
                    .next_back()
                    .and_then(|(_, traceparent)| traceparent);
            }
        }
        Ok(())
    }

    /// For each device and model the last assignment that stands, in the order in which devices were told.
    async fn standing(
        &self,
        tenant: &Tenant,
        devices: &[DeviceName],
    ) -> Result<BTreeMap<DeviceName, Vec<(Assignment, Option<String>)>>, StoreError> {
        let rows = sqlx::query_as!(
            AssignmentRow,
            r#"SELECT a.assignment_id AS "assignment_id!", a.rollout_id AS "rollout_id!",
                      a.release_id AS "release_id!", a.device AS "device!", a.stage AS "stage!", a.class AS "class!",
                      a.model AS "model!", a.bundle AS "bundle!", a.before, a.goal AS "goal!",
                      a.attempt AS "attempt!", a.phase AS "phase!", a.step, a.sent_at AS "sent_at: Moment", a.done,
                      a.total, a.outcome, a.boot, a.seq, r.digest AS release_digest, r.counter AS release_counter
               FROM (
                   SELECT DISTINCT ON (device, model) * FROM assignments
                   WHERE tenant_id = $1 AND device = ANY($2)
                       AND phase NOT IN ('pending', 'cancelled', 'withdrawn')
                   ORDER BY device, model, assignment_id DESC
               ) a
               JOIN releases r ON r.tenant_id = $1 AND r.release_id = a.release_id
               ORDER BY a.device, a.assignment_id"#,
            tenant.as_str(),
            &names(devices),
        )
        .fetch_all(&self.store.pool)
        .await?;
        let mut traces = self.traces(tenant, &rows).await?;
        let mut standing: BTreeMap<DeviceName, Vec<(Assignment, Option<String>)>> = BTreeMap::new();
        for row in rows {
            let assignment = Assignment::try_from(row)?;
            let trace = traces.entry(assignment.rollout.0).or_default().clone();
            standing
                .entry(assignment.device.clone())
                .or_default()
                .push((assignment, trace));
        }
        Ok(standing)
    }

    async fn traces(
        &self,
        tenant: &Tenant,
        rows: &[AssignmentRow],
    ) -> Result<BTreeMap<uuid::Uuid, Option<String>>, StoreError> {
        let ids: Vec<_> = rows.iter().map(|row| row.rollout_id).collect();
        let found = sqlx::query!(
            "SELECT rollout_id, traceparent FROM rollouts WHERE tenant_id = $1 AND rollout_id = ANY($2)",
            tenant.as_str(),
            &ids,
        )
        .fetch_all(&self.store.pool)
        .await?;
        Ok(found
            .into_iter()
            .map(|row| (row.rollout_id, row.traceparent))
            .collect())
    }

    /// Keeps a signed state. Not updated when a newer one was kept meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put(&self, state: &Signed) -> Result<Written, StoreError> {
        let mut transaction = self.store.begin().await?;
        let written = sqlx::query!(
            "UPDATE desired_states
             SET composed = $3, sequence = $4, envelope = $5, issued_at = $6, expires_at = $7
             WHERE tenant_id = $1 AND device = $2 AND composed < $3 AND sequence < $4",
            state.identity.tenant.as_str(),
            state.identity.device.as_str(),
            signed(state.wanted),
            signed(state.sequence),
            state.envelope,
            Moment(state.issued_at) as _,
            Moment(state.expires_at) as _,
        )
        .execute(&mut *transaction)
        .await?;
        if !happened(written.rows_affected()) {
            return Ok(Written::NotUpdated);
        }
        Signal::Desired(state.identity.tenant.clone())
            .send(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Written::Updated)
    }

    /// Signed states that the broker has not taken, of any tenant. A revoked device is told nothing more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn to_publish(&self, limit: u32) -> Result<Vec<ToPublish>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT s.tenant_id, s.device, s.sequence, s.envelope AS "envelope!"
               FROM desired_states s JOIN devices d USING (tenant_id, device)
               WHERE s.published < s.sequence AND NOT d.barred
               ORDER BY s.tenant_id, s.device LIMIT $1"#,
            i64::from(limit),
        )
        .fetch_all(&self.store.pool)
        .await?;
        rows.into_iter()
            .map(|columns| {
                let row = Row::of(
                    "desired_states",
                    format_args!("{}/{}", columns.tenant_id, columns.device),
                );
                Ok(ToPublish {
                    identity: DeviceIdentity {
                        tenant: row.parse("tenant_id", &columns.tenant_id)?,
                        device: row.parse("device", &columns.device)?,
                    },
                    envelope: Envelope {
                        sequence: row.unsigned("sequence", columns.sequence)?,
                        bytes: columns.envelope,
                    },
                })
            })
            .collect()
    }

    /// The broker has taken a state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mark_published(
        &self,
        identity: &DeviceIdentity,
        sequence: u64,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE desired_states SET published = $3
             WHERE tenant_id = $1 AND device = $2 AND published < $3 AND sequence >= $3",
            identity.tenant.as_str(),
            identity.device.as_str(),
            signed(sequence),
        )
        .execute(&self.store.pool)
        .await?;
        Ok(())
    }

    /// The sequence of the newest signed state of each of these devices; one that has none is not there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sequences(
        &self,
        tenant: &Tenant,
        devices: &[DeviceName],
    ) -> Result<BTreeMap<DeviceName, u64>, StoreError> {
        let rows = sqlx::query!(
            "SELECT device, sequence FROM desired_states WHERE tenant_id = $1 AND device = ANY($2) AND sequence > 0",
            tenant.as_str(),
            &names(devices),
        )
        .fetch_all(&self.store.pool)
        .await?;
        rows.into_iter()
            .map(|columns| {
                let row = Row::of(
                    "desired_states",
                    format_args!("{tenant}/{}", columns.device),
                );
                Ok((
                    row.parse("device", &columns.device)?,
                    row.unsigned("sequence", columns.sequence)?,
                ))
            })
            .collect()
    }

    /// A device's newest signed state, to be sent again when it connects.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn current(&self, identity: &DeviceIdentity) -> Result<Option<Envelope>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT sequence, envelope AS "envelope!" FROM desired_states
               WHERE tenant_id = $1 AND device = $2 AND sequence > 0"#,
            identity.tenant.as_str(),
            identity.device.as_str(),
        )
        .fetch_optional(&self.store.pool)
        .await?;
        let Some(columns) = row else { return Ok(None) };
        let sequence =
            Row::of("desired_states", identity).unsigned("sequence", columns.sequence)?;
        Ok(Some(Envelope {
            sequence,
            bytes: columns.envelope,
        }))
    }

    /// Has every state signed anew that ends before `at`; gives how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn renew_ending_before(&self, at: Timestamp) -> Result<u64, StoreError> {
        let renewed = sqlx::query!(
            "UPDATE desired_states SET wanted = wanted + 1 WHERE expires_at < $1 AND composed = wanted",
            Moment(at) as _,
        )
        .execute(&self.store.pool)
        .await?;
        Ok(renewed.rows_affected())
    }

    /// Gives all broker-side copies up for lost: every state is to be published again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn republish_all(&self) -> Result<u64, StoreError> {
        let lost = sqlx::query!("UPDATE desired_states SET published = 0 WHERE published > 0")
            .execute(&self.store.pool)
            .await?;
        Ok(lost.rows_affected())
    }
}

/// What these devices should run has changed.
pub(crate) async fn want(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    devices: &[DeviceName],
) -> Result<(), StoreError> {
    let mut names = names(devices);
    names.sort_unstable();
    names.dedup();
    sqlx::query!(
        "INSERT INTO desired_states AS s (tenant_id, device, wanted)
         SELECT $1, name, 1 FROM UNNEST($2::text[]) AS name
         ON CONFLICT (tenant_id, device) DO UPDATE SET wanted = s.wanted + 1",
        tenant.as_str(),
        &names,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Other deployer keys sign for a tenant: devices believe nothing any more that was signed before.
pub(crate) async fn sign_all_anew(
    transaction: &mut PgConnection,
    tenant: &Tenant,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE desired_states SET wanted = wanted + 1 WHERE tenant_id = $1 AND composed = wanted",
        tenant.as_str(),
    )
    .execute(&mut *transaction)
    .await?;
    Signal::Desired(tenant.clone()).send(transaction).await
}
