//! Builds and their states.

use std::borrow::Cow;

use espalier_domain::build::{Build, BuildFailure, BuildState, BundleFacts, Product, Progress};
use espalier_protocol::id::{BuildId, JobId, ModelVersionId};
use espalier_protocol::job::{Evaluation, GateVerdict};
use espalier_protocol::{Digest, Tenant};
use jiff::Timestamp;
use sqlx::{PgExecutor, Postgres, Transaction};
use uuid::Uuid;

use crate::moment::Moment;
use crate::row::{Row, signed, storable, to_json};
use crate::{Signal, Store, StoreError, Written};

/// Builds.
#[derive(Debug, Clone, Copy)]
pub struct Builds<'a> {
    pub(crate) store: &'a Store,
}

impl Builds<'_> {
    /// Queues a new build.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order(&self, build: &Build, job: JobId) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        sqlx::query!(
            "INSERT INTO builds (tenant_id, build_id, model_version_id, device_class, recipe, created_at, state)
             VALUES ($1, $2, $3, $4, $5, $6, 'queued')",
            build.tenant.as_str(),
            build.id.0,
            build.model_version.0,
            build.device_class.as_str(),
            build.recipe,
            Moment(build.created_at) as _,
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "INSERT INTO jobs (tenant_id, job_id, build_id, created_at) VALUES ($1, $2, $3, $4)",
            build.tenant.as_str(),
            job.0,
            build.id.0,
            Moment(build.created_at) as _,
        )
        .execute(&mut *transaction)
        .await?;
        Signal::Jobs(build.tenant.clone())
            .send(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// A build.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, tenant: &Tenant, id: BuildId) -> Result<Option<Build>, StoreError> {
        let row = sqlx::query_as!(
            BuildRow,
            r#"SELECT tenant_id, build_id, model_version_id, device_class, recipe, created_at AS "created_at: Moment",
                      state, stage, done, total, bundle, manifest_bytes, files_bytes, evaluation, refusal_code,
                      refusal_detail
               FROM builds WHERE tenant_id = $1 AND build_id = $2"#,
            tenant.as_str(),
            id.0,
        )
        .fetch_optional(&self.store.pool)
        .await?;
        row.map(Build::try_from).transpose()
    }

    /// A page of a tenant's builds, newest first, from the one ordered before `after` on; of one model version, if one
    /// is named.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(
        &self,
        tenant: &Tenant,
        version: Option<ModelVersionId>,
        after: Option<BuildId>,
        limit: u32,
    ) -> Result<Vec<Build>, StoreError> {
        let rows = sqlx::query_as!(
            BuildRow,
            r#"SELECT tenant_id, build_id, model_version_id, device_class, recipe, created_at AS "created_at: Moment",
                      state, stage, done, total, bundle, manifest_bytes, files_bytes, evaluation, refusal_code,
                      refusal_detail
               FROM builds
               WHERE tenant_id = $1 AND ($2::uuid IS NULL OR model_version_id = $2)
                   AND ($3::uuid IS NULL OR build_id < $3)
               ORDER BY build_id DESC LIMIT $4"#,
            tenant.as_str(),
            version.map(|version| version.0),
            after.map(|after| after.0),
            i64::from(limit),
        )
        .fetch_all(&self.store.pool)
        .await?;
        rows.into_iter().map(Build::try_from).collect()
    }

    /// Stops a build: at once while it is queued, by a request to its forge while it runs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn cancel(
        &self,
        tenant: &Tenant,
        id: BuildId,
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.store.begin().await?;
        // The job first, as everywhere: two locks in one order never wait for each other.
        crate::jobs::lock_of_build(&mut *transaction, tenant, id).await?;
        let Some(build) = lock(&mut transaction, tenant, id).await? else {
            return Ok(Written::Absent);
        };
        match build.state {
            BuildState::Queued => {
                save(&mut *transaction, tenant, id, &BuildState::Cancelled).await?;
                crate::jobs::finish_of_build(&mut *transaction, tenant, id, now).await?;
            }
            BuildState::Running(_) => {
                crate::jobs::request_cancel(&mut *transaction, tenant, id).await?
            }
            _ => return Ok(Written::NotUpdated),
        }
        Signal::Jobs(tenant.clone()).send(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Written::Updated)
    }
}

/// A build, locked until the transaction ends.
pub(crate) async fn lock(
    transaction: &mut Transaction<'static, Postgres>,
    tenant: &Tenant,
    id: BuildId,
) -> Result<Option<Build>, StoreError> {
    let row = sqlx::query_as!(
        BuildRow,
        r#"SELECT tenant_id, build_id, model_version_id, device_class, recipe, created_at AS "created_at: Moment",
                  state, stage, done, total, bundle, manifest_bytes, files_bytes, evaluation, refusal_code,
                  refusal_detail
           FROM builds WHERE tenant_id = $1 AND build_id = $2 FOR UPDATE"#,
        tenant.as_str(),
        id.0,
    )
    .fetch_optional(&mut **transaction)
    .await?;
    row.map(Build::try_from).transpose()
}

/// Writes a build's state.
pub(crate) async fn save(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    id: BuildId,
    state: &BuildState,
) -> Result<(), StoreError> {
    let columns = StateColumns::of(state)?;
    sqlx::query!(
        "UPDATE builds SET state = $3, stage = $4, done = $5, total = $6, bundle = $7, manifest_bytes = $8,
                           files_bytes = $9, evaluation = $10, refusal_code = $11, refusal_detail = $12
         WHERE tenant_id = $1 AND build_id = $2",
        tenant.as_str(),
        id.0,
        columns.state,
        columns.stage.as_deref(),
        columns.done,
        columns.total,
        columns.bundle.as_ref().map(|digest| &digest.as_bytes()[..]),
        columns.manifest_bytes,
        columns.files_bytes,
        columns.evaluation,
        columns.refusal_code.as_deref(),
        columns.refusal_detail.as_deref(),
    )
    .execute(executor)
    .await?;
    Ok(())
}

#[derive(Default)]
struct StateColumns<'a> {
    state: &'static str,
    stage: Option<Cow<'a, str>>,
    done: Option<i64>,
    total: Option<i64>,
    bundle: Option<Digest>,
    manifest_bytes: Option<i64>,
    files_bytes: Option<i64>,
    evaluation: Option<serde_json::Value>,
    refusal_code: Option<Cow<'a, str>>,
    refusal_detail: Option<Cow<'a, str>>,
}

impl<'a> StateColumns<'a> {
    fn of(state: &'a BuildState) -> Result<Self, StoreError> {
        Ok(match state {
            BuildState::Queued => Self {
                state: "queued",
                ..Self::default()
            },
            BuildState::Cancelled => Self {
                state: "cancelled",
                ..Self::default()
            },
            BuildState::Running(progress) => Self {
                state: "running",
                stage: Some(storable(&progress.stage)),
                done: Some(signed(progress.done)),
                total: Some(signed(progress.total)),
                ..Self::default()
            },
            BuildState::Passed(product) => Self::of_product("passed", product)?,
            BuildState::Failed(BuildFailure::Gate { product, .. }) => {
                Self::of_product("gated", product)?
            }
            BuildState::Failed(BuildFailure::Refused { code, detail }) => Self {
                state: "refused",
                refusal_code: Some(storable(code)),
                refusal_detail: Some(storable(detail)),
                ..Self::default()
            },
        })
    }

    fn of_product(state: &'static str, product: &Product) -> Result<Self, StoreError> {
        Ok(Self {
            state,
            bundle: Some(product.bundle.digest),
            manifest_bytes: Some(signed(product.bundle.manifest_bytes)),
            files_bytes: Some(signed(product.bundle.files_bytes)),
            evaluation: Some(to_json(&product.evaluation)?),
            ..Self::default()
        })
    }
}

struct BuildRow {
    tenant_id: String,
    build_id: Uuid,
    model_version_id: Uuid,
    device_class: String,
    recipe: String,
    created_at: Moment,
    state: String,
    stage: Option<String>,
    done: Option<i64>,
    total: Option<i64>,
    bundle: Option<Vec<u8>>,
    manifest_bytes: Option<i64>,
    files_bytes: Option<i64>,
    evaluation: Option<serde_json::Value>,
    refusal_code: Option<String>,
    refusal_detail: Option<String>,
}

impl TryFrom<BuildRow> for Build {
    type Error = StoreError;

    fn try_from(mut columns: BuildRow) -> Result<Self, StoreError> {
        let row = Row::of("builds", columns.build_id);
        let state = columns.take_state(&row)?;
        Ok(Self {
            id: BuildId(columns.build_id),
            tenant: row.parse("tenant_id", &columns.tenant_id)?,
            model_version: ModelVersionId(columns.model_version_id),
            device_class: row.parse("device_class", &columns.device_class)?,
            recipe: columns.recipe,
            created_at: columns.created_at.0,
            state,
        })
    }
}

impl BuildRow {
    fn take_state(&mut self, row: &Row) -> Result<BuildState, StoreError> {
        Ok(match self.state.as_str() {
            "queued" => BuildState::Queued,
            "cancelled" => BuildState::Cancelled,
            "running" => BuildState::Running(Progress {
                stage: row.need("stage", self.stage.take())?,
                done: row.unsigned("done", row.need("done", self.done)?)?,
                total: row.unsigned("total", row.need("total", self.total)?)?,
            }),
            "passed" => BuildState::Passed(self.take_product(row)?),
            "gated" => BuildState::Failed(self.take_gate_failure(row)?),
            "refused" => BuildState::Failed(BuildFailure::Refused {
                code: row.need("refusal_code", self.refusal_code.take())?,
                detail: row.need("refusal_detail", self.refusal_detail.take())?,
            }),
            other => return Err(row.wrong("state", format!("`{other}` is no state of a build"))),
        })
    }

    fn take_product(&mut self, row: &Row) -> Result<Product, StoreError> {
        let evaluation: Evaluation = row.json(
            "evaluation",
            row.need("evaluation", self.evaluation.take())?,
        )?;
        let bundle = BundleFacts {
            digest: row.digest("bundle", &row.need("bundle", self.bundle.take())?)?,
            manifest_bytes: row.unsigned(
                "manifest_bytes",
                row.need("manifest_bytes", self.manifest_bytes)?,
            )?,
            files_bytes: row.unsigned("files_bytes", row.need("files_bytes", self.files_bytes)?)?,
        };
        Ok(Product { bundle, evaluation })
    }

    fn take_gate_failure(&mut self, row: &Row) -> Result<BuildFailure, StoreError> {
        let product = self.take_product(row)?;
        match product.evaluation.gate.clone() {
            GateVerdict::Failed { reasons } => Ok(BuildFailure::Gate {
                reasons,
                product: Box::new(product),
            }),
            GateVerdict::Passed => {
                Err(row.wrong("evaluation", "its gate passed, and the build did not"))
            }
        }
    }
}
