//! Signs timestamps and snapshots anew before they end: a device that sees an old one thinks that
//! somebody keeps news from it.

use espalier_protocol::Tenant;
use espalier_store::{Role, Written};
use espalier_trust::tuf::read_targets;
use jiff::SignedDuration;

use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
    usecase,
};

/// Signed anew when less than this is left: devices may be away for days.
const MARGIN: SignedDuration = SignedDuration::from_hours(24 * 3);

/// One pass over all tenants.
pub(super) async fn pass(cloud: &Cloud) -> Outcome<()> {
    for tenant in cloud.store()?.principals().tenants().await? {
        refresh(cloud, &tenant).await?;
    }
    Ok(())
}

async fn refresh(cloud: &Cloud, tenant: &Tenant) -> Outcome<()> {
    let tuf = cloud.store()?.tuf();
    let newest = [
        tuf.newest(tenant, Role::Targets).await?,
        tuf.newest(tenant, Role::Snapshot).await?,
        tuf.newest(tenant, Role::Timestamp).await?,
    ];
    // Before the first edition there is nothing to renew.
    let [Some(targets), Some(snapshot), Some(timestamp)] = newest else {
        return Ok(());
    };
    let due = cloud.world.now() + MARGIN;
    if snapshot.expires_at > due && timestamp.expires_at > due {
        return Ok(());
    }
    let root = cloud.root(tenant).await?;
    let targets = read_targets(&root, &targets.bytes).map_err(Refusal::internal)?;
    let edition = usecase::freshness(cloud, tenant, &root, &targets).await?;
    match cloud
        .store()?
        .tuf()
        .publish(tenant, &edition, cloud.world.now())
        .await?
    {
        Written::Updated => {
            tracing::info!(%tenant, timestamp = timestamp.version + 1, "metadata was signed anew")
        }
        // A release was signed meanwhile, which renewed it, too.
        Written::NotUpdated | Written::Absent => {}
    }
    Ok(())
}
