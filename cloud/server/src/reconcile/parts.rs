//! Brings up the parts that everything else stands on, and says which of them answer: database and
//! schema, the first tenant with its admin, the first edition of the signed metadata, blobs.

use std::sync::atomic::{AtomicBool, Ordering};

use espalier_domain::principal::{Principal, PrincipalId, PrincipalRole};
use espalier_protocol::Tenant;
use espalier_store::{ConnectOptions, Role, Store, Written};
use espalier_trust::{FirstEdition, first_edition};

use super::Bootstrap;
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
            Err(refusal) => readiness.down(Part::Blobs, refusal.causes(), metrics),
        }
        match self.database(cloud).await {
            Ok(()) => readiness.up(Part::Database, metrics),
            Err(refusal) => readiness.down(Part::Database, explained(&refusal), metrics),
        }
        match self.found(cloud).await {
            Ok(()) => readiness.up(Part::Trust, metrics),
            Err(refusal) => readiness.down(Part::Trust, explained(&refusal), metrics),
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

    /// The first tenant with its admin and its metadata. Each step is done once, whoever does it.
    async fn found(&self, cloud: &Cloud) -> Outcome<()> {
        if self.founded.load(Ordering::Relaxed) {
            return Ok(());
        }
        let tenant: Tenant = FIRST_TENANT.parse().map_err(Refusal::internal)?;
        let (principals, now) = (cloud.store()?.principals(), cloud.world.now());
        principals.ensure_tenant(&tenant, now).await?;
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
        publish_first_edition(cloud, &tenant).await?;
        self.founded.store(true, Ordering::Relaxed);
        Ok(())
    }
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
    let (authority, now) = (&cloud.authority, cloud.world.now());
    let release_keys = authority.release_keys()?;
    let edition = first_edition(&release_keys, &authority.online, &authority.lifetimes, now)
        .map_err(Refusal::internal)?;
    let FirstEdition {
        root,
        targets,
        snapshot,
        timestamp,
        deployer_json,
    } = edition;
    authority.keep_first_root(&root.bytes)?;
    cloud.blobs.put(deployer_json).await?;
    let files = [
        (Role::Root, root),
        (Role::Targets, targets),
        (Role::Snapshot, snapshot),
        (Role::Timestamp, timestamp),
    ];
    let files = files.map(|(role, file)| usecase::metadata(role, file));
    match cloud.store()?.tuf().publish(tenant, &files, now).await? {
        Written::Updated => {
            tracing::info!(%tenant, "the first edition of the signed metadata was published")
        }
        // Another replica was faster.
        Written::NotUpdated | Written::Absent => {}
    }
    Ok(())
}

/// What `/readyz` says: the caller's words, or else the cause.
fn explained(refusal: &Refusal) -> String {
    match refusal.causes() {
        causes if causes.is_empty() => refusal.detail.clone(),
        causes => causes,
    }
}
