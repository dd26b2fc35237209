//! Brings up the parts that everything else stands on, and says which of them answer: database and
//! schema, the first tenant with its admin, the first edition of the signed metadata, blobs.

use std::{
    num::NonZeroU64,
    sync::atomic::{AtomicBool, Ordering},
};

use espalier_api::error::ErrorCode;
use espalier_domain::principal::{Principal, PrincipalId, PrincipalRole};
use espalier_protocol::Tenant;
use espalier_store::{ConnectOptions, Role, Signal, Store, Written};
use espalier_trust::tuf::TrustedRoot;

use super::{
    Bootstrap,
    founding::{Founding, first_edition},
    restore,
};
use crate::{
    cloud::Cloud,
    readiness::Part,
    refusal::{Outcome, Refusal},
    usecase,
};

/// The tenant of an installation with one.
const FIRST_TENANT: &str = "default";
const ADMIN: &str = "admin";

pub(super) struct Parts {
    bootstrap: Bootstrap,
    founded: AtomicBool,
}

impl Parts {
    pub(super) fn new(bootstrap: Bootstrap) -> Self {
        Self {
            bootstrap,
            founded: AtomicBool::new(false),
        }
    }

    /// Looks at every part. One that is away does not keep the others from being looked at.
    pub(super) async fn pass(&self, cloud: &Cloud) -> Outcome<()> {
        let (readiness, metrics) = (&cloud.readiness, &cloud.metrics);
        match cloud.blobs.ping().await {
            Ok(()) => readiness.up(Part::Blobs, metrics),
            Err(refusal) => readiness.down(Part::Blobs, &refusal, metrics),
        }
        match self.database(cloud).await {
            Ok(()) => readiness.up(Part::Database, metrics),
            Err(refusal) => readiness.down(Part::Database, &refusal, metrics),
        }
        let waited_for = !readiness.is_up(Part::Trust);
        match self.found(cloud).await {
            Ok(()) => {
                readiness.up(Part::Trust, metrics);
                if waited_for {
                    cloud.bells.ring(&Signal::Everything);
                }
            }
            Err(refusal) => readiness.down(Part::Trust, &refusal, metrics),
        }
        Ok(())
    }

    async fn database(&self, cloud: &Cloud) -> Outcome<()> {
        if let Some(store) = cloud.database.get() {
            return Ok(store.ping().await?);
        }
        let store = Store::connect(&ConnectOptions::new(&self.bootstrap.database_url)).await?;
        store.migrate().await?;
        // Nobody else sets it.
        let _ = cloud.database.set(store);
        Ok(())
    }

    /// The first tenant with its metadata and its admin. Each step is done once, whoever does it. The admin comes last:
    /// with keys of another installation nothing may be done that no device would believe.
    async fn found(&self, cloud: &Cloud) -> Outcome<()> {
        if self.founded.load(Ordering::Relaxed) {
            return Ok(());
        }
        let tenant: Tenant = FIRST_TENANT.parse().map_err(Refusal::internal)?;
        let (principals, now) = (cloud.store()?.principals(), cloud.world.now());
        principals.ensure_tenant(&tenant, now).await?;
        publish_first_edition(cloud, &tenant).await?;
        restore::catch_up(cloud, &tenant).await?;
        let root = cloud.root(&tenant).await?;
        refuse_foreign_keys(cloud, &root)?;
        cloud.authority.speaks_under(&root);
        // Later roots are kept when they are published; a first start may have been cut short before that.
        if root.version() == NonZeroU64::MIN {
            usecase::keep_beside_keys(cloud, &root);
        }
        let admin = Principal {
            id: PrincipalId(cloud.world.id()?),
            tenant: tenant.clone(),
            name: ADMIN.to_owned(),
            role: PrincipalRole::Admin,
        };
        let id = principals.ensure(&admin, now).await?;
        principals
            .add_token(&tenant, id, &self.bootstrap.admin_token, now, None)
            .await?;
        self.founded.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// A state folder beside a database that it does not belong to, or one that lost a key: whatever these keys sign, no device
/// of this database would believe.
fn refuse_foreign_keys(cloud: &Cloud, root: &TrustedRoot) -> Outcome<()> {
    cloud.authority.under(root).map_err(|refusal| {
        let why = [Some(&*refusal.detail), refusal.hint.as_deref()];
        let why: Vec<_> = why.into_iter().flatten().collect();
        Refusal::new(
            ErrorCode::Internal,
            "The keys in the state folder are another installation's, or one of them was taken away: they are not those that the root in the database names.",
        )
        .with_hint(format!(
            "start with the state folder that belongs to this database, or with an empty database; or mend the folder: {}",
            why.join(" ")
        ))
        .because(refusal)
    })?;
    Ok(())
}

async fn publish_first_edition(cloud: &Cloud, tenant: &Tenant) -> Outcome<()> {
    if cloud
        .store()?
        .tuf()
        .newest(tenant, Role::Root)
        .await?
        .is_some()
    {
        return Ok(());
    }
    let Founding {
        edition,
        deployer_json,
    } = first_edition(cloud)?;
    cloud.blobs.put(deployer_json).await?;
    let (tuf, now) = (cloud.store()?.tuf(), cloud.world.now());
    match tuf.publish(tenant, &edition, now).await? {
        Written::Updated => {
            tracing::info!(%tenant, "the first edition of the signed metadata was published")
        }
        // Another replica was faster.
        Written::NotUpdated | Written::Absent => {}
    }
    Ok(())
}
