//! Signals between processes: "look again", never "this happened". Losing one only costs the time until the next timer.

use std::str::FromStr;

use espalier_protocol::Tenant;
use sqlx::PgExecutor;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use crate::StoreError;

const CHANNEL: &str = "espalier";

/// What should be looked at again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Signal {
    /// The planner has something to decide.
    Rollouts(Tenant),
    /// Desired states wait to be composed or published.
    Desired(Tenant),
    /// A job waits for a forge, or should be cancelled.
    Jobs(Tenant),
    /// The console has something new to show.
    Events(Tenant),
    /// The connection was lost meanwhile: everything.
    Everything,
}

impl Signal {
    fn payload(&self) -> String {
        match self {
            Self::Rollouts(tenant) => format!("rollouts {tenant}"),
            Self::Desired(tenant) => format!("desired {tenant}"),
            Self::Jobs(tenant) => format!("jobs {tenant}"),
            Self::Events(tenant) => format!("events {tenant}"),
            Self::Everything => "everything".to_owned(),
        }
    }

    /// What a newer process may send and this one does not know is a reason to look at everything.
    fn from_payload(payload: &str) -> Self {
        let Some((what, tenant)) = payload.split_once(' ') else {
            return Self::Everything;
        };
        match (what, tenant.parse()) {
            ("rollouts", Ok(tenant)) => Self::Rollouts(tenant),
            ("desired", Ok(tenant)) => Self::Desired(tenant),
            ("jobs", Ok(tenant)) => Self::Jobs(tenant),
            ("events", Ok(tenant)) => Self::Events(tenant),
            _ => Self::Everything,
        }
    }

    /// Sends within a transaction: it is delivered when, and only when, that commits. Equal signals of one
    /// transaction are delivered once.
    pub(crate) async fn send(&self, executor: impl PgExecutor<'_>) -> Result<(), StoreError> {
        sqlx::query!("SELECT pg_notify($1, $2)", CHANNEL, self.payload())
            .execute(executor)
            .await?;
        Ok(())
    }
}

/// A connection that listens. Its own, not one of the store's: a listening connection never goes back to a pool.
pub struct Signals {
    listener: PgListener,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// As [`crate::Store::connect`].
    pub async fn listen(url: &str) -> Result<Self, StoreError> {
        let address = PgConnectOptions::from_str(url)
            .map_err(|reason| StoreError::Address(reason.to_string()))?;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .connect_with(address.application_name("espalier-cloud signals"))
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Self { listener })
    }

    /// The next signal. Reconnects by itself, and says so by [`Signal::Everything`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the database is out of reach; call again after a pause.
    pub async fn next(&mut self) -> Result<Signal, StoreError> {
        match self.listener.try_recv().await? {
            Some(notice) => Ok(Signal::from_payload(notice.payload())),
            None => Ok(Signal::Everything),
        }
    }
}
