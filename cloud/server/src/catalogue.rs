//! Which blobs belong to signed releases: what devices may fetch. Releases never change once they are
//! signed, so what was found once is true for ever.

use std::{
    collections::{HashMap, HashSet},
    sync::RwLock,
};

use espalier_api::page::MAX_LIMIT;
use espalier_domain::release::{Release, ReleaseState};
use espalier_protocol::{
    Digest, Tenant,
    id::ReleaseId,
    manifest::{MAX_MANIFEST_BYTES, Manifest},
};
use espalier_trust::deployer_target;

use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// The blobs of each tenant's releases.
#[derive(Default)]
pub struct Catalogue {
    tenants: RwLock<HashMap<Tenant, Released>>,
}

#[derive(Default, Clone)]
struct Released {
    releases: HashSet<ReleaseId>,
    blobs: HashSet<Digest>,
}

impl Catalogue {
    /// Whether a blob belongs to a signed release of the tenant. A blob that is not known makes the
    /// catalogue look for new releases.
    ///
    /// # Errors
    /// `database_unavailable`; an internal failure when a released manifest cannot be read.
    pub async fn holds(&self, cloud: &Cloud, tenant: &Tenant, digest: Digest) -> Outcome<bool> {
        if self.knows(tenant, digest) {
            return Ok(true);
        }
        self.refresh(cloud, tenant).await?;
        Ok(self.knows(tenant, digest))
    }

    fn knows(&self, tenant: &Tenant, digest: Digest) -> bool {
        let tenants = self
            .tenants
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        tenants
            .get(tenant)
            .is_some_and(|released| released.blobs.contains(&digest))
    }

    async fn refresh(&self, cloud: &Cloud, tenant: &Tenant) -> Outcome<()> {
        let mut known = {
            let tenants = self
                .tenants
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            tenants.get(tenant).cloned().unwrap_or_default()
        };
        known.blobs.insert(deployer_keys(cloud)?);
        for release in cloud
            .store()?
            .releases()
            .list(tenant, None, MAX_LIMIT)
            .await?
        {
            let signed = matches!(release.state, ReleaseState::Signed { .. });
            if signed && known.releases.insert(release.id()) {
                known.blobs.extend(blobs_of(cloud, &release).await?);
            }
        }
        let mut tenants = self
            .tenants
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let entry = tenants.entry(tenant.clone()).or_default();
        entry.releases.extend(known.releases);
        entry.blobs.extend(known.blobs);
        Ok(())
    }
}

/// The target that lists the deployer's keys.
fn deployer_keys(cloud: &Cloud) -> Outcome<Digest> {
    let (file, _) =
        deployer_target(&[cloud.authority.deployer.public_key()]).map_err(Refusal::internal)?;
    Ok(file.digest())
}

/// The document, each manifest, and each file that a manifest names.
async fn blobs_of(cloud: &Cloud, release: &Release) -> Outcome<HashSet<Digest>> {
    let mut blobs = HashSet::from([release.digest]);
    for build in &release.document.builds {
        let bytes = cloud
            .blobs
            .load(build.bundle, MAX_MANIFEST_BYTES as u64)
            .await?;
        let manifest = Manifest::parse(&bytes).map_err(Refusal::internal)?;
        blobs.insert(build.bundle);
        blobs.extend(manifest.files.values().map(|file| file.sha256));
    }
    Ok(blobs)
}
