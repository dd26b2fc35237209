use espalier_api::{device::DeviceView, error::ErrorCode};
use espalier_domain::{device::Standing, principal::Principal};
use espalier_protocol::{DeviceIdentity, DeviceName};
use espalier_store::Written;

use super::{announce, record, show_device};
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// Ends a device's quarantine, once only one agent holds its key. Doing it again changes nothing.
///
/// # Errors
/// `not_found`; `action_not_allowed` for a device that was revoked.
pub async fn readmit_device(
    cloud: &Cloud,
    who: &Principal,
    name: &DeviceName,
) -> Outcome<DeviceView> {
    let identity = DeviceIdentity::new(who.tenant.clone(), name.clone());
    let devices = cloud.store()?.devices();
    let known = devices.find(&identity).await?;
    let known = known.ok_or_else(|| Refusal::absent(format!("device {name}")))?;
    if let Standing::Revoked { .. } = known.standing {
        let detail = format!("Device {name} was revoked, which is for good.");
        return Err(Refusal::new(ErrorCode::ActionNotAllowed, detail)
            .with_hint("enrol it under a new name, with a new key"));
    }
    if devices.readmit(&identity).await? == Written::Updated {
        record(cloud, who, "device.readmit", name, serde_json::json!({})).await?;
        announce(
            cloud,
            &who.tenant,
            "device.readmitted",
            name,
            serde_json::json!({}),
        )
        .await;
    }
    cloud.directory.forget(&identity);
    show_device(cloud, who, name).await
}
