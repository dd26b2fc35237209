//! The demo's last stage: two attacks on the gateway, which must name and refuse both.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use espalier_api::{
    device::RefusedView,
    rollout::{AssignmentDetail, AssignmentView},
};
use espalier_protocol::{
    DeviceIdentity, Digest,
    desired::DesiredState,
    envelope::seal,
    id::ModelVersionId,
    topic::{Channel, Topic},
    trust::SigningKey,
};
use espalier_support::{Operator, hostile::HostileBroker, wait, walk};
use jiff::{SignedDuration, Timestamp};
use ring::rand::SystemRandom;

use crate::{
    fleet::{self, Fleet, GATEWAY, GATEWAY_CLASS},
    record::RefusedRecord,
    show::recipe,
    stages::Stage,
};

/// How long a refusal may take to come home.
const HOME_WITHIN: Duration = Duration::from_secs(60);

/// Offers both and brings home what the gateway's signed reports say of them.
///
/// # Errors
/// When one is not refused in time.
pub async fn offer(
    operator: &Operator,
    fleet: &Fleet,
    scratch: &Path,
    version: ModelVersionId,
    stage: Stage,
) -> Result<Vec<RefusedRecord>> {
    stage.say("a hostile broker says what the deployer never signed");
    let wrong_key = wrong_key(operator, fleet, scratch).await?;
    stage.say("a bundle with one flipped bit is offered to the gateway");
    let flipped_bit = flipped_bit(operator, scratch, version).await?;
    Ok(vec![flipped_bit, wrong_key])
}

/// One bit of a stored graph is flipped after its release was signed, as a rotten or hostile store does.
async fn flipped_bit(
    operator: &Operator,
    scratch: &Path,
    version: ModelVersionId,
) -> Result<RefusedRecord> {
    let build = operator
        .order_build(version, GATEWAY_CLASS, &recipe(GATEWAY_CLASS, "fp16"))
        .await?;
    let build = operator.built(build, |_| ()).await?;
    let release = operator.release(&[build.id]).await?;
    let bundle = release
        .builds
        .first()
        .context("a release without builds")?
        .bundle;
    flip(&scratch.join("cloud"), bundle)?;
    let rollout = operator
        .roll_out(release.id, &format!("device={GATEWAY}"), 1)
        .await?;
    operator.ended(rollout, HOME_WITHIN, |_| ()).await?;
    let assignments = operator.assignments(rollout).await?;
    let gateway = GATEWAY.parse()?;
    let assignment =
        walk::of_device(&assignments, &gateway).context("the gateway has no assignment")?;
    let reason = failure(assignment).context("the flipped bit was not refused")?;
    Ok(RefusedRecord {
        attack: "bundle with one flipped bit".to_owned(),
        reason,
    })
}

/// Flips one bit in the middle of the bundle's largest file, in the cloud's own store of blobs.
fn flip(cloud: &Path, bundle: Digest) -> Result<()> {
    let blobs = espalier_support::blobs::Blobs::of(cloud);
    let manifest = blobs.manifest(bundle)?;
    let largest = manifest
        .files
        .values()
        .max_by_key(|file| file.size)
        .context("a bundle without files")?;
    blobs.flip_bit(largest.sha256)
}

fn failure(assignment: &AssignmentView) -> Option<String> {
    match &assignment.detail {
        AssignmentDetail::Failed(failure) => Some(format!("{}: {}", failure.kind, failure.detail)),
        _ => None,
    }
}

/// The network leads the gateway to a hostile broker, which shows a good certificate and retains a
/// desired state signed by a key of its own.
async fn wrong_key(operator: &Operator, fleet: &Fleet, scratch: &Path) -> Result<RefusedRecord> {
    let now = now();
    let hostile = HostileBroker::start(&scratch.join("cloud"), scratch, now).await?;
    let gateway: DeviceIdentity =
        format!("{}/{GATEWAY}", operator.device(GATEWAY).await?.tenant).parse()?;
    let topic = Topic::new(gateway.clone(), Channel::Desired);
    hostile.say(&topic, forged(&gateway, now)?).await?;
    fleet.wire.lead_to(hostile.address());
    wait::until(
        "the gateway to fall for the hostile broker",
        HOME_WITHIN,
        || async { Ok(hostile.has(&gateway).await.then_some(())) },
    )
    .await?;
    wait::until(
        "the gateway to read the forged state",
        HOME_WITHIN,
        || async {
            let status = fleet.gateway().command(&["status"]).await?;
            Ok(status.contains("wrong-key").then_some(()))
        },
    )
    .await?;
    fleet.wire.lead_to(fleet::broker(operator)?);
    let refused = wait::until(
        "the gateway's report of the forged state",
        HOME_WITHIN,
        || async {
            Ok(operator
                .device(GATEWAY)
                .await?
                .refused
                .into_iter()
                .find(|refused| refused.attack == "wrong-key"))
        },
    );
    let RefusedView { attack, detail, .. } = refused.await?;
    Ok(RefusedRecord {
        attack: "desired state signed by a wrong key".to_owned(),
        reason: format!("{attack}: {detail}"),
    })
}

/// A desired state with the highest sequence there is, signed by nobody's key.
fn forged(device: &DeviceIdentity, now: Timestamp) -> Result<Vec<u8>> {
    let (key, _) = SigningKey::generate(&SystemRandom::new())?;
    let state = DesiredState {
        device: device.clone(),
        sequence: u64::MAX,
        issued_at: now,
        expires_at: now + SignedDuration::from_hours(1),
        class: GATEWAY_CLASS.parse()?,
        models: Vec::new(),
        tuf: espalier_protocol::desired::TufVersions {
            root: 1,
            timestamp: 1,
            snapshot: 1,
            targets: 1,
        },
        traceparent: None,
    };
    Ok(seal(&state, &key)?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the demo's wiring is where the clock comes from"
)]
fn now() -> Timestamp {
    Timestamp::now()
}
