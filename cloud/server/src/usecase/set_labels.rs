use espalier_api::{
    device::{DeviceView, SetLabels},
    error::ErrorCode,
};
use espalier_domain::{Labels, principal::Principal};
use espalier_protocol::{DeviceIdentity, DeviceName};
use espalier_store::Written;

use super::{announce, record, sentence, show_device};
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
};

/// Replaces a device's labels.
///
/// # Errors
/// `not_found`, `invalid_value`.
pub async fn set_labels(
    cloud: &Cloud,
    who: &Principal,
    name: &DeviceName,
    request: SetLabels,
) -> Outcome<DeviceView> {
    let pairs: Vec<_> = request
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let labels = Labels::from_pairs(pairs.iter().map(String::as_str));
    let labels = labels.map_err(|error| Refusal::new(ErrorCode::InvalidValue, sentence(&error)))?;
    let identity = DeviceIdentity::new(who.tenant.clone(), name.clone());
    if cloud
        .store()?
        .devices()
        .set_labels(&identity, &labels)
        .await?
        == Written::Absent
    {
        return Err(Refusal::absent(format!("device {name}")));
    }
    record(
        cloud,
        who,
        "device.label",
        name,
        serde_json::json!({ "labels": request.labels }),
    )
    .await?;
    announce(
        cloud,
        &who.tenant,
        "device.labelled",
        name,
        serde_json::json!({}),
    )
    .await;
    show_device(cloud, who, name).await
}
