//! Devices whose key two hold: shut out, and let in again by an operator who has looked.

use espalier_protocol::DeviceIdentity;
use jiff::Timestamp;

use super::{Devices, leave_rollouts, lock};
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
        match lock(&mut transaction, identity).await? {
            None => return Ok(Written::Absent),
            Some(known) if known.any() => return Ok(Written::NotUpdated),
            Some(_) => {}
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
        match lock(&mut transaction, identity).await? {
            None => return Ok(Written::Absent),
            Some(known) if !known.quarantined => return Ok(Written::NotUpdated),
            Some(_) => {}
        }
        sqlx::query!(
            "UPDATE devices SET quarantined_at = NULL, quarantined_reason = NULL WHERE tenant_id = $1 AND device = $2",
            identity.tenant.as_str(),
            identity.device.as_str(),
        )
        .execute(&mut *transaction)
        .await?;
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
