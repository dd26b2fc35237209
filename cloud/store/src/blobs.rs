//! Whose blobs are whose. Their bytes lie elsewhere, under their digest, and know no owner.

use espalier_protocol::{Digest, Tenant};
use jiff::Timestamp;

use crate::moment::Moment;
use crate::{Store, StoreError};

/// Whose blobs are whose.
#[derive(Debug, Clone, Copy)]
pub struct Blobs<'a> {
    pub(crate) store: &'a Store,
}

impl Blobs<'_> {
    /// A tenant has sent these bytes, all of them: it may use them from now on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn uploaded(
        &self,
        tenant: &Tenant,
        digest: Digest,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO uploads (tenant_id, sha256, received_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            tenant.as_str(),
            digest.as_bytes(),
            Moment(now) as _,
        )
        .execute(&self.store.pool)
        .await?;
        Ok(())
    }

    /// Whether a blob is one of a tenant's: it was sent by it, or one of its models, builds or releases has it.
    ///
    /// The files in a bundle are not looked for: devices fetch those at their own door, and operators by release.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn belongs(&self, tenant: &Tenant, digest: Digest) -> Result<bool, StoreError> {
        let belongs = sqlx::query_scalar!(
            r#"SELECT (
                   EXISTS (SELECT FROM uploads WHERE tenant_id = $1 AND sha256 = $2)
                   OR EXISTS (SELECT FROM model_files WHERE tenant_id = $1 AND sha256 = $2)
                   OR EXISTS (SELECT FROM model_versions WHERE tenant_id = $1 AND description = $2)
                   OR EXISTS (SELECT FROM builds WHERE tenant_id = $1 AND bundle = $2)
                   OR EXISTS (SELECT FROM releases WHERE tenant_id = $1 AND digest = $2)
               ) AS "belongs!""#,
            tenant.as_str(),
            digest.as_bytes(),
        )
        .fetch_one(&self.store.pool)
        .await?;
        Ok(belongs)
    }
}
