//! Claims. They are used up by enrolment, in `devices.rs`, within its transaction.

use espalier_domain::claim::Claim;
use espalier_protocol::id::ClaimId;
use espalier_protocol::{DeviceClassName, Digest, Tenant};
use jiff::Timestamp;
use uuid::Uuid;

use crate::error::happened;
use crate::moment::Moment;
use crate::row::Row;
use crate::{Store, StoreError, Written};

/// The right to enrol.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a> {
    pub(crate) store: &'a Store,
}

/// A claim to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClaim {
    /// Its id.
    pub id: ClaimId,
    /// Where devices will belong.
    pub tenant: Tenant,
    /// The digest of its secret; the secret itself only travels with the claim file.
    pub token: Digest,
    /// The only class that may enrol with it, if it is bound to one.
    pub class: Option<DeviceClassName>,
    /// How many devices may enrol with it.
    pub max_uses: u32,
    /// When it is made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Claims<'_> {
    /// Keeps a new claim.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn create(&self, claim: &NewClaim) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO claims (tenant_id, claim_id, token_digest, class, max_uses, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            claim.tenant.as_str(),
            claim.id.0,
            claim.token.as_bytes(),
            claim.class.as_ref().map(DeviceClassName::as_str),
            i32::try_from(claim.max_uses).unwrap_or(i32::MAX),
            Moment(claim.created_at) as _,
            Moment(claim.expires_at) as _,
        )
        .execute(&self.store.pool)
        .await?;
        Ok(())
    }

    /// The claim that a secret belongs to, in whatever state it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn by_token(&self, token: &Digest) -> Result<Option<Claim>, StoreError> {
        let row = sqlx::query_as!(
            ClaimRow,
            r#"SELECT tenant_id, claim_id, class, max_uses, uses, expires_at AS "expires_at: Moment",
                      revoked_at IS NOT NULL AS "revoked!"
               FROM claims WHERE token_digest = $1"#,
            token.as_bytes(),
        )
        .fetch_optional(&self.store.pool)
        .await?;
        row.map(Claim::try_from).transpose()
    }

    /// Withdraws a claim.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke(
        &self,
        tenant: &Tenant,
        id: ClaimId,
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let revoked = sqlx::query!(
            "UPDATE claims SET revoked_at = $3 WHERE tenant_id = $1 AND claim_id = $2 AND revoked_at IS NULL",
            tenant.as_str(),
            id.0,
            Moment(now) as _,
        )
        .execute(&self.store.pool)
        .await?;
        if happened(revoked.rows_affected()) {
            return Ok(Written::Updated);
        }
        let known = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM claims WHERE tenant_id = $1 AND claim_id = $2) AS "known!""#,
            tenant.as_str(),
            id.0,
        )
        .fetch_one(&self.store.pool)
        .await?;
        Ok(if known {
            Written::NotUpdated
        } else {
            Written::Absent
        })
    }
}

pub(crate) struct ClaimRow {
    pub(crate) tenant_id: String,
    pub(crate) claim_id: Uuid,
    pub(crate) class: Option<String>,
    pub(crate) max_uses: i32,
    pub(crate) uses: i32,
    pub(crate) expires_at: Moment,
    pub(crate) revoked: bool,
}

impl TryFrom<ClaimRow> for Claim {
    type Error = StoreError;

    fn try_from(columns: ClaimRow) -> Result<Self, StoreError> {
        let row = Row::of("claims", columns.claim_id);
        Ok(Self {
            id: ClaimId(columns.claim_id),
            tenant: row.parse("tenant_id", &columns.tenant_id)?,
            class: row.parse_some("class", columns.class.as_deref())?,
            max_uses: row.unsigned("max_uses", columns.max_uses)?,
            uses: row.unsigned("uses", columns.uses)?,
            expires_at: columns.expires_at.0,
            revoked: columns.revoked,
        })
    }
}
