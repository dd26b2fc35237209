use espalier_api::device::DeviceView;
use espalier_domain::principal::Principal;
use espalier_protocol::{DeviceIdentity, DeviceName};
use espalier_store::Written;

use super::{announce, record, show_device};
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// Shuts every door before a device. Doing it again changes nothing.
///
/// # Errors
/// `not_found`.
pub async fn revoke_device(
    cloud: &Cloud,
    who: &Principal,
    name: &DeviceName,
) -> Outcome<DeviceView> {
    let identity = DeviceIdentity::new(who.tenant.clone(), name.clone());
    let reason = format!("revoked by {}", who.name);
    match cloud
        .store()?
        .devices()
        .revoke(&identity, &reason, cloud.world.now())
        .await?
    {
        Written::Absent => return Err(Refusal::absent(format!("device {name}"))),
        Written::NotUpdated => {}
        Written::Updated => {
            record(cloud, who, "device.revoke", name, serde_json::json!({})).await?;
            announce(
                cloud,
                &who.tenant,
                "device.revoked",
                name,
                serde_json::json!({}),
            )
            .await;
        }
    }
    cloud.directory.forget(&identity);
    cloud.broker.kick(&identity).await;
    show_device(cloud, who, name).await
}
