//! What happened, from the log that the console follows.

use espalier_api::{
    error::ErrorCode,
    event::FleetEvent,
    page::{Page, PageQuery},
};
use espalier_domain::principal::Principal;
use espalier_protocol::{DeviceName, id::RolloutId};
use espalier_store::Event;

use super::{show_device, show_rollout};
use crate::{
    cloud::Cloud,
    refusal::{Outcome, Refusal},
    view,
};

/// Events that are read at once.
const BATCH: u32 = 1000;
/// The most events that one call looks through; the next page goes on from there.
const MOST_READ: u64 = 20_000;

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
    show_rollout(cloud, who, id).await?;
    let id = id.to_string();
    search(cloud, who, query, |event| {
        event.event.subject == id || event.event.payload["rollout"] == id.as_str()
    })
    .await
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
    show_device(cloud, who, name).await?;
    let (name, identity) = (name.as_str(), format!("{}/{name}", who.tenant));
    search(cloud, who, query, |event| {
        event.event.subject == name
            || event.event.subject == identity
            || event.event.payload["device"] == name
    })
    .await
}

async fn search(
    cloud: &Cloud,
    who: &Principal,
    query: &PageQuery,
    wanted: impl Fn(&Event) -> bool,
) -> Outcome<Page<FleetEvent>> {
    let mut last = cursor(query)?;
    let stop = last.saturating_add(MOST_READ);
    let limit = query.rows() as usize;
    let mut items = Vec::new();
    loop {
        let batch = cloud
            .store()?
            .events()
            .after(&who.tenant, last, BATCH)
            .await?;
        let at_end = batch.len() < BATCH as usize;
        for event in batch {
            last = event.id;
            if wanted(&event) {
                items.push(view::event(event));
                if items.len() == limit {
                    return Ok(Page {
                        items,
                        next: Some(last.to_string()),
                    });
                }
            }
        }
        if at_end {
            return Ok(Page { items, next: None });
        }
        if last >= stop {
            return Ok(Page {
                items,
                next: Some(last.to_string()),
            });
        }
    }
}

fn cursor(query: &PageQuery) -> Outcome<u64> {
    let Some(text) = &query.after else {
        return Ok(0);
    };
    text.parse().map_err(|_| {
        Refusal::new(
            ErrorCode::MalformedParameter,
            format!("`{text}` is no cursor of this list."),
        )
    })
}
