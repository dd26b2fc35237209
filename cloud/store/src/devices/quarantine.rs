//! Devices whose key two hold: shut out, and let in again by an operator who has looked.

use espalier_protocol::DeviceIdentity;
use jiff::Timestamp;

use super::{Devices, leave_rollouts};
use crate::error::happened;
use crate::moment::Moment;
use crate::{StoreError, Written};

impl Devices<'_> {
    /// Shuts a device out until it is readmitted. Rollouts wait for it no longer.
    ///
    /// `NotUpdated` when it is shut out already, whatever for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn quarantine(
        &self,
        identity: &DeviceIdentity,
        reason: &str,
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.store.begin().await?;
        let before = sqlx::query_scalar!(
            r#"SELECT barred AS "barred!" FROM devices WHERE tenant_id = $1 AND device = $2 FOR UPDATE"#,
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
            "UPDATE devices SET quarantined_at = $3, quarantined_reason = $4 WHERE tenant_id = $1 AND device = $2",
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

    /// Lets a device in again. Its last report is forgotten with it: the one that is left of two may be the one that
    /// counted fewer starts, and must be heard.
    ///
    /// `NotUpdated` when it is in no quarantine.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn readmit(&self, identity: &DeviceIdentity) -> Result<Written, StoreError> {
        let mut transaction = self.store.begin().await?;
        let known = sqlx::query!(
            "SELECT FROM devices WHERE tenant_id = $1 AND device = $2 FOR UPDATE",
            identity.tenant.as_str(),
            identity.device.as_str(),
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if known.is_none() {
            return Ok(Written::Absent);
        }
        let freed = sqlx::query!(
            "UPDATE devices SET quarantined_at = NULL, quarantined_reason = NULL
             WHERE tenant_id = $1 AND device = $2 AND quarantined_at IS NOT NULL",
            identity.tenant.as_str(),
            identity.device.as_str(),
        )
        .execute(&mut *transaction)
        .await?;
        if !happened(freed.rows_affected()) {
            return Ok(Written::NotUpdated);
        }
        sqlx::query!(
            "DELETE FROM device_reports WHERE tenant_id = $1 AND device = $2",
            identity.tenant.as_str(),
            identity.device.as_str(),
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Written::Updated)
    }
}
