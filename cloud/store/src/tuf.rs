//! The TUF repository's metadata: every edition of every role, exactly as signed.

use std::collections::HashMap;

use espalier_protocol::Tenant;
use jiff::Timestamp;
use sqlx::PgConnection;

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
    const ALL: [Self; 4] = [Self::Root, Self::Targets, Self::Snapshot, Self::Timestamp];

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

/// The newest edition of every role at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Of root.
    pub root: Metadata,
    /// Of targets.
    pub targets: Metadata,
    /// Of snapshot.
    pub snapshot: Metadata,
    /// Of timestamp.
    pub timestamp: Metadata,
}

impl Newest {
    /// Their versions.
    #[must_use]
    pub const fn versions(&self) -> Versions {
        Versions {
            root: self.root.version,
            targets: self.targets.version,
            snapshot: self.snapshot.version,
            timestamp: self.timestamp.version,
        }
    }
}

/// The newest version of every role; 0 where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Versions {
    /// Of root.
    pub root: u64,
    /// Of targets.
    pub targets: u64,
    /// Of snapshot.
    pub snapshot: u64,
    /// Of timestamp.
    pub timestamp: u64,
}

/// What is published together. A snapshot that names other targets than the newest, or any file by keys that the newest
/// root does not name, would be refused by every device that saw the newer ones, so all of it depends on what it was
/// signed on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edition {
    /// What was newest when it was signed; it is published only while that is still so.
    pub on: Versions,
    /// The files.
    pub files: Vec<Metadata>,
}

impl Tuf<'_> {
    /// Keeps an edition, all of it or nothing. A file that is there is never replaced.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn publish(
        &self,
        tenant: &Tenant,
        edition: &Edition,
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.store.begin().await?;
        let written = insert_all(&mut transaction, tenant, edition, now).await?;
        if written == Written::Updated {
            transaction.commit().await?;
        }
        Ok(written)
    }

    /// The same for an edition that every device has to hear of: other keys speak to it from now on. Each desired state
    /// is to be signed anew.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn publish_anew(
        &self,
        tenant: &Tenant,
        edition: &Edition,
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.store.begin().await?;
        let written = insert_all(&mut transaction, tenant, edition, now).await?;
        if written == Written::Updated {
            desired::sign_all_anew(&mut transaction, tenant).await?;
            transaction.commit().await?;
        }
        Ok(written)
    }

    /// The newest edition of every role, read at one moment; none before the first publication.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_of_all(&self, tenant: &Tenant) -> Result<Option<Newest>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT DISTINCT ON (role) role, version, bytes, expires_at AS "expires_at: Moment"
               FROM tuf_metadata WHERE tenant_id = $1 ORDER BY role, version DESC"#,
            tenant.as_str(),
        )
        .fetch_all(&self.store.pool)
        .await?;
        let mut found = HashMap::new();
        for row in rows {
            let role = Role::ALL.into_iter().find(|role| role.name() == row.role);
            let role = role.ok_or_else(|| {
                Row::of("tuf_metadata", &row.role).wrong("role", "there is no such role")
            })?;
            let metadata = MetadataRow {
                version: row.version,
                bytes: row.bytes,
                expires_at: row.expires_at,
            };
            found.insert(role, metadata.into_metadata(role)?);
        }
        let [Some(root), Some(targets), Some(snapshot), Some(timestamp)] =
            Role::ALL.map(|role| found.remove(&role))
        else {
            return Ok(None);
        };
        Ok(Some(Newest {
            root,
            targets,
            snapshot,
            timestamp,
        }))
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

/// Keeps an edition while what it was signed on is still the newest.
pub(crate) async fn insert_all(
    transaction: &mut PgConnection,
    tenant: &Tenant,
    edition: &Edition,
    now: Timestamp,
) -> Result<Written, StoreError> {
    one_publication_at_a_time(transaction, tenant).await?;
    if versions(transaction, tenant).await? != edition.on {
        return Ok(Written::NotUpdated);
    }
    for file in &edition.files {
        if insert(transaction, tenant, file, now).await? == Written::NotUpdated {
            return Ok(Written::NotUpdated);
        }
    }
    Ok(Written::Updated)
}

/// Two publications at once would both find that what they were signed on is the newest.
async fn one_publication_at_a_time(
    transaction: &mut PgConnection,
    tenant: &Tenant,
) -> Result<(), StoreError> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtext('espalier metadata'), hashtext($1))",
        tenant.as_str(),
    )
    .execute(transaction)
    .await?;
    Ok(())
}

async fn versions(transaction: &mut PgConnection, tenant: &Tenant) -> Result<Versions, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT role, MAX(version) AS "version!" FROM tuf_metadata
           WHERE tenant_id = $1 GROUP BY role"#,
        tenant.as_str(),
    )
    .fetch_all(transaction)
    .await?;
    let newest = |role: Role| {
        let row = rows.iter().find(|row| row.role == role.name());
        let at = Row::of("tuf_metadata", role.name());
        row.map_or(Ok(0), |row| at.unsigned("version", row.version))
    };
    Ok(Versions {
        root: newest(Role::Root)?,
        targets: newest(Role::Targets)?,
        snapshot: newest(Role::Snapshot)?,
        timestamp: newest(Role::Timestamp)?,
    })
}

/// Keeps one file, unless one of its version is there.
async fn insert(
    transaction: &mut PgConnection,
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
    .execute(transaction)
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
