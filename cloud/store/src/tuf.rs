//! The TUF repository's metadata: every edition of every role, exactly as signed.

use espalier_protocol::Tenant;
use jiff::Timestamp;
use sqlx::{PgConnection, PgExecutor};

use crate::error::happened;
use crate::moment::Moment;
use crate::row::{Row, signed};
use crate::{Store, StoreError, Written, desired};

/// The TUF repository's metadata.
#[derive(Debug, Clone, Copy)]
pub struct Tuf<'a> {
    pub(crate) store: &'a Store,
}

/// A top-level role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Which keys hold which role.
    Root,
    /// Which releases exist.
    Targets,
    /// Which edition of the targets is current.
    Snapshot,
    /// That this was said lately.
    Timestamp,
}

impl Role {
    /// The role's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }
}

/// One edition of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Which role.
    pub role: Role,
    /// Its version.
    pub version: u64,
    /// When devices stop trusting it.
    pub expires_at: Timestamp,
    /// The file.
    pub bytes: Vec<u8>,
}

impl Tuf<'_> {
    /// Keeps new editions, all or none of them. An edition that is there is never replaced.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn publish(
        &self,
        tenant: &Tenant,
        files: &[Metadata],
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.store.begin().await?;
        let written = insert_all(&mut transaction, tenant, files, now).await?;
        if written == Written::Updated {
            transaction.commit().await?;
        }
        Ok(written)
    }

    /// The same for editions that every device has to hear of: other keys speak to it from now on. Each desired state
    /// is to be signed anew.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn publish_anew(
        &self,
        tenant: &Tenant,
        files: &[Metadata],
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.store.begin().await?;
        let written = insert_all(&mut transaction, tenant, files, now).await?;
        if written == Written::Updated {
            desired::sign_all_anew(&mut transaction, tenant).await?;
            transaction.commit().await?;
        }
        Ok(written)
    }

    /// The newest edition of a role.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest(
        &self,
        tenant: &Tenant,
        role: Role,
    ) -> Result<Option<Metadata>, StoreError> {
        let row = sqlx::query_as!(
            MetadataRow,
            r#"SELECT version, bytes, expires_at AS "expires_at: Moment" FROM tuf_metadata
               WHERE tenant_id = $1 AND role = $2 ORDER BY version DESC LIMIT 1"#,
            tenant.as_str(),
            role.name(),
        )
        .fetch_optional(&self.store.pool)
        .await?;
        row.map(|row| row.into_metadata(role)).transpose()
    }

    /// One edition of a role.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn edition(
        &self,
        tenant: &Tenant,
        role: Role,
        version: u64,
    ) -> Result<Option<Metadata>, StoreError> {
        let row = sqlx::query_as!(
            MetadataRow,
            r#"SELECT version, bytes, expires_at AS "expires_at: Moment" FROM tuf_metadata
               WHERE tenant_id = $1 AND role = $2 AND version = $3"#,
            tenant.as_str(),
            role.name(),
            signed(version),
        )
        .fetch_optional(&self.store.pool)
        .await?;
        row.map(|row| row.into_metadata(role)).transpose()
    }
}

async fn insert_all(
    transaction: &mut PgConnection,
    tenant: &Tenant,
    files: &[Metadata],
    now: Timestamp,
) -> Result<Written, StoreError> {
    for file in files {
        if insert(&mut *transaction, tenant, file, now).await? == Written::NotUpdated {
            return Ok(Written::NotUpdated);
        }
    }
    Ok(Written::Updated)
}

/// Keeps one edition, unless one of its version is there.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    file: &Metadata,
    now: Timestamp,
) -> Result<Written, StoreError> {
    let inserted = sqlx::query!(
        "INSERT INTO tuf_metadata (tenant_id, role, version, bytes, expires_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        tenant.as_str(),
        file.role.name(),
        signed(file.version),
        file.bytes,
        Moment(file.expires_at) as _,
        Moment(now) as _,
    )
    .execute(executor)
    .await?;
    Ok(if happened(inserted.rows_affected()) {
        Written::Updated
    } else {
        Written::NotUpdated
    })
}

struct MetadataRow {
    version: i64,
    bytes: Vec<u8>,
    expires_at: Moment,
}

impl MetadataRow {
    fn into_metadata(self, role: Role) -> Result<Metadata, StoreError> {
        let row = Row::of(
            "tuf_metadata",
            format_args!("{} {}", role.name(), self.version),
        );
        Ok(Metadata {
            role,
            version: row.unsigned("version", self.version)?,
            expires_at: self.expires_at.0,
            bytes: self.bytes,
        })
    }
}
