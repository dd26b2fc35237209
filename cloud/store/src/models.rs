//! Model versions and their files.

use std::collections::BTreeMap;

use espalier_domain::model::{ModelFile, ModelVersion};
use espalier_protocol::id::ModelVersionId;
use espalier_protocol::manifest::FileEntry;
use espalier_protocol::{ModelName, Tenant};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::moment::Moment;
use crate::row::{Row, signed, storable, to_json};
use crate::{Store, StoreError};

/// Full models.
#[derive(Debug, Clone, Copy)]
pub struct Models<'a> {
    pub(crate) store: &'a Store,
}

impl Models<'_> {
    /// Keeps a new model version with its files.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn import(&self, version: &ModelVersion) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        sqlx::query!(
            "INSERT INTO model_versions
                 (tenant_id, model_version_id, model, task, summary, description, facts, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            version.tenant.as_str(),
            version.id.0,
            version.model.as_str(),
            version.task,
            &*storable(&version.summary),
            version.description.as_bytes(),
            to_json(&version.facts)?,
            Moment(version.created_at) as _,
        )
        .execute(&mut *transaction)
        .await?;
        insert_files(&mut *transaction, version).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// A model version.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(
        &self,
        tenant: &Tenant,
        id: ModelVersionId,
    ) -> Result<Option<ModelVersion>, StoreError> {
        let row = sqlx::query_as!(
            ModelRow,
            r#"SELECT tenant_id, model_version_id, model, task, summary, description, facts,
                      created_at AS "created_at: Moment"
               FROM model_versions WHERE tenant_id = $1 AND model_version_id = $2"#,
            tenant.as_str(),
            id.0,
        )
        .fetch_optional(&self.store.pool)
        .await?;
        Ok(self
            .with_files(tenant, row.into_iter().collect())
            .await?
            .pop())
    }

    /// A page of a tenant's models by name, after `after`: each by its newest version.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest(
        &self,
        tenant: &Tenant,
        after: Option<&ModelName>,
        limit: u32,
    ) -> Result<Vec<ModelVersion>, StoreError> {
        let rows = sqlx::query_as!(
            ModelRow,
            r#"SELECT DISTINCT ON (model) tenant_id, model_version_id, model, task, summary, description, facts,
                      created_at AS "created_at: Moment"
               FROM model_versions WHERE tenant_id = $1 AND model > $2
               ORDER BY model, model_version_id DESC LIMIT $3"#,
            tenant.as_str(),
            after.map_or("", ModelName::as_str),
            i64::from(limit),
        )
        .fetch_all(&self.store.pool)
        .await?;
        self.with_files(tenant, rows).await
    }

    /// A page of a model's versions, newest first, from the one imported before `after` on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn versions(
        &self,
        tenant: &Tenant,
        model: &ModelName,
        after: Option<ModelVersionId>,
        limit: u32,
    ) -> Result<Vec<ModelVersion>, StoreError> {
        let rows = sqlx::query_as!(
            ModelRow,
            r#"SELECT tenant_id, model_version_id, model, task, summary, description, facts,
                      created_at AS "created_at: Moment"
               FROM model_versions
               WHERE tenant_id = $1 AND model = $2 AND ($3::uuid IS NULL OR model_version_id < $3)
               ORDER BY model_version_id DESC LIMIT $4"#,
            tenant.as_str(),
            model.as_str(),
            after.map(|after| after.0),
            i64::from(limit),
        )
        .fetch_all(&self.store.pool)
        .await?;
        self.with_files(tenant, rows).await
    }

    async fn with_files(
        &self,
        tenant: &Tenant,
        rows: Vec<ModelRow>,
    ) -> Result<Vec<ModelVersion>, StoreError> {
        let ids: Vec<_> = rows.iter().map(|row| row.model_version_id).collect();
        let found = sqlx::query_as!(
            FileRow,
            "SELECT model_version_id, path, size, sha256 FROM model_files
             WHERE tenant_id = $1 AND model_version_id = ANY($2) ORDER BY model_version_id, path",
            tenant.as_str(),
            &ids,
        )
        .fetch_all(&self.store.pool)
        .await?;
        let mut files: BTreeMap<Uuid, Vec<ModelFile>> = BTreeMap::new();
        for file in found {
            files
                .entry(file.model_version_id)
                .or_default()
                .push(ModelFile::try_from(file)?);
        }
        rows.into_iter()
            .map(|row| {
                let files = files.remove(&row.model_version_id).unwrap_or_default();
                row.into_version(files)
            })
            .collect()
    }
}

async fn insert_files(
    executor: impl PgExecutor<'_>,
    version: &ModelVersion,
) -> Result<(), StoreError> {
    let paths: Vec<_> = version
        .files
        .iter()
        .map(|file| file.path.as_str().to_owned())
        .collect();
    let sizes: Vec<_> = version
        .files
        .iter()
        .map(|file| signed(file.entry.size))
        .collect();
    let digests: Vec<_> = version
        .files
        .iter()
        .map(|file| file.entry.sha256.as_bytes().to_vec())
        .collect();
    sqlx::query!(
        "INSERT INTO model_files (tenant_id, model_version_id, path, size, sha256)
         SELECT $1, $2, new.path, new.size, new.sha256
         FROM UNNEST($3::text[], $4::bigint[], $5::bytea[]) AS new (path, size, sha256)",
        version.tenant.as_str(),
        version.id.0,
        &paths,
        &sizes,
        &digests,
    )
    .execute(executor)
    .await?;
    Ok(())
}

struct ModelRow {
    tenant_id: String,
    model_version_id: Uuid,
    model: String,
    task: String,
    summary: String,
    description: Vec<u8>,
    facts: serde_json::Value,
    created_at: Moment,
}

impl ModelRow {
    fn into_version(self, files: Vec<ModelFile>) -> Result<ModelVersion, StoreError> {
        let row = Row::of("model_versions", self.model_version_id);
        Ok(ModelVersion {
            id: ModelVersionId(self.model_version_id),
            tenant: row.parse("tenant_id", &self.tenant_id)?,
            model: row.parse("model", &self.model)?,
            task: self.task,
            summary: self.summary,
            description: row.digest("description", &self.description)?,
            files,
            facts: self.facts,
            created_at: self.created_at.0,
        })
    }
}

struct FileRow {
    model_version_id: Uuid,
    path: String,
    size: i64,
    sha256: Vec<u8>,
}

impl TryFrom<FileRow> for ModelFile {
    type Error = StoreError;

    fn try_from(columns: FileRow) -> Result<Self, StoreError> {
        let row = Row::of(
            "model_files",
            format_args!("{} {}", columns.model_version_id, columns.path),
        );
        Ok(Self {
            path: row.parse("path", &columns.path)?,
            entry: FileEntry {
                size: row.unsigned("size", columns.size)?,
                sha256: row.digest("sha256", &columns.sha256)?,
            },
        })
    }
}
