use espalier_api::{
    device::{CertificateView, DeviceView},
    page::{Page, PageQuery},
};
use espalier_domain::{device::Device, principal::Principal};
use espalier_protocol::{DeviceIdentity, DeviceName, Tenant};

use super::cursor;
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
    let (after, limit): (Option<DeviceName>, _) = (cursor(query)?, query.rows());
    let devices = cloud
        .store()?
        .devices()
        .list(&who.tenant, after.as_ref(), limit + 1)
        .await?;
    let page = Page::cut(devices, limit, |device: &Device| {
        device.identity.device.to_string()
    });
    Ok(Page {
        items: show(cloud, &who.tenant, page.items).await?,
        next: page.next,
    })
}

/// One device.
///
/// # Errors
/// `not_found`.
pub async fn show_device(cloud: &Cloud, who: &Principal, name: &DeviceName) -> Outcome<DeviceView> {
    let device = find(cloud, who, name).await?;
    let shown = show(cloud, &who.tenant, vec![device]).await?;
    let shown = shown.into_iter().next();
    shown.ok_or_else(|| Refusal::internal("a device that is not shown"))
}

/// A device of the principal's tenant.
///
/// # Errors
/// `not_found`.
pub(super) async fn find(cloud: &Cloud, who: &Principal, name: &DeviceName) -> Outcome<Device> {
    let identity = DeviceIdentity::new(who.tenant.clone(), name.clone());
    let device = cloud.store()?.devices().find(&identity).await?;
    device.ok_or_else(|| Refusal::absent(format!("device {name}")))
}

/// The views of a page of devices, by the same few questions for one device as for a thousand.
async fn show(cloud: &Cloud, tenant: &Tenant, devices: Vec<Device>) -> Outcome<Vec<DeviceView>> {
    let store = cloud.store()?;
    let names: Vec<_> = devices
        .iter()
        .map(|device| device.identity.device.clone())
        .collect();
    let mut assignments = store
        .assignments()
        .of_devices(tenant, &names, ASSIGNMENTS)
        .await?;
    let sequences = store.desired().sequences(tenant, &names).await?;
    let mut certificates = store.devices().newest_certificates(tenant, &names).await?;
    let mut refused = store.devices().refused(tenant, &names).await?;
    let view = |device: Device| {
        let name = device.identity.device.clone();
        let newest = certificates
            .remove(&name)
            .ok_or_else(|| Refusal::internal("a device without a certificate"))?;
        let certificate = CertificateView {
            serial: newest.serial,
            key_id: device.public_key.id().to_string(),
            not_after: newest.expires_at,
        };
        let around = Surroundings {
            assignments: &assignments.remove(&name).unwrap_or_default(),
            sequence: sequences.get(&name).copied().unwrap_or(0),
            certificate,
            refused: refused.remove(&name).unwrap_or_default(),
        };
        Ok(view::device(device, around))
    };
    devices.into_iter().map(view).collect()
}
