//! Brings up the parts that everything else stands on, and says which of them answer: database and
//! schema, the first tenant with its admin, the first edition of the signed metadata, blobs.

use std::sync::atomic::{AtomicBool, Ordering};

use espalier_api::error::ErrorCode;
use espalier_domain::principal::{Principal, PrincipalId, PrincipalRole};
use espalier_protocol::Tenant;
use espalier_store::{ConnectOptions, Role, Signal, Store, Written};

use super::{Bootstrap, founding::first_edition};
use crate::{
    cloud::Cloud,
    readiness::Part,
    refusal::{Outcome, Refusal},
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
        refuse_foreign_keys(cloud, &tenant).await?;
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

/// A state folder beside a database that it does not belong to: whatever these keys sign, no device of this database
/// would believe.
async fn refuse_foreign_keys(cloud: &Cloud, tenant: &Tenant) -> Outcome<()> {
    let root = cloud.root(tenant).await?;
    cloud.authority.under(&root).map_err(|refusal| {
        Refusal::new(
            ErrorCode::Internal,
            "The keys in the state folder are another installation's: the root in the database does not name them.",
        )
        .with_hint("start with the state folder that belongs to this database, or with an empty database")
        .because(refusal)
    })?;
    cloud.authority.speaks_under(&root);
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
    let edition = first_edition(cloud)?;
    cloud.authority.keep_root(&edition.root)?;
    cloud.blobs.put(edition.deployer_json).await?;
    let (now, files) = (cloud.world.now(), edition.files);
    match cloud.store()?.tuf().publish(tenant, &files, now).await? {
        Written::Updated => {
            tracing::info!(%tenant, "the first edition of the signed metadata was published")
        }
        // Another replica was faster.
        Written::NotUpdated | Written::Absent => {}
    }
    Ok(())
}
