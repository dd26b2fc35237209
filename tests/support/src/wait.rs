//! Waiting for a level, never for an edge: a condition is asked again until it holds.

use std::{future::Future, time::Duration};

use anyhow::{Result, bail};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

const ASK_EVERY: Duration = Duration::from_millis(50);

/// Asks until there is an answer, at most for `limit`.
///
/// # Errors
/// When time is over; `what` says what was waited for. An error of the question itself ends the
/// wait at once.
pub async fn until<T, F>(what: &str, limit: Duration, mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let deadline = Instant::now() + limit;
    let mut ticks = interval(ASK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match timeout_at(deadline, ask()).await {
            Ok(answer) => match answer? {
                Some(value) => return Ok(value),
                None if Instant::now() < deadline => {}
                None => break,
            },
            Err(_) => break,
        }
    }
    bail!("waited {} s in vain for {what}", limit.as_secs())
}
