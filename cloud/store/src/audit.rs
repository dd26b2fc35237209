//! The audit log: appended to, read, never changed.

use espalier_domain::audit::{Actor, AuditEntry};
use espalier_domain::principal::PrincipalId;
use espalier_protocol::Tenant;
use uuid::Uuid;

use crate::moment::Moment;
use crate::row::Row;
use crate::{Store, StoreError};

/// Who did what.
#[derive(Debug, Clone, Copy)]
pub struct Audit<'a> {
    pub(crate) store: &'a Store,
}

/// An entry with its place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Grows with every entry.
    pub id: u64,
    /// The entry.
    pub entry: AuditEntry,
}

impl Audit<'_> {
    /// Appends an entry.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn append(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let principal = match &entry.actor {
            Actor::Principal(id) => Some(id.0),
            Actor::Cloud => None,
        };
        sqlx::query!(
            "INSERT INTO audit_log (tenant_id, at, principal_id, action, subject, detail) VALUES ($1, $2, $3, $4, $5, $6)",
            entry.tenant.as_str(),
            Moment(entry.at) as _,
            principal,
            entry.action,
            entry.subject,
            entry.detail,
        )
        .execute(&self.store.pool)
        .await?;
        Ok(())
    }

    /// The newest entries, newest first; `before` is the id of the last one of the page before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest(
        &self,
        tenant: &Tenant,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let rows = sqlx::query_as!(
            AuditRow,
            r#"SELECT entry_id, tenant_id, at AS "at: Moment", principal_id, action, subject, detail
               FROM audit_log WHERE tenant_id = $1 AND entry_id < $2 ORDER BY entry_id DESC LIMIT $3"#,
            tenant.as_str(),
            before.map_or(i64::MAX, crate::row::signed),
            i64::from(limit),
        )
        .fetch_all(&self.store.pool)
        .await?;
        rows.into_iter().map(AuditRecord::try_from).collect()
    }
}

struct AuditRow {
    entry_id: i64,
    tenant_id: String,
    at: Moment,
    principal_id: Option<Uuid>,
    action: String,
    subject: String,
    detail: serde_json::Value,
}

impl TryFrom<AuditRow> for AuditRecord {
    type Error = StoreError;

    fn try_from(columns: AuditRow) -> Result<Self, StoreError> {
        let row = Row::of("audit_log", columns.entry_id);
        let entry = AuditEntry {
            at: columns.at.0,
            tenant: row.parse("tenant_id", &columns.tenant_id)?,
            actor: columns
                .principal_id
                .map_or(Actor::Cloud, |id| Actor::Principal(PrincipalId(id))),
            action: columns.action,
            subject: columns.subject,
            detail: columns.detail,
        };
        Ok(Self {
            id: row.unsigned("entry_id", columns.entry_id)?,
            entry,
        })
    }
}
