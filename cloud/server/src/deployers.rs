//! Which deployer key speaks to a tenant's devices: the newest one that their targets name and this server holds.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use espalier_api::error::ErrorCode;
use espalier_protocol::{
    Tenant,
    trust::{DEPLOYER_TARGET, DeployerKeys},
};
use espalier_store::Role;
use espalier_trust::{Deployer, tuf::read_targets};

use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// The largest list of deployer keys in bytes; devices take no larger one.
pub const MAX_LIST_BYTES: u64 = 16 * 1024;

/// What is known of each tenant: the edition of the targets, and who speaks by it.
#[derive(Default)]
pub struct Deployers {
    known: RwLock<HashMap<Tenant, (u64, Deployer)>>,
}

impl Deployers {
    /// Who speaks by this edition of the targets, or by a newer one.
    ///
    /// # Errors
    /// `key_missing` when the targets name none of the keys that are here; `database_unavailable`.
    pub async fn by(&self, cloud: &Cloud, tenant: &Tenant, edition: u64) -> Outcome<Deployer> {
        match self.known(tenant) {
            Some((known, deployer)) if known >= edition => Ok(deployer),
            _ => self.find(cloud, tenant).await,
        }
    }

    /// Forgets who spoke: other targets are current.
    pub fn forget(&self, tenant: &Tenant) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.remove(tenant);
    }

    fn known(&self, tenant: &Tenant) -> Option<(u64, Deployer)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(tenant).cloned()
    }

    async fn find(&self, cloud: &Cloud, tenant: &Tenant) -> Outcome<Deployer> {
        let newest = cloud.store()?.tuf().newest(tenant, Role::Targets).await?;
        let newest = newest.ok_or_else(Refusal::no_database_yet)?;
        let root = cloud.root(tenant).await?;
        let targets = read_targets(&root, &newest.bytes).map_err(Refusal::internal)?;
        let digest = targets
            .digest(DEPLOYER_TARGET)
            .ok_or_else(|| Refusal::internal("the targets name no deployer keys"))?;
        let list = cloud.blobs.load(digest, MAX_LIST_BYTES).await?;
        let list: DeployerKeys = serde_json::from_slice(&list).map_err(Refusal::internal)?;
        let deployer = cloud.authority.keys().deployer(&list);
        let deployer = deployer.ok_or_else(|| {
            Refusal::new(
                ErrorCode::KeyMissing,
                "The targets name none of the deployer keys that this server holds, so devices would believe nothing that it says.",
            )
            .with_hint("sign a release, or `espalier keys targets next`, with this server's deployer key")
        })?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(tenant.clone(), (newest.version, deployer.clone()));
        Ok(deployer)
    }
}
