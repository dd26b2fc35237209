//! From what devices should run to signed bytes on the broker. Three numbers of a row say how far
//! that is (wanted, composed, published), so a cut anywhere is made good by the next pass.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use espalier_protocol::{
    Tenant,
    desired::{DesiredState, TufVersions},
    topic::{Channel, Topic},
};
use espalier_store::{Role, Signed, ToCompose, ToPublish};
use jiff::SignedDuration;
use tracing::Instrument;

use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
    telemetry,
};

/// States that are composed or published at once.
const BATCH: u32 = 500;
/// How long a device may act on a state. Long: expiry must stop a replay, never a device that was
/// away for a while; it is signed anew long before.
const LIFE: SignedDuration = SignedDuration::from_hours(24 * 30);
/// States are signed anew when less than this is left.
const RENEW: SignedDuration = SignedDuration::from_hours(24 * 10);

#[derive(Default)]
pub(super) struct Publisher {
    /// The broker's epoch that everything was published to.
    published_to: AtomicU64,
}

impl Publisher {
    /// One pass: signs what is wanted, then publishes what is signed.
    pub(super) async fn pass(&self, cloud: &Cloud) -> Outcome<()> {
        let desired = cloud.store()?.desired();
        desired
            .renew_ending_before(cloud.world.now() + RENEW)
            .await?;
        compose_all(cloud).await?;
        let epoch = cloud.broker.epoch();
        if epoch == 0 {
            return Ok(());
        }
        if self.published_to.load(Ordering::Relaxed) != epoch {
            // A broker that comes (again) may have forgotten every retained message.
            desired.republish_all().await?;
        }
        publish_all(cloud).await?;
        self.published_to.store(epoch, Ordering::Relaxed);
        Ok(())
    }
}

async fn compose_all(cloud: &Cloud) -> Outcome<()> {
    loop {
        let waiting = cloud.store()?.desired().to_compose(BATCH).await?;
        let full = waiting.len() == BATCH as usize;
        for device in waiting {
            compose(cloud, device).await?;
        }
        if !full {
            return Ok(());
        }
    }
}

async fn compose(cloud: &Cloud, device: ToCompose) -> Outcome<()> {
    let span =
        tracing::info_span!("sign_desired", device = %device.identity, sequence = device.sequence);
    if let Some(traceparent) = &device.traceparent {
        telemetry::continue_trace(&span, traceparent);
    }
    async {
        let issued_at = cloud.world.now();
        let tenant = &device.identity.tenant;
        let tuf = tuf_versions(cloud, tenant).await?;
        let deployer = cloud
            .authority
            .deployers
            .by(cloud, tenant, tuf.targets)
            .await?;
        let state = DesiredState {
            device: device.identity.clone(),
            sequence: device.sequence,
            issued_at,
            expires_at: issued_at + LIFE,
            class: device.class,
            models: device.models,
            tuf,
            traceparent: device.traceparent,
        };
        let envelope = deployer.sign_desired(&state).map_err(Refusal::internal)?;
        let signed = Signed {
            identity: device.identity,
            wanted: device.wanted,
            sequence: device.sequence,
            envelope,
            issued_at,
            expires_at: state.expires_at,
        };
        // Not written means that another replica wrote the same, or something newer.
        let _ = cloud.store()?.desired().put(&signed).await?;
        Ok(())
    }
    .instrument(span)
    .await
}

/// The newest metadata: it names every release that a state can speak of, because a release is signed
/// before it can be rolled out.
async fn tuf_versions(cloud: &Cloud, tenant: &Tenant) -> Outcome<TufVersions> {
    let tuf = cloud.store()?.tuf();
    let mut versions = [0; 4];
    for (slot, role) in
        versions
            .iter_mut()
            .zip([Role::Root, Role::Timestamp, Role::Snapshot, Role::Targets])
    {
        let newest = tuf.newest(tenant, role).await?;
        *slot = newest
            .ok_or_else(|| Refusal::internal("there is no signed metadata"))?
            .version;
    }
    let [root, timestamp, snapshot, targets] = versions;
    Ok(TufVersions {
        root,
        timestamp,
        snapshot,
        targets,
    })
}

async fn publish_all(cloud: &Cloud) -> Outcome<()> {
    loop {
        let waiting = cloud.store()?.desired().to_publish(BATCH).await?;
        let full = waiting.len() == BATCH as usize;
        for state in waiting {
            publish(cloud, state).await?;
        }
        if !full {
            return Ok(());
        }
    }
}

async fn publish(cloud: &Cloud, ToPublish { identity, envelope }: ToPublish) -> Outcome<()> {
    let topic = Topic::new(identity.clone(), Channel::Desired);
    cloud
        .broker
        .publish(&topic, Bytes::from(envelope.bytes), true)
        .await
        .map_err(Refusal::broker)?;
    cloud
        .store()?
        .desired()
        .mark_published(&identity, envelope.sequence)
        .await?;
    cloud.metrics.desired_published.inc();
    tracing::debug!(device = %identity, sequence = envelope.sequence, "a desired state was published");
    Ok(())
}
