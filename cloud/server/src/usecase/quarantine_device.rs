use espalier_protocol::DeviceIdentity;
use espalier_store::Written;

use super::announce;
use crate::{bridge::CloneSign, cloud::Cloud, refusal::Outcome};

/// Shuts every door before a device whose key two hold, until an operator has looked: nobody here can tell which of both
/// is the device. Doing it again changes nothing.
///
/// # Errors
/// `database_unavailable`.
pub async fn quarantine_device(
    cloud: &Cloud,
    device: &DeviceIdentity,
    sign: CloneSign,
) -> Outcome<()> {
    let reason = sign.words();
    let written = cloud
        .store()?
        .devices()
        .quarantine(device, reason, cloud.world.now())
        .await?;
    cloud.directory.forget(device);
    if written == Written::Updated {
        tracing::warn!(%device, reason, "a cloned identity: the device is in quarantine");
        let payload = serde_json::json!({ "attack": "cloned-identity", "reason": reason });
        announce(
            cloud,
            &device.tenant,
            "device.quarantined",
            &device.device,
            payload,
        )
        .await;
    }
    cloud.broker.kick(device).await;
    Ok(())
}
