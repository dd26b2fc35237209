//! A database that is older than what devices have seen is brought up to it, before anything is signed on it.

use espalier_protocol::{Digest, ModelName, Tenant, release::ReleaseDocument};
use espalier_store::{Edition, Metadata, Newest, Role, Written};
use espalier_trust::tuf::{TrustedRoot, TrustedTargets, accept_root, read_targets};
use jiff::Timestamp;

use crate::{
    cloud::Cloud,
    last_edition::LastEdition,
    refusal::{Outcome, Refusal},
};

/// Most bytes of a release document that is looked into for its counter.
const MAX_RELEASE_BYTES: u64 = 1 << 20;

/// Compares the database with the last edition that is kept beside it.
///
/// # Errors
/// `internal` when what is kept does not continue what the database knows: the two do not belong together.
pub(super) async fn catch_up(cloud: &Cloud, tenant: &Tenant) -> Outcome<()> {
    let (Some(last), Some(newest)) = (
        cloud.last_editions.find(tenant)?,
        cloud.store()?.tuf().newest_of_all(tenant).await?,
    ) else {
        return Ok(());
    };
    if last.number() <= newest.timestamp.version {
        return Ok(());
    }
    let (edition, targets) = verified(cloud, tenant, &newest, &last)?;
    raise_counters(cloud, tenant, &targets).await?;
    let (tuf, now) = (cloud.store()?.tuf(), cloud.world.now());
    if tuf.publish_anew(tenant, &edition, now).await? == Written::Updated {
        tracing::warn!(
            %tenant,
            before = newest.timestamp.version,
            now = last.number(),
            "the database was older than what devices have seen, as after a restore: it was brought up to the last edition that was published"
        );
    }
    Ok(())
}

/// The roots that the database lacks, one after the other as devices walk them, and the files that the last one vouches
/// for.
fn verified(
    cloud: &Cloud,
    tenant: &Tenant,
    newest: &Newest,
    last: &LastEdition,
) -> Outcome<(Edition, TrustedTargets)> {
    let mut root = TrustedRoot::read(&newest.root.bytes).map_err(Refusal::internal)?;
    let mut files = Vec::new();
    while root.version().get() < last.root {
        let next = cloud
            .last_editions
            .root(tenant, root.version().get().saturating_add(1))?;
        // It was published in its time: how long it still holds is not asked here.
        root = accept_root(&root, &next, Timestamp::MIN).map_err(foreign)?;
        files.push(Metadata {
            role: Role::Root,
            version: root.version().get(),
            expires_at: root.expires(),
            bytes: next,
        });
    }
    let targets = read_targets(&root, last.targets()).map_err(foreign)?;
    let versions = newest.versions();
    files.extend(last.files().into_iter().filter(|file| match file.role {
        Role::Root => versions.root < file.version,
        Role::Targets => versions.targets < file.version,
        Role::Snapshot => versions.snapshot < file.version,
        Role::Timestamp => versions.timestamp < file.version,
    }));
    let edition = Edition {
        on: versions,
        files,
    };
    Ok((edition, targets))
}

/// Releases that devices may run and this database never heard of keep their counters.
async fn raise_counters(cloud: &Cloud, tenant: &Tenant, targets: &TrustedTargets) -> Outcome<()> {
    for name in targets.file_names() {
        let Some(digest) = targets
            .digest(name)
            .filter(|_| name.starts_with("release."))
        else {
            continue;
        };
        match counter(cloud, digest).await {
            Ok((model, counter)) => {
                let releases = cloud.store()?.releases();
                releases.raise_counter(tenant, &model, counter).await?;
            }
            Err(refusal) => tracing::warn!(
                name,
                causes = refusal.causes(),
                "a release that was signed cannot be read: if devices run it, they refuse the next of its model"
            ),
        }
    }
    Ok(())
}

async fn counter(cloud: &Cloud, digest: Digest) -> Outcome<(ModelName, u64)> {
    let bytes = cloud.blobs.load(digest, MAX_RELEASE_BYTES).await?;
    let document: ReleaseDocument = serde_json::from_slice(&bytes).map_err(Refusal::internal)?;
    Ok((document.model, document.counter))
}

fn foreign(why: impl std::error::Error + Send + Sync + 'static) -> Refusal {
    Refusal::internal(
        "The last edition that is kept in the state folder does not follow what the database knows.",
    )
    .with_hint("start with the state folder that belongs to this database")
    .because(why)
}
