use espalier_api::{
    device::{CertificateView, DeviceView},
    page::{Page, PageQuery},
};
use espalier_domain::{device::Device, principal::Principal};
use espalier_protocol::{DeviceIdentity, DeviceName};

use super::device_cursor;
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
    view::{self, Surroundings},
};

/// The newest assignments of a device that its view is made from.
const ASSIGNMENTS: u32 = 64;

/// A tenant's devices by name.
///
/// # Errors
/// `malformed_parameter`.
pub async fn list_devices(
    cloud: &Cloud,
    who: &Principal,
    query: &PageQuery,
) -> Outcome<Page<DeviceView>> {
    let after: Option<DeviceName> = device_cursor(query)?;
    let limit = query.rows();
    let devices = cloud
        .store()?
        .devices()
        .list(&who.tenant, after.as_ref(), limit + 1)
        .await?;
    let page = Page::cut(devices, limit, |device: &Device| {
        device.identity.device.to_string()
    });
    let mut items = Vec::with_capacity(page.items.len());
    for device in page.items {
        items.push(show(cloud, device).await?);
    }
    Ok(Page {
        items,
        next: page.next,
    })
}

/// One device.
///
/// # Errors
/// `not_found`.
pub async fn show_device(cloud: &Cloud, who: &Principal, name: &DeviceName) -> Outcome<DeviceView> {
    let identity = DeviceIdentity::new(who.tenant.clone(), name.clone());
    let device = cloud.store()?.devices().find(&identity).await?;
    show(
        cloud,
        device.ok_or_else(|| Refusal::absent(format!("device {name}")))?,
    )
    .await
}

async fn show(cloud: &Cloud, device: Device) -> Outcome<DeviceView> {
    let store = cloud.store()?;
    let mut assignments = store
        .assignments()
        .of_device(&device.identity, ASSIGNMENTS)
        .await?;
    // The view wants them in the order in which the device was told.
    assignments.reverse();
    let sequence = store
        .desired()
        .current(&device.identity)
        .await?
        .map_or(0, |state| state.sequence);
    let certificates = store.devices().certificates(&device.identity).await?;
    let newest = certificates
        .into_iter()
        .next()
        .ok_or_else(|| Refusal::internal("a device without a certificate"))?;
    let certificate = CertificateView {
        serial: newest.serial,
        key_id: device.public_key.id().to_string(),
        not_after: newest.expires_at,
        revoked: device.standing.is_revoked(),
    };
    let refused = store.devices().refused(&device.identity).await?;
    Ok(view::device(
        device,
        Surroundings {
            assignments: &assignments,
            sequence,
            certificate,
            refused,
        },
    ))
}
