//! From a configuration to a running cloud, and from a signal to its end.

mod doors;
mod lock;
mod start;

use std::{sync::Arc, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{bridge, config::Config, reconcile, world::World};
use doors::Doors;
use lock::StateLock;

/// How long requests and passes that were begun may take to end.
pub const DRAIN_SECONDS: u64 = 10;

/// Cancelled at the first SIGTERM or SIGINT.
///
/// # Errors
/// When signals cannot be heard.
pub fn terminated() -> anyhow::Result<CancellationToken> {
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        cancelled.cancel();
    });
    Ok(stop)
}

/// Serves until `stop`, then drains: no new connection, begun requests and passes end, reports that
/// are not stored stay with their devices.
///
/// # Errors
/// When it cannot start: a port is taken, a key is unreadable, a program is missing. A database or a
/// broker that does not answer is no such error: it is waited for, and `/readyz` says so.
pub async fn serve(config: &Config, world: World, stop: CancellationToken) -> anyhow::Result<()> {
    start::make_private(&config.state)?;
    let _held_until_the_end = StateLock::take(&config.state)?;
    let start::Started {
        cloud,
        listeners,
        tls,
        endpoints,
        bootstrap,
        uplink,
        queue,
        alarms,
        external,
        embedded,
    } = start::start(config, world, stop.clone()).await?;
    let mut tasks = JoinSet::new();
    reconcile::run_all(&cloud, bootstrap, &mut tasks);
    tasks.spawn(bridge::store_reports(Arc::clone(&cloud), queue));
    tasks.spawn(bridge::quarantine_clones(Arc::clone(&cloud), alarms));
    if let Some(link) = external {
        tasks.spawn(link.run(Arc::clone(&cloud), uplink));
    }
    let doors = Doors::open(&cloud, listeners, tls)?;
    start::publish_endpoints(&config.state, &endpoints)?;
    tracing::info!(
        api = endpoints.api,
        door = endpoints.device_door,
        broker = endpoints.broker,
        "serving"
    );

    stop.cancelled().await;
    tracing::info!("draining");
    start::withdraw_endpoints(&config.state)?;
    doors.close().await;
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(DRAIN_SECONDS), ended)
        .await
        .is_err()
    {
        tracing::warn!("some work did not end in time; it is taken up at the next start");
    }
    drop(tasks);
    embedded.stop().await;
    Ok(())
}
