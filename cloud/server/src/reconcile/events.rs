//! Forgets old events: the console's memory, not the records.

use jiff::SignedDuration;

use crate::{cloud::Cloud, refusal::Outcome};

/// How long an event is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 90);
/// The most events of a tenant. Stops devices that report without end from filling the database.
const MOST: u32 = 500_000;

/// One pass over all tenants.
pub(super) async fn pass(cloud: &Cloud) -> Outcome<()> {
    let since = cloud.world.now() - KEPT;
    for tenant in cloud.store()?.principals().tenants().await? {
        while cloud.store()?.events().forget(&tenant, since, MOST).await? > 0 {
            if cloud.stopping.is_cancelled() {
                return Ok(());
            }
        }
    }
    Ok(())
}
