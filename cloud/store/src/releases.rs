//! Releases: drafted once, signed once.

use std::collections::BTreeMap;

use espalier_domain::release::{Release, ReleaseState};
use espalier_protocol::id::{BuildId, ReleaseId};
use espalier_protocol::release::ReleaseDocument;
use espalier_protocol::{DeviceClassName, Digest, ModelName, Tenant};
use jiff::Timestamp;
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use crate::error::happened;
use crate::moment::Moment;
use crate::row::{Row, signed};
use crate::tuf::{self, Edition};
use crate::{Store, StoreError, Written, desired};

/// Releases.
#[derive(Debug, Clone, Copy)]
pub struct Releases<'a> {
    pub(crate) store: &'a Store,
}

/// A release's document as bytes, with the builds behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRelease {
    /// What it says.
    pub document: ReleaseDocument,
    /// The bytes that will be signed.
    pub bytes: Vec<u8>,
    /// The builds behind it, by class.
    pub builds: BTreeMap<DeviceClassName, BuildId>,
}

/// Why a release was not drafted.
#[derive(Debug, thiserror::Error)]
pub enum DraftError<E> {
    /// The caller would not write it.
    #[error(transparent)]
    Refused(E),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum SignOutcome {
    /// The release is signed and published.
    Signed,
    /// It was signed before.
    AlreadySigned,
    /// Another edition was published meanwhile.
    Overtaken,
    /// There is no such release.
    Absent,
}

/// What an edition of the targets says about the deployer's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeployerKeys {
    /// What the one before said.
    Same,
    /// Something else: all that was signed for devices before is good no longer.
    Changed,
}

impl Releases<'_> {
    /// Drafts a release with the model's next counter, which `write` puts into the document.
    ///
    /// # Errors
    /// [`DraftError::Refused`] with what `write` says, [`DraftError::Store`].
    pub async fn draft<E>(
        &self,
        tenant: &Tenant,
        model: &ModelName,
        now: Timestamp,
        write: impl FnOnce(u64) -> Result<NewRelease, E>,
    ) -> Result<Release, DraftError<E>> {
        let mut transaction = self.store.begin().await?;
        let counter = next_counter(&mut transaction, tenant, model).await?;
        let new = write(counter).map_err(DraftError::Refused)?;
        let release = insert(&mut transaction, tenant, new, now).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(release)
    }

    /// Lets a model's next release count on from here at least.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn raise_counter(
        &self,
        tenant: &Tenant,
        model: &ModelName,
        counter: u64,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO release_counters AS c (tenant_id, model, last) VALUES ($1, $2, $3)
             ON CONFLICT (tenant_id, model) DO UPDATE SET last = GREATEST(c.last, excluded.last)",
            tenant.as_str(),
            model.as_str(),
            signed(counter),
        )
        .execute(&self.store.pool)
        .await?;
        Ok(())
    }

    /// A release.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(
        &self,
        tenant: &Tenant,
        id: ReleaseId,
    ) -> Result<Option<Release>, StoreError> {
        let row = sqlx::query_as!(
            ReleaseRow,
            r#"SELECT release_id, digest, document, created_at AS "created_at: Moment",
                      signed_at AS "signed_at: Moment", targets_version
               FROM releases WHERE tenant_id = $1 AND release_id = $2"#,
            tenant.as_str(),
            id.0,
        )
        .fetch_optional(&self.store.pool)
        .await?;
        Ok(self
            .with_builds(tenant, row.into_iter().collect())
            .await?
            .pop())
    }

    /// A page of a tenant's releases, newest first, from the one drafted before `after` on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(
        &self,
        tenant: &Tenant,
        after: Option<ReleaseId>,
        limit: u32,
    ) -> Result<Vec<Release>, StoreError> {
        let rows = sqlx::query_as!(
            ReleaseRow,
            r#"SELECT release_id, digest, document, created_at AS "created_at: Moment",
                      signed_at AS "signed_at: Moment", targets_version
               FROM releases WHERE tenant_id = $1 AND ($2::uuid IS NULL OR release_id < $2)
               ORDER BY release_id DESC LIMIT $3"#,
            tenant.as_str(),
            after.map(|after| after.0),
            i64::from(limit),
        )
        .fetch_all(&self.store.pool)
        .await?;
        self.with_builds(tenant, rows).await
    }

    /// Releases of later editions of the targets than `edition`, in their order; 0 is before all of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn signed_after(
        &self,
        tenant: &Tenant,
        edition: u64,
    ) -> Result<Vec<Release>, StoreError> {
        let rows = sqlx::query_as!(
            ReleaseRow,
            r#"SELECT release_id, digest, document, created_at AS "created_at: Moment",
                      signed_at AS "signed_at: Moment", targets_version
               FROM releases WHERE tenant_id = $1 AND targets_version > $2 ORDER BY targets_version"#,
            tenant.as_str(),
            signed(edition),
        )
        .fetch_all(&self.store.pool)
        .await?;
        self.with_builds(tenant, rows).await
    }

    /// The document's bytes, exactly as they are signed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn document(
        &self,
        tenant: &Tenant,
        id: ReleaseId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(sqlx::query_scalar!(
            "SELECT document FROM releases WHERE tenant_id = $1 AND release_id = $2",
            tenant.as_str(),
            id.0,
        )
        .fetch_optional(&self.store.pool)
        .await?)
    }

    /// Marks a release as signed and publishes the edition that says so, in one transaction. Its files were verified by
    /// the caller. With other deployer keys every desired state is to be signed anew.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sign(
        &self,
        tenant: &Tenant,
        id: ReleaseId,
        targets_version: u64,
        edition: &Edition,
        deployer: DeployerKeys,
        now: Timestamp,
    ) -> Result<SignOutcome, StoreError> {
        let mut transaction = self.store.begin().await?;
        match mark_signed(&mut transaction, tenant, id, targets_version, now).await? {
            Written::Updated => {}
            Written::NotUpdated => return Ok(SignOutcome::AlreadySigned),
            Written::Absent => return Ok(SignOutcome::Absent),
        }
        if tuf::insert_all(&mut transaction, tenant, edition, now).await? != Written::Updated {
            return Ok(SignOutcome::Overtaken);
        }
        if deployer == DeployerKeys::Changed {
            desired::sign_all_anew(&mut transaction, tenant).await?;
        }
        transaction.commit().await?;
        Ok(SignOutcome::Signed)
    }

    /// Keeps the digests of the bundles' own signatures, by class, while the release is a draft.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_signatures(
        &self,
        tenant: &Tenant,
        id: ReleaseId,
        signatures: &BTreeMap<DeviceClassName, Digest>,
    ) -> Result<Written, StoreError> {
        let classes: Vec<_> = signatures
            .keys()
            .map(|class| class.as_str().to_owned())
            .collect();
        let digests: Vec<_> = signatures
            .values()
            .map(|digest| digest.as_bytes().to_vec())
            .collect();
        let kept = sqlx::query!(
            "UPDATE release_builds AS b SET signature = new.signature
             FROM UNNEST($3::text[], $4::bytea[]) AS new (class, signature), releases AS r
             WHERE b.tenant_id = $1 AND b.release_id = $2 AND b.device_class = new.class
                 AND r.tenant_id = $1 AND r.release_id = $2 AND r.signed_at IS NULL",
            tenant.as_str(),
            id.0,
            &classes,
            &digests,
        )
        .execute(&self.store.pool)
        .await?;
        if happened(kept.rows_affected()) {
            return Ok(Written::Updated);
        }
        let mut connection = self.store.pool.acquire().await?;
        known(&mut connection, tenant, id).await
    }

    async fn with_builds(
        &self,
        tenant: &Tenant,
        rows: Vec<ReleaseRow>,
    ) -> Result<Vec<Release>, StoreError> {
        let ids: Vec<_> = rows.iter().map(|row| row.release_id).collect();
        let found = sqlx::query!(
            "SELECT release_id, device_class, build_id, signature FROM release_builds
             WHERE tenant_id = $1 AND release_id = ANY($2)",
            tenant.as_str(),
            &ids,
        )
        .fetch_all(&self.store.pool)
        .await?;
        let mut builds: BTreeMap<Uuid, Behind> = BTreeMap::new();
        for build in found {
            let row = Row::of("release_builds", build.build_id);
            let class: DeviceClassName = row.parse("device_class", &build.device_class)?;
            let behind = builds.entry(build.release_id).or_default();
            if let Some(signature) = &build.signature {
                let digest = row.digest("signature", signature)?;
                behind.signatures.insert(class.clone(), digest);
            }
            behind.builds.insert(class, BuildId(build.build_id));
        }
        rows.into_iter()
            .map(|row| {
                let builds = builds.remove(&row.release_id).unwrap_or_default();
                row.into_release(builds)
            })
            .collect()
    }
}

async fn next_counter(
    transaction: &mut Transaction<'static, Postgres>,
    tenant: &Tenant,
    model: &ModelName,
) -> Result<u64, StoreError> {
    let counter = sqlx::query_scalar!(
        "INSERT INTO release_counters AS c (tenant_id, model, last) VALUES ($1, $2, 1)
         ON CONFLICT (tenant_id, model) DO UPDATE SET last = c.last + 1 RETURNING last",
        tenant.as_str(),
        model.as_str(),
    )
    .fetch_one(&mut **transaction)
    .await?;
    Row::of("release_counters", model).unsigned("last", counter)
}

async fn insert(
    transaction: &mut Transaction<'static, Postgres>,
    tenant: &Tenant,
    new: NewRelease,
    now: Timestamp,
) -> Result<Release, StoreError> {
    let digest = Digest::of(&new.bytes);
    sqlx::query!(
        "INSERT INTO releases
             (tenant_id, release_id, model, model_version_id, counter, digest, document, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        tenant.as_str(),
        new.document.id.0,
        new.document.model.as_str(),
        new.document.model_version.0,
        signed(new.document.counter),
        digest.as_bytes(),
        new.bytes,
        Moment(now) as _,
    )
    .execute(&mut **transaction)
    .await?;
    let classes: Vec<_> = new
        .builds
        .keys()
        .map(|class| class.as_str().to_owned())
        .collect();
    let builds: Vec<_> = new.builds.values().map(|build| build.0).collect();
    sqlx::query!(
        "INSERT INTO release_builds (tenant_id, release_id, device_class, build_id)
         SELECT $1, $2, new.class, new.build FROM UNNEST($3::text[], $4::uuid[]) AS new (class, build)",
        tenant.as_str(),
        new.document.id.0,
        &classes,
        &builds,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(Release {
        document: new.document,
        digest,
        builds: new.builds,
        signatures: BTreeMap::new(),
        created_at: now,
        state: ReleaseState::Draft,
    })
}

async fn mark_signed(
    transaction: &mut Transaction<'static, Postgres>,
    tenant: &Tenant,
    id: ReleaseId,
    targets_version: u64,
    now: Timestamp,
) -> Result<Written, StoreError> {
    let marked = sqlx::query!(
        "UPDATE releases SET signed_at = $3, targets_version = $4
         WHERE tenant_id = $1 AND release_id = $2 AND signed_at IS NULL",
        tenant.as_str(),
        id.0,
        Moment(now) as _,
        signed(targets_version),
    )
    .execute(&mut **transaction)
    .await?;
    if happened(marked.rows_affected()) {
        return Ok(Written::Updated);
    }
    known(transaction, tenant, id).await
}

/// Tells a release that stayed as it was from one that is not there.
async fn known(
    connection: &mut PgConnection,
    tenant: &Tenant,
    id: ReleaseId,
) -> Result<Written, StoreError> {
    let known = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM releases WHERE tenant_id = $1 AND release_id = $2) AS "known!""#,
        tenant.as_str(),
        id.0,
    )
    .fetch_one(connection)
    .await?;
    Ok(if known {
        Written::NotUpdated
    } else {
        Written::Absent
    })
}

/// The builds behind a release and the signatures of their bundles, by class.
#[derive(Default)]
struct Behind {
    builds: BTreeMap<DeviceClassName, BuildId>,
    signatures: BTreeMap<DeviceClassName, Digest>,
}

struct ReleaseRow {
    release_id: Uuid,
    digest: Vec<u8>,
    document: Vec<u8>,
    created_at: Moment,
    signed_at: Option<Moment>,
    targets_version: Option<i64>,
}

impl ReleaseRow {
    fn into_release(self, Behind { builds, signatures }: Behind) -> Result<Release, StoreError> {
        let row = Row::of("releases", self.release_id);
        let document = ReleaseDocument::parse(&self.document)
            .map_err(|reason| row.wrong("document", reason))?;
        let state = match self.signed_at {
            None => ReleaseState::Draft,
            Some(at) => {
                let version = row.need("targets_version", self.targets_version)?;
                ReleaseState::Signed {
                    at: at.0,
                    targets_version: row.unsigned("targets_version", version)?,
                }
            }
        };
        Ok(Release {
            document,
            digest: row.digest("digest", &self.digest)?,
            builds,
            signatures,
            created_at: self.created_at.0,
            state,
        })
    }
}
