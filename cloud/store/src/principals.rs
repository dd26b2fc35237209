//! Tenants, principals and tokens.

use espalier_domain::principal::{Principal, PrincipalId};
use espalier_protocol::{Digest, Tenant};
use jiff::Timestamp;
use uuid::Uuid;

use crate::moment::Moment;
use crate::row::Row;
use crate::{Store, StoreError};

/// Tenants, principals and their tokens.
#[derive(Debug, Clone, Copy)]
pub struct Principals<'a> {
    pub(crate) store: &'a Store,
}

impl Principals<'_> {
    /// Makes sure that a tenant exists.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ensure_tenant(&self, tenant: &Tenant, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO tenants (tenant_id, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            tenant.as_str(),
            Moment(now) as _,
        )
        .execute(&self.store.pool)
        .await?;
        Ok(())
    }

    /// Every tenant.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        let names = sqlx::query_scalar!("SELECT tenant_id FROM tenants ORDER BY tenant_id")
            .fetch_all(&self.store.pool)
            .await?;
        names
            .iter()
            .map(|name| Row::of("tenants", name).parse("tenant_id", name))
            .collect()
    }

    /// Makes sure that a principal of this name exists in its tenant; an existing one keeps its id and gets the role.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ensure(
        &self,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<PrincipalId, StoreError> {
        let id = sqlx::query_scalar!(
            "INSERT INTO principals (tenant_id, principal_id, name, role, created_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (tenant_id, name) DO UPDATE SET role = excluded.role
             RETURNING principal_id",
            principal.tenant.as_str(),
            principal.id.0,
            principal.name,
            principal.role.name(),
            Moment(now) as _,
        )
        .fetch_one(&self.store.pool)
        .await?;
        Ok(PrincipalId(id))
    }

    /// Gives a principal a token, known by the digest of its text from now on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_token(
        &self,
        tenant: &Tenant,
        principal: PrincipalId,
        token: &Digest,
        now: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO tokens (token_digest, tenant_id, principal_id, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            token.as_bytes(),
            tenant.as_str(),
            principal.0,
            Moment(now) as _,
            expires_at.map(Moment) as _,
        )
        .execute(&self.store.pool)
        .await?;
        Ok(())
    }

    /// Who a token belongs to, if it is good now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn by_token(
        &self,
        token: &Digest,
        now: Timestamp,
    ) -> Result<Option<Principal>, StoreError> {
        let row = sqlx::query_as!(
            PrincipalRow,
            "SELECT p.tenant_id, p.principal_id, p.name, p.role
             FROM tokens t JOIN principals p USING (tenant_id, principal_id)
             WHERE t.token_digest = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2)",
            token.as_bytes(),
            Moment(now) as _,
        )
        .fetch_optional(&self.store.pool)
        .await?;
        row.map(Principal::try_from).transpose()
    }
}

struct PrincipalRow {
    tenant_id: String,
    principal_id: Uuid,
    name: String,
    role: String,
}

impl TryFrom<PrincipalRow> for Principal {
    type Error = StoreError;

    fn try_from(columns: PrincipalRow) -> Result<Self, StoreError> {
        let row = Row::of("principals", columns.principal_id);
        Ok(Self {
            id: PrincipalId(columns.principal_id),
            tenant: row.parse("tenant_id", &columns.tenant_id)?,
            role: row.parse("role", &columns.role)?,
            name: columns.name,
        })
    }
}
