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
use espalier_trust::Deployer;

use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal, sentence},
    usecase::Standing,
};

/// The largest list of deployer keys in bytes; devices take no larger one.
pub const MAX_LIST_BYTES: u64 = 16 * 1024;
/// The format of that list that devices read.
const LIST_FORMAT: u32 = 1;

/// Why devices could not read a list of deployer keys.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// Too many bytes.
    #[error("it has {0} bytes, at most {MAX_LIST_BYTES} are read")]
    TooLarge(usize),
    /// Something else, or one of a later format.
    #[error("it is no list of format {LIST_FORMAT}")]
    NoList,
}

/// Reads a list as devices do.
///
/// # Errors
/// [`ListError`].
pub fn parse_list(bytes: &[u8]) -> Result<DeployerKeys, ListError> {
    if bytes.len() as u64 > MAX_LIST_BYTES {
        return Err(ListError::TooLarge(bytes.len()));
    }
    let list: Option<DeployerKeys> = serde_json::from_slice(bytes).ok();
    list.filter(|list| list.format == LIST_FORMAT)
        .ok_or(ListError::NoList)
}

/// What is known of each tenant.
#[derive(Default)]
pub struct Deployers {
    known: RwLock<HashMap<Tenant, Known>>,
}

#[derive(Clone, Default)]
struct Known {
    /// The newest edition of the targets that is known of.
    edition: u64,
    /// Who speaks by it, once somebody asked.
    deployer: Option<Deployer>,
}

impl Deployers {
    /// Who speaks by this edition of the targets, or by a newer one.
    ///
    /// # Errors
    /// `key_missing` when the targets name none of the keys that are here; `database_unavailable`.
    pub async fn by(&self, cloud: &Cloud, tenant: &Tenant, edition: u64) -> Outcome<Deployer> {
        let known = self.known(tenant);
        match known.deployer {
            Some(deployer) if known.edition >= edition => Ok(deployer),
            _ => self.find(cloud, tenant).await,
        }
    }

    /// Forgets who spoke: this edition of the targets is current now.
    pub fn forget(&self, tenant: &Tenant, edition: u64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(tenant.clone()).or_default();
        known.edition = known.edition.max(edition);
        known.deployer = None;
    }

    fn known(&self, tenant: &Tenant) -> Known {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(tenant).cloned().unwrap_or_default()
    }

    /// What was found by an edition that was replaced while it was looked up is not kept.
    fn keep(&self, tenant: &Tenant, edition: u64, deployer: &Deployer) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(tenant.clone()).or_default();
        if known.edition <= edition {
            *known = Known {
                edition,
                deployer: Some(deployer.clone()),
            };
        }
    }

    async fn find(&self, cloud: &Cloud, tenant: &Tenant) -> Outcome<Deployer> {
        let Standing { root, targets, .. } = Standing::read(cloud, tenant).await?;
        let digest = targets
            .digest(DEPLOYER_TARGET)
            .ok_or_else(|| Refusal::internal("the targets name no deployer keys"))?;
        let list = cloud.blobs.load(digest, MAX_LIST_BYTES).await?;
        let list = parse_list(&list).map_err(Refusal::internal)?;
        let deployer = cloud.authority.keys().deployer(&list, root.trust());
        let deployer = deployer.map_err(|error| {
            Refusal::new(
                ErrorCode::KeyMissing,
                format!(
                    "{} Devices would believe nothing that this server says.",
                    sentence(&error)
                ),
            )
            .with_hint(
                "sign a release, or `espalier keys targets next`, with this server's deployer key",
            )
        })?;
        self.keep(tenant, targets.version().get(), &deployer);
        Ok(deployer)
    }
}
