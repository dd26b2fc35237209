//! What use cases, reconcilers and doors work with.

use std::sync::{Arc, OnceLock};

use espalier_protocol::Tenant;
use espalier_store::{Role, Store};
use espalier_trust::tuf::TrustedRoot;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    authority::Authority,
    bells::Bells,
    blobs::Blobs,
    bridge::{Broker, Directory},
    catalogue::Catalogue,
    config::{Config, ForgeChoice},
    last_edition::LastEditions,
    metrics::Metrics,
    readiness::Readiness,
    refusal::{Outcome, Refusal},
    world::World,
};

/// The running cloud: its parts, by name. It is shared, and holds no state of its own: what has to
/// outlive the process is in the store, in blobs or in the state folder.
pub struct Cloud {
    /// Rows, once the database has answered.
    pub database: Arc<OnceLock<Store>>,
    /// Bytes.
    pub blobs: Blobs,
    /// Keys.
    pub authority: Authority,
    /// What was published last, beside the database.
    pub last_editions: LastEditions,
    /// Time and randomness.
    pub world: World,
    /// The way to devices.
    pub broker: Broker,
    /// Which devices are enrolled.
    pub directory: Directory,
    /// Which blobs devices may fetch.
    pub catalogue: Catalogue,
    /// Wake-up calls.
    pub bells: Bells,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Which parts answer.
    pub readiness: Arc<Readiness>,
    /// Where devices find the cloud.
    pub addresses: Addresses,
    /// Folders, programs and peers from the configuration.
    pub settings: Settings,
    /// Cancelled when the server drains.
    pub stopping: CancellationToken,
}

impl Cloud {
    /// The store.
    ///
    /// # Errors
    /// `database_unavailable` until the database has answered for the first time.
    pub fn store(&self) -> Outcome<&Store> {
        self.database.get().ok_or_else(Refusal::no_database_yet)
    }

    /// The newest root of a tenant's signed metadata.
    ///
    /// # Errors
    /// `database_unavailable` while there is none yet, or it cannot be read.
    pub async fn root(&self, tenant: &Tenant) -> Outcome<TrustedRoot> {
        let newest = self.store()?.tuf().newest(tenant, Role::Root).await?;
        let newest = newest.ok_or_else(Refusal::no_database_yet)?;
        TrustedRoot::read(&newest.bytes).map_err(Refusal::internal)
    }
}

/// Where devices find the cloud: what claims say.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The device door.
    pub door: Url,
    /// The broker.
    pub broker: Url,
    /// The broker's certificate authority (PEM), where that is not the device CA.
    pub broker_ca_pem: Option<String>,
}

/// Where forge jobs and imports have their folders, in the state folder.
pub const JOBS_FOLDER: &str = "jobs";

/// What use cases need of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How forge jobs are run.
    pub forge: ForgeChoice,
    /// Where forge jobs have their folders.
    pub jobs_folder: std::path::PathBuf,
    /// The host that serves full models.
    pub model_host: Option<Url>,
    /// The HTTP client for imports and for the model host.
    pub http: reqwest::Client,
}

impl Settings {
    /// From the configuration.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(config: &Config) -> reqwest::Result<Self> {
        Ok(Self {
            forge: config.forge.clone(),
            jobs_folder: config.in_state(JOBS_FOLDER),
            model_host: config.model_host.clone(),
            http: crate::usecase::import_client()?,
        })
    }
}
