//! What happened, from the log that the console follows.

use espalier_api::{
    event::FleetEvent,
    page::{Page, PageQuery},
};
use espalier_domain::principal::Principal;
use espalier_protocol::{DeviceName, id::RolloutId};
use espalier_store::Event;

use super::{cursor, list_devices, list_rollouts};
use crate::{cloud::Cloud, refusal::Outcome, view};

/// What happened in a rollout, oldest first.
///
/// # Errors
/// `not_found`, `malformed_parameter`.
pub async fn list_rollout_events(
    cloud: &Cloud,
    who: &Principal,
    id: RolloutId,
    query: &PageQuery,
) -> Outcome<Page<FleetEvent>> {
    list_rollouts::find(cloud, who, id).await?;
    let (after, limit) = (cursor(query)?.unwrap_or(0), query.rows());
    let events = cloud.store()?.events();
    let found = events.of_rollout(&who.tenant, id, after, limit + 1).await?;
    Ok(page(found, limit))
}

/// What happened with a device, oldest first: its assignments, and what it refused.
///
/// # Errors
/// `not_found`, `malformed_parameter`.
pub async fn list_device_events(
    cloud: &Cloud,
    who: &Principal,
    name: &DeviceName,
    query: &PageQuery,
) -> Outcome<Page<FleetEvent>> {
    let device = list_devices::find(cloud, who, name).await?;
    let (after, limit) = (cursor(query)?.unwrap_or(0), query.rows());
    let events = cloud.store()?.events();
    let found = events.of_device(&device.identity, after, limit + 1).await?;
    Ok(page(found, limit))
}

fn page(events: Vec<Event>, limit: u32) -> Page<FleetEvent> {
    let events = events.into_iter().map(view::event).collect();
    Page::cut(events, limit, |event: &FleetEvent| event.id.to_string())
}
