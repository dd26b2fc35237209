//! Which blobs belong to signed releases: what devices may fetch. Releases never change once they are
//! signed, so what was found once is true for ever.

use std::{
    collections::{HashMap, HashSet},
    sync::RwLock,
};

use espalier_domain::release::Release;
use espalier_protocol::{
    Digest, Tenant,
    manifest::{MAX_MANIFEST_BYTES, Manifest},
    trust::DEPLOYER_TARGET,
};
use espalier_store::Role;
use espalier_trust::tuf::read_targets;

use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// The blobs of each tenant's releases.
#[derive(Default)]
pub struct Catalogue {
    tenants: RwLock<HashMap<Tenant, Released>>,
}

#[derive(Default)]
struct Released {
    /// The edition of the targets up to which all is known.
    edition: u64,
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
        let newest = cloud.store()?.tuf().newest(tenant, Role::Targets).await?;
        let known = self.edition(tenant);
        let Some(newest) = newest.filter(|newest| newest.version > known) else {
            return Ok(());
        };
        let root = cloud.root(tenant).await?;
        let targets = read_targets(&root, &newest.bytes).map_err(Refusal::internal)?;
        let mut blobs: HashSet<_> = targets.digest(DEPLOYER_TARGET).into_iter().collect();
        for release in cloud
            .store()?
            .releases()
            .signed_after(tenant, known)
            .await?
        {
            blobs.extend(blobs_of(cloud, &release).await?);
        }
        let mut tenants = self
            .tenants
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let entry = tenants.entry(tenant.clone()).or_default();
        entry.edition = entry.edition.max(newest.version);
        entry.blobs.extend(blobs);
        Ok(())
    }

    fn edition(&self, tenant: &Tenant) -> u64 {
        let tenants = self
            .tenants
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        tenants.get(tenant).map_or(0, |released| released.edition)
    }
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
