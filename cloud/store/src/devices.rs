//! Devices, their certificates, how they come in, and what they refused.

mod enrol;
mod quarantine;
pub(crate) mod refusals;
mod renew;
mod row;

use std::collections::BTreeMap;

use espalier_domain::device::Device;
use espalier_domain::{Assignment, Labels};
use espalier_protocol::{DeviceIdentity, DeviceName, Tenant};
use jiff::Timestamp;
use sqlx::{PgExecutor, Postgres, Transaction};

pub use enrol::{EnrolOutcome, Enrolment};
pub use renew::{RenewOutcome, Renewal};
use row::DeviceRow;

use crate::assignments::{Selection, load_for_update, phase_event, save};
use crate::error::happened;
use crate::moment::Moment;
use crate::row::{Row, names, to_json};
use crate::{Signal, Store, StoreError, Written, events};

/// Devices and their certificates.
#[derive(Debug, Clone, Copy)]
pub struct Devices<'a> {
    pub(crate) store: &'a Store,
}

/// A certificate as the cloud remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRecord {
    /// Its serial number, hex without leading zeros.
    pub serial: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Devices<'_> {
    /// A device.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, identity: &DeviceIdentity) -> Result<Option<Device>, StoreError> {
        let row = sqlx::query_as!(
            DeviceRow,
            r#"SELECT d.tenant_id, d.device, d.role, d.class, d.gateway, d.labels, d.public_key,
                      d.enrolled_at AS "enrolled_at: Moment", d.revoked_at AS "revoked_at: Moment", d.revoked_reason,
                      d.quarantined_at AS "quarantined_at: Moment", d.quarantined_reason,
                      d.inventory, r.boot AS "boot?", r.seq AS "seq?", r.received_at AS "received_at?: Moment",
                      r.desired_sequence AS "desired_sequence?", r.models AS "models?"
               FROM devices d LEFT JOIN device_reports r USING (tenant_id, device)
               WHERE d.tenant_id = $1 AND d.device = $2"#,
            identity.tenant.as_str(),
            identity.device.as_str(),
        )
        .fetch_optional(&self.store.pool)
        .await?;
        row.map(Device::try_from).transpose()
    }

    /// A page of devices by name, after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(
        &self,
        tenant: &Tenant,
        after: Option<&DeviceName>,
        limit: u32,
    ) -> Result<Vec<Device>, StoreError> {
        let rows = sqlx::query_as!(
            DeviceRow,
            r#"SELECT d.tenant_id, d.device, d.role, d.class, d.gateway, d.labels, d.public_key,
                      d.enrolled_at AS "enrolled_at: Moment", d.revoked_at AS "revoked_at: Moment", d.revoked_reason,
                      d.quarantined_at AS "quarantined_at: Moment", d.quarantined_reason,
                      d.inventory, r.boot AS "boot?", r.seq AS "seq?", r.received_at AS "received_at?: Moment",
                      r.desired_sequence AS "desired_sequence?", r.models AS "models?"
               FROM devices d LEFT JOIN device_reports r USING (tenant_id, device)
               WHERE d.tenant_id = $1 AND d.device > $2 ORDER BY d.device LIMIT $3"#,
            tenant.as_str(),
            after.map_or("", DeviceName::as_str),
            i64::from(limit),
        )
        .fetch_all(&self.store.pool)
        .await?;
        rows.into_iter().map(Device::try_from).collect()
    }

    /// The names of the devices behind a gateway.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn children(&self, gateway: &DeviceIdentity) -> Result<Vec<DeviceName>, StoreError> {
        let names = sqlx::query_scalar!(
            "SELECT device FROM devices
             WHERE tenant_id = $1 AND gateway = $2 AND NOT barred ORDER BY device",
            gateway.tenant.as_str(),
            gateway.device.as_str(),
        )
        .fetch_all(&self.store.pool)
        .await?;
        names
            .iter()
            .map(|name| Row::of("devices", name).parse("device", name))
            .collect()
    }

    /// Replaces a device's labels.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_labels(
        &self,
        identity: &DeviceIdentity,
        labels: &Labels,
    ) -> Result<Written, StoreError> {
        let updated = sqlx::query!(
            "UPDATE devices SET labels = $3 WHERE tenant_id = $1 AND device = $2",
            identity.tenant.as_str(),
            identity.device.as_str(),
            to_json(labels)?,
        )
        .execute(&self.store.pool)
        .await?;
        Ok(if happened(updated.rows_affected()) {
            Written::Updated
        } else {
            Written::Absent
        })
    }

    /// Revokes a device with all its certificates. Rollouts wait for it no longer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke(
        &self,
        identity: &DeviceIdentity,
        reason: &str,
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.store.begin().await?;
        match lock(&mut transaction, identity).await? {
            None => return Ok(Written::Absent),
            Some(known) if known.revoked => return Ok(Written::NotUpdated),
            Some(_) => {}
        }
        sqlx::query!(
            "WITH device AS (
                 UPDATE devices SET revoked_at = $3, revoked_reason = $4 WHERE tenant_id = $1 AND device = $2
             )
             UPDATE certificates SET revoked_at = $3 WHERE tenant_id = $1 AND device = $2 AND revoked_at IS NULL",
            identity.tenant.as_str(),
            identity.device.as_str(),
            Moment(now) as _,
            reason,
        )
        .execute(&mut *transaction)
        .await?;
        leave_rollouts(&mut transaction, identity, now).await?;
        transaction.commit().await?;
        Ok(Written::Updated)
    }

    /// A device's certificates, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn certificates(
        &self,
        identity: &DeviceIdentity,
    ) -> Result<Vec<CertificateRecord>, StoreError> {
        certificates_of(&self.store.pool, identity).await
    }

    /// The newest certificate of each of these devices.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_certificates(
        &self,
        tenant: &Tenant,
        devices: &[DeviceName],
    ) -> Result<BTreeMap<DeviceName, CertificateRecord>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT DISTINCT ON (device) device, serial, issued_at AS "issued_at: Moment",
                      expires_at AS "expires_at: Moment"
               FROM certificates WHERE tenant_id = $1 AND device = ANY($2)
               ORDER BY device, issued_at DESC, serial"#,
            tenant.as_str(),
            &names(devices),
        )
        .fetch_all(&self.store.pool)
        .await?;
        rows.into_iter()
            .map(|columns| {
                let device =
                    Row::of("certificates", &columns.serial).parse("device", &columns.device)?;
                let record = CertificateRecord {
                    serial: columns.serial,
                    issued_at: columns.issued_at.0,
                    expires_at: columns.expires_at.0,
                };
                Ok((device, record))
            })
            .collect()
    }
}

/// A device's certificates, newest first. Those of a device that is not barred are all good until they end.
async fn certificates_of(
    executor: impl PgExecutor<'_>,
    identity: &DeviceIdentity,
) -> Result<Vec<CertificateRecord>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT serial, issued_at AS "issued_at: Moment", expires_at AS "expires_at: Moment"
           FROM certificates WHERE tenant_id = $1 AND device = $2 ORDER BY issued_at DESC, serial"#,
        identity.tenant.as_str(),
        identity.device.as_str(),
    )
    .fetch_all(executor)
    .await?;
    let record = |serial, issued_at: Moment, expires_at: Moment| CertificateRecord {
        serial,
        issued_at: issued_at.0,
        expires_at: expires_at.0,
    };
    Ok(rows
        .into_iter()
        .map(|row| record(row.serial, row.issued_at, row.expires_at))
        .collect())
}

/// What shuts a device out now.
struct Bars {
    revoked: bool,
    quarantined: bool,
}

impl Bars {
    const fn any(&self) -> bool {
        self.revoked || self.quarantined
    }
}

/// What shuts a device out, which nobody else changes before the transaction ends; none for one that is unknown.
async fn lock(
    transaction: &mut Transaction<'static, Postgres>,
    identity: &DeviceIdentity,
) -> Result<Option<Bars>, StoreError> {
    let bars = sqlx::query_as!(
        Bars,
        r#"SELECT revoked_at IS NOT NULL AS "revoked!", quarantined_at IS NOT NULL AS "quarantined!"
           FROM devices WHERE tenant_id = $1 AND device = $2 FOR NO KEY UPDATE"#,
        identity.tenant.as_str(),
        identity.device.as_str(),
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(bars)
}

/// Nobody may wait for what a barred device cannot say any more.
async fn leave_rollouts(
    transaction: &mut Transaction<'static, Postgres>,
    identity: &DeviceIdentity,
    now: Timestamp,
) -> Result<(), StoreError> {
    let tenant = &identity.tenant;
    let open = Selection::Open(&identity.device);
    let before = load_for_update(transaction, tenant, open).await?;
    let mut left = before.clone();
    left.iter_mut().for_each(Assignment::leave);
    left.retain(|after| !before.contains(after));
    save(&mut **transaction, tenant, &left).await?;
    let news: Vec<_> = left.iter().map(|after| phase_event(after, now)).collect();
    Signal::Rollouts(tenant.clone())
        .send(&mut **transaction)
        .await?;
    events::append(transaction, tenant, &news).await
}
