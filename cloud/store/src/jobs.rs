//! The forge's queue: `FOR UPDATE SKIP LOCKED`, leases and heartbeats.

use std::collections::BTreeSet;

use espalier_domain::build::{BuildState, Progress};
use espalier_protocol::Tenant;
use espalier_protocol::id::{BuildId, JobId};
use jiff::Timestamp;
use sqlx::{PgExecutor, Postgres, Transaction};

use crate::moment::Moment;
use crate::row::Row;
use crate::{Store, StoreError, Written, builds};

/// The forge's queue.
#[derive(Debug, Clone, Copy)]
pub struct Jobs<'a> {
    pub(crate) store: &'a Store,
}

/// A job that this worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The hold on it.
    pub lease: Lease,
    /// Which try this is, from 1.
    pub attempt: u32,
}

/// A hold on a job, until it runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Whose job it is.
    pub tenant: Tenant,
    /// The job.
    pub job: JobId,
    /// The build that it is for.
    pub build: BuildId,
    /// Who holds it: unique for each run of a worker.
    pub worker: String,
}

/// What a worker learns when it says that it is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum LeaseState {
    /// Go on.
    Held,
    /// Stop: somebody wants the build cancelled.
    CancelRequested,
    /// Stop: another worker has taken the job, or it has ended.
    Lost,
}

impl Jobs<'_> {
    /// Takes the oldest job that nobody holds, of any tenant.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take(
        &self,
        worker: &str,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Option<Job>, StoreError> {
        let mut transaction = self.store.begin().await?;
        let taken = sqlx::query!(
            "UPDATE jobs SET worker = $1, lease_until = $3, attempts = attempts + 1
             WHERE (tenant_id, job_id) = (
                 SELECT tenant_id, job_id FROM jobs
                 WHERE finished_at IS NULL AND (lease_until IS NULL OR lease_until <= $2)
                 ORDER BY created_at, job_id LIMIT 1 FOR UPDATE SKIP LOCKED
             )
             RETURNING tenant_id, job_id, build_id, attempts",
            worker,
            Moment(now) as _,
            Moment(lease_until) as _,
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(taken) = taken else { return Ok(None) };
        let row = Row::of("jobs", taken.job_id);
        let lease = Lease {
            tenant: row.parse("tenant_id", &taken.tenant_id)?,
            job: JobId(taken.job_id),
            build: BuildId(taken.build_id),
            worker: worker.to_owned(),
        };
        let attempt = row.unsigned("attempts", taken.attempts)?;
        let _ended_before = move_build(&mut transaction, &lease, |state| {
            state.progress(Progress::started()).ok()
        })
        .await?;
        transaction.commit().await?;
        Ok(Some(Job { lease, attempt }))
    }

    /// Those of these jobs, of any tenant, that have not ended: their folders are still needed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_among(&self, jobs: &[JobId]) -> Result<BTreeSet<JobId>, StoreError> {
        let ids: Vec<_> = jobs.iter().map(|job| job.0).collect();
        let open = sqlx::query_scalar!(
            "SELECT job_id FROM jobs WHERE job_id = ANY($1) AND finished_at IS NULL",
            &ids,
        )
        .fetch_all(&self.store.pool)
        .await?;
        Ok(open.into_iter().map(JobId).collect())
    }

    /// Says that the worker is alive, and where the build is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn heartbeat(
        &self,
        lease: &Lease,
        progress: Option<Progress>,
        lease_until: Timestamp,
    ) -> Result<LeaseState, StoreError> {
        let mut transaction = self.store.begin().await?;
        let cancel = sqlx::query_scalar!(
            "UPDATE jobs SET lease_until = $4
             WHERE tenant_id = $1 AND job_id = $2 AND worker = $3 AND finished_at IS NULL
             RETURNING cancel_requested",
            lease.tenant.as_str(),
            lease.job.0,
            lease.worker,
            Moment(lease_until) as _,
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let state = match cancel {
            None => return Ok(LeaseState::Lost),
            Some(true) => LeaseState::CancelRequested,
            Some(false) => LeaseState::Held,
        };
        if let Some(progress) = progress {
            let _ended_before = move_build(&mut transaction, lease, |state| {
                state.progress(progress).ok()
            })
            .await?;
        }
        transaction.commit().await?;
        Ok(state)
    }

    /// Gives a job back that was not finished for no fault of its build: it waits again, and this try does not count.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn give_back(&self, lease: &Lease) -> Result<Written, StoreError> {
        let mut transaction = self.store.begin().await?;
        let held = sqlx::query!(
            "UPDATE jobs SET attempts = attempts - 1, worker = NULL, lease_until = NULL
             WHERE tenant_id = $1 AND job_id = $2 AND worker = $3 AND finished_at IS NULL",
            lease.tenant.as_str(),
            lease.job.0,
            lease.worker,
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(if held.rows_affected() == 0 {
            Written::NotUpdated
        } else {
            Written::Updated
        })
    }

    /// Ends a job with the build's last state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn finish(
        &self,
        lease: &Lease,
        end: BuildState,
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let mut transaction = self.store.begin().await?;
        let held = sqlx::query!(
            "UPDATE jobs SET finished_at = $4, worker = NULL, lease_until = NULL
             WHERE tenant_id = $1 AND job_id = $2 AND worker = $3 AND finished_at IS NULL",
            lease.tenant.as_str(),
            lease.job.0,
            lease.worker,
            Moment(now) as _,
        )
        .execute(&mut *transaction)
        .await?;
        if held.rows_affected() == 0 {
            return Ok(Written::NotUpdated);
        }
        let written = move_build(&mut transaction, lease, |state| {
            (!state.is_final()).then_some(end)
        })
        .await?;
        transaction.commit().await?;
        Ok(written)
    }

    /// Refuses the builds whose workers died `max_attempts` times: something in them kills forges.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn give_up(
        &self,
        max_attempts: u32,
        now: Timestamp,
    ) -> Result<Vec<BuildId>, StoreError> {
        let mut transaction = self.store.begin().await?;
        let dead = sqlx::query!(
            "UPDATE jobs SET finished_at = $2, worker = NULL, lease_until = NULL
             WHERE finished_at IS NULL AND lease_until <= $2 AND attempts >= $1
             RETURNING tenant_id, job_id, build_id",
            i32::try_from(max_attempts).unwrap_or(i32::MAX),
            Moment(now) as _,
        )
        .fetch_all(&mut *transaction)
        .await?;
        let mut builds = Vec::with_capacity(dead.len());
        for job in dead {
            let tenant = Row::of("jobs", job.job_id).parse("tenant_id", &job.tenant_id)?;
            let lease = Lease {
                tenant,
                job: JobId(job.job_id),
                build: BuildId(job.build_id),
                worker: String::new(),
            };
            let detail = format!("the forge died {max_attempts} times over this build");
            let refuse = |state: BuildState| state.refuse("forge-died".to_owned(), detail).ok();
            let _ended_before = move_build(&mut transaction, &lease, refuse).await?;
            builds.push(lease.build);
        }
        transaction.commit().await?;
        Ok(builds)
    }
}

/// Moves a job's build on, unless its state does not allow it.
async fn move_build(
    transaction: &mut Transaction<'static, Postgres>,
    lease: &Lease,
    step: impl FnOnce(BuildState) -> Option<BuildState>,
) -> Result<Written, StoreError> {
    let Some(build) = builds::lock(transaction, &lease.tenant, lease.build).await? else {
        return Ok(Written::Absent);
    };
    let Some(next) = step(build.state) else {
        return Ok(Written::NotUpdated);
    };
    builds::save(&mut **transaction, &lease.tenant, lease.build, &next).await?;
    Ok(Written::Updated)
}

/// Locks the job of a build until the transaction ends.
pub(crate) async fn lock_of_build(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    build: BuildId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "SELECT job_id FROM jobs WHERE tenant_id = $1 AND build_id = $2 FOR UPDATE",
        tenant.as_str(),
        build.0,
    )
    .fetch_optional(executor)
    .await?;
    Ok(())
}

/// Ends the job of a build that was stopped before anybody took it.
pub(crate) async fn finish_of_build(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    build: BuildId,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE jobs SET finished_at = $3, worker = NULL, lease_until = NULL
         WHERE tenant_id = $1 AND build_id = $2 AND finished_at IS NULL",
        tenant.as_str(),
        build.0,
        Moment(now) as _,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Asks the worker of a build to stop; it learns so with its next heartbeat.
pub(crate) async fn request_cancel(
    executor: impl PgExecutor<'_>,
    tenant: &Tenant,
    build: BuildId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE jobs SET cancel_requested = true WHERE tenant_id = $1 AND build_id = $2 AND finished_at IS NULL",
        tenant.as_str(),
        build.0,
    )
    .execute(executor)
    .await?;
    Ok(())
}
