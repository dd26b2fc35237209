//! Devices, their certificates, how they come in, and what they refused.

mod enrol;
pub(crate) mod refusals;
mod row;

use espalier_domain::Labels;
use espalier_domain::device::Device;
use espalier_protocol::{DeviceIdentity, DeviceName, Tenant};
use jiff::Timestamp;

pub use enrol::{EnrolOutcome, Enrolment};
use row::DeviceRow;

use crate::error::happened;
use crate::moment::Moment;
use crate::row::{Row, to_json};
use crate::{Store, StoreError, Written};

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

    /// How many devices a tenant has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count(&self, tenant: &Tenant) -> Result<u64, StoreError> {
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM devices WHERE tenant_id = $1"#,
            tenant.as_str(),
        )
        .fetch_one(&self.store.pool)
        .await?;
        Row::of("devices", tenant).unsigned("count", count)
    }

    /// The names of the devices behind a gateway.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn children(&self, gateway: &DeviceIdentity) -> Result<Vec<DeviceName>, StoreError> {
        let names = sqlx::query_scalar!(
            "SELECT device FROM devices
             WHERE tenant_id = $1 AND gateway = $2 AND revoked_at IS NULL ORDER BY device",
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

    /// Revokes a device with all its certificates.
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
        let before = sqlx::query_scalar!(
            r#"SELECT revoked_at IS NOT NULL AS "revoked!" FROM devices
               WHERE tenant_id = $1 AND device = $2 FOR UPDATE"#,
            identity.tenant.as_str(),
            identity.device.as_str(),
        )
        .fetch_optional(&mut *transaction)
        .await?;
        match before {
            None => return Ok(Written::Absent),
            Some(true) => return Ok(Written::NotUpdated),
            Some(false) => {}
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
        let rows = sqlx::query!(
            r#"SELECT serial, issued_at AS "issued_at: Moment", expires_at AS "expires_at: Moment"
               FROM certificates WHERE tenant_id = $1 AND device = $2 ORDER BY issued_at DESC, serial"#,
            identity.tenant.as_str(),
            identity.device.as_str(),
        )
        .fetch_all(&self.store.pool)
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

    /// Whether a certificate is one that the cloud issued to this device and has not revoked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn certificate_stands(
        &self,
        identity: &DeviceIdentity,
        serial: &str,
    ) -> Result<bool, StoreError> {
        let stands = sqlx::query_scalar!(
            r#"SELECT EXISTS (
                   SELECT FROM certificates c JOIN devices d USING (tenant_id, device)
                   WHERE c.serial = $1 AND c.tenant_id = $2 AND c.device = $3
                       AND c.revoked_at IS NULL AND d.revoked_at IS NULL
               ) AS "stands!""#,
            serial,
            identity.tenant.as_str(),
            identity.device.as_str(),
        )
        .fetch_one(&self.store.pool)
        .await?;
        Ok(stands)
    }
}
