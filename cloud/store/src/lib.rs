//! Forbids the arrow from anything else to SQL: the only crate that names sqlx.
//!
//! One file for each aggregate. Row types are private and have one tested conversion each; a row that cannot be
//! is a [`StoreError::Inconsistency`] that names table, column and row. Writes that depend on what was read say
//! whether they happened. Everything is asked for one tenant, by an argument that cannot be forgotten.

mod assignments;
mod audit;
mod blobs;
mod builds;
mod claims;
mod desired;
mod devices;
mod error;
mod events;
mod jobs;
mod models;
mod moment;
mod principals;
mod releases;
mod reports;
mod rollouts;
mod row;
mod signal;
mod tuf;

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, Postgres, Transaction};

pub use assignments::Assignments;
pub use audit::{Audit, AuditRecord};
pub use blobs::Blobs;
pub use builds::Builds;
pub use claims::{Claims, NewClaim};
pub use desired::{Desired, Envelope, Signed, ToCompose, ToPublish};
pub use devices::{CertificateRecord, Devices, EnrolOutcome, Enrolment, RenewOutcome, Renewal};
pub use error::{StoreError, Written};
pub use events::{Event, Events, NewEvent};
pub use jobs::{Job, Jobs, Lease, LeaseState};
pub use models::Models;
pub use principals::Principals;
pub use releases::{DeployerKeys, DraftError, NewRelease, Releases, SignOutcome};
pub use reports::{Reports, TakenIn};
pub use rollouts::{LoadedFacts, Rollouts, StartOutcome, VerbOutcome};
pub use signal::{Signal, Signals};
pub use tuf::{Edition, Metadata, Newest, Role, Tuf, Versions};

/// Every row in Postgres.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
}

/// How a store is reached.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// A `postgres://` URL; a socket folder is given as `?host=/folder`.
    pub url: String,
    /// Most connections at once.
    pub max_connections: u32,
    /// How long a caller waits for a free connection before it is told that the database is out of reach.
    pub patience: Duration,
}

impl ConnectOptions {
    /// The usual limits.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 16,
            patience: Duration::from_secs(5),
        }
    }
}

impl Store {
    /// Connects; fails at once when nobody answers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer, [`StoreError::Address`] when the URL is none.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, StoreError> {
        let address = PgConnectOptions::from_str(&options.url)
            .map_err(|reason| StoreError::Address(reason.to_string()))?;
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.patience)
            .connect_with(address.application_name("espalier-cloud"))
            .await?;
        Ok(Self { pool })
    }

    /// Brings the schema up to date. Safe to call from several processes at once.
    ///
    /// # Errors
    /// [`StoreError::Migration`] when a landed migration was edited, or the database is of a newer version.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        sqlx::migrate!("../../migrations")
            .run(&self.pool)
            .await
            .map_err(StoreError::from)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Closes every connection; running statements are waited for.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Tenants, principals and their tokens.
    #[must_use]
    pub fn principals(&self) -> Principals<'_> {
        Principals { store: self }
    }

    /// The right to enrol.
    #[must_use]
    pub fn claims(&self) -> Claims<'_> {
        Claims { store: self }
    }

    /// Devices and their certificates.
    #[must_use]
    pub fn devices(&self) -> Devices<'_> {
        Devices { store: self }
    }

    /// Full models.
    #[must_use]
    pub fn models(&self) -> Models<'_> {
        Models { store: self }
    }

    /// Whose blobs are whose.
    #[must_use]
    pub fn blobs(&self) -> Blobs<'_> {
        Blobs { store: self }
    }

    /// Builds.
    #[must_use]
    pub fn builds(&self) -> Builds<'_> {
        Builds { store: self }
    }

    /// The forge's queue.
    #[must_use]
    pub fn jobs(&self) -> Jobs<'_> {
        Jobs { store: self }
    }

    /// Releases.
    #[must_use]
    pub fn releases(&self) -> Releases<'_> {
        Releases { store: self }
    }

    /// The TUF repository's metadata.
    #[must_use]
    pub fn tuf(&self) -> Tuf<'_> {
        Tuf { store: self }
    }

    /// Rollouts, their facts and the execution of plans.
    #[must_use]
    pub fn rollouts(&self) -> Rollouts<'_> {
        Rollouts { store: self }
    }

    /// Assignments, for reading.
    #[must_use]
    pub fn assignments(&self) -> Assignments<'_> {
        Assignments { store: self }
    }

    /// Desired states on their way to devices.
    #[must_use]
    pub fn desired(&self) -> Desired<'_> {
        Desired { store: self }
    }

    /// Reports, for taking in.
    #[must_use]
    pub fn reports(&self) -> Reports<'_> {
        Reports { store: self }
    }

    /// What the console shows live.
    #[must_use]
    pub fn events(&self) -> Events<'_> {
        Events { store: self }
    }

    /// Who did what.
    #[must_use]
    pub fn audit(&self) -> Audit<'_> {
        Audit { store: self }
    }

    async fn begin(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        Ok(self.pool.begin().await?)
    }
}
