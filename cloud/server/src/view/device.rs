use std::collections::BTreeMap;

use espalier_api::device::{
    CertificateView, DeviceModelView, DeviceView, RefusedView, SlotView, StandingView, WantedView,
};
use espalier_domain::{
    assignment::{Assignment, State},
    desired::desired_models,
    device::{Device, Refused, Standing},
};
use espalier_protocol::{ModelName, desired::DesiredModel, report::Installed};

use super::word;

/// What is known of a device, beside the device itself.
pub struct Surroundings<'a> {
    /// Its assignments, in the order in which it was told of them.
    pub assignments: &'a [Assignment],
    /// The sequence of its newest desired state; 0 before the first.
    pub sequence: u64,
    /// Its certificate.
    pub certificate: CertificateView,
    /// What it refused, newest first.
    pub refused: Vec<Refused>,
}

/// A device as clients see it.
#[must_use]
pub fn device(device: Device, around: Surroundings<'_>) -> DeviceView {
    let models = models(&device, around.assignments, around.sequence);
    DeviceView {
        tenant: device.identity.tenant.clone(),
        name: device.identity.device.clone(),
        role: device.role.into(),
        gateway: device.gateway,
        class: device.class,
        labels: device
            .labels
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
        enrolled_at: device.enrolled_at,
        last_seen: device.last.as_ref().map(|last| last.received_at),
        standing: standing(device.standing),
        certificate: around.certificate,
        inventory: device
            .inventory
            .and_then(|facts| serde_json::to_value(facts).ok()),
        models,
        refused: around.refused.into_iter().map(refused).collect(),
    }
}

fn standing(standing: Standing) -> StandingView {
    match standing {
        Standing::Enrolled => StandingView::Enrolled,
        Standing::Quarantined { at, reason } => StandingView::Quarantined { since: at, reason },
        Standing::Revoked { at, reason } => StandingView::Revoked { since: at, reason },
    }
}

fn refused(refused: Refused) -> RefusedView {
    RefusedView {
        attack: word(refused.refusal.attack),
        detail: refused.refusal.detail,
        at: refused.at,
    }
}

/// Every model that the device runs or should run.
fn models(device: &Device, assignments: &[Assignment], sequence: u64) -> Vec<DeviceModelView> {
    let mut models: BTreeMap<ModelName, DeviceModelView> = BTreeMap::new();
    let reported = device.last.iter().flat_map(|last| &last.models);
    for state in reported {
        let view = entry(&mut models, &state.model);
        view.active = state.active.map(slot);
        view.previous = state.previous.map(slot);
    }
    for desired in desired_models(assignments) {
        entry(&mut models, &desired.model).desired = Some(wanted(&desired, sequence));
    }
    for assignment in assignments {
        let view = entry(&mut models, &assignment.model);
        view.phase = Some(assignment.phase().name().to_owned());
        view.failure = failure(assignment);
    }
    models.into_values().collect()
}

fn entry<'a>(
    models: &'a mut BTreeMap<ModelName, DeviceModelView>,
    model: &ModelName,
) -> &'a mut DeviceModelView {
    models
        .entry(model.clone())
        .or_insert_with(|| DeviceModelView {
            model: model.clone(),
            desired: None,
            active: None,
            previous: None,
            phase: None,
            failure: None,
        })
}

fn slot(installed: Installed) -> SlotView {
    SlotView {
        release: installed.release.id,
        release_digest: installed.release.digest,
        bundle: installed.bundle,
    }
}

fn wanted(desired: &DesiredModel, sequence: u64) -> WantedView {
    WantedView {
        release: desired.release.id,
        release_digest: desired.release.digest,
        bundle: desired.bundle,
        sequence,
    }
}

fn failure(assignment: &Assignment) -> Option<String> {
    match &assignment.state {
        State::Failed(failure) | State::RolledBack(failure) => Some(word(failure.kind)),
        _ => None,
    }
}
