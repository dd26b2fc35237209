//! Signs timestamps and snapshots anew before they end: a device that sees an old one thinks that
//! somebody keeps news from it.

use espalier_protocol::Tenant;
use espalier_store::Written;
use jiff::SignedDuration;

use crate::{cloud::Cloud, refusal::Outcome, usecase::Standing};

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
    // Before the first edition there is nothing to renew.
    let Some(newest) = tuf.newest_of_all(tenant).await? else {
        return Ok(());
    };
    let due = cloud.world.now() + MARGIN;
    if newest.snapshot.expires_at > due && newest.timestamp.expires_at > due {
        return Ok(());
    }
    let standing = Standing::of(&newest)?;
    let edition = standing.edition(cloud, tenant, &standing.root, &standing.targets, Vec::new())?;
    match tuf.publish(tenant, &edition, cloud.world.now()).await? {
        Written::Updated => {
            let timestamp = newest.timestamp.version + 1;
            tracing::info!(%tenant, timestamp, "metadata was signed anew")
        }
        // Something else was published meanwhile, which renewed it, too.
        Written::NotUpdated | Written::Absent => {}
    }
    Ok(())
}
