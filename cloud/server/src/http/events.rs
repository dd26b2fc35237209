//! Live changes as server-sent events.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, Responder, get};
use actix_web_lab::sse;
use espalier_api::event::FleetEvent;
use espalier_protocol::Tenant;
use espalier_store::Event;
use tokio::sync::mpsc;

use super::Shared;
use crate::{cloud::Cloud, principal::Operator, refusal::Outcome, view};

/// Comments keep idle connections open through proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events that may wait for a slow reader; more wait in the database.
const WAITING: usize = 64;
/// Events that are read at once.
const BATCH: u32 = 200;
/// When to look again although no bell rang.
const PERIOD: Duration = Duration::from_secs(5);
/// The header with which a reader that was cut off says where it was.
const LAST_EVENT_ID: &str = "Last-Event-ID";

/// Follows what happens, as server-sent events
///
/// A reader that was cut off sends `Last-Event-ID` and misses nothing. A new one hears what happens
/// from now on.
#[utoipa::path(tag = "system", responses((status = 200, body = FleetEvent, content_type = "text/event-stream")))]
#[get("/events")]
pub async fn events(cloud: Shared, who: Operator, request: HttpRequest) -> Outcome<impl Responder> {
    let last = request
        .headers()
        .get(LAST_EVENT_ID)
        .and_then(|id| id.to_str().ok()?.parse().ok());
    let from = match last {
        Some(id) => id,
        None => cloud.store()?.events().newest_id(&who.tenant).await?,
    };
    let (sender, receiver) = mpsc::channel(WAITING);
    let (cloud, tenant) = (cloud.into_inner(), who.tenant.clone());
    actix_web::rt::spawn(async move {
        let stopping = cloud.stopping.clone();
        tokio::select! {
            outcome = forward(&cloud, &tenant, from, &sender) => if let Err(refusal) = outcome {
                tracing::debug!(causes = refusal.causes(), "an event stream ended; its reader comes again");
            },
            // Open streams must not hold up a drain, and readers that went away must not be kept.
            () = stopping.cancelled() => {}
            () = sender.closed() => {}
        }
    });
    Ok(sse::Sse::from_infallible_receiver(receiver).with_keep_alive(KEEP_ALIVE))
}

async fn forward(
    cloud: &Arc<Cloud>,
    tenant: &Tenant,
    from: u64,
    sender: &mpsc::Sender<sse::Event>,
) -> Outcome<()> {
    let mut bell = cloud.bells.events.subscribe();
    let mut last = from;
    loop {
        let news = cloud.store()?.events().after(tenant, last, BATCH).await?;
        let more = news.len() == BATCH as usize;
        for event in news {
            last = event.id;
            if sender.send(message(event)).await.is_err() {
                return Ok(());
            }
        }
        if !more {
            // A timer that ran out and a bell are the same: look again.
            let _ = tokio::time::timeout(PERIOD, bell.changed()).await;
        }
    }
}

fn message(event: Event) -> sse::Event {
    let id = event.id;
    let view = view::event(event);
    // Plain data always becomes JSON.
    let text = serde_json::to_string(&view).unwrap_or_default();
    sse::Event::Data(sse::Data::new(text).id(id.to_string()))
}
