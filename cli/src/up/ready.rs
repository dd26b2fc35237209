//! Waiting for parts: by a level (what a part wrote, what it answers), never by a moment.

use std::path::Path;
use std::time::Duration;

use espalier_api::system::Endpoints;

use super::Part;
use crate::client::Client;
use crate::connection::{Target, read_endpoints};
use crate::failure::Failure;

/// How often a part is looked at while it starts.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until the server has written its addresses and says that it is ready.
///
/// # Errors
/// When it dies, or is not ready in `patience`.
pub async fn await_cloud(
    part: &mut Part,
    state: &Path,
    patience: Duration,
) -> Result<Endpoints, Failure> {
    let pid = part.pid();
    let name = part.name();
    let ready = async {
        let endpoints = written(state, pid).await?;
        answering(&endpoints).await?;
        Ok(endpoints)
    };
    tokio::select! {
        died = part.died() => Err(died),
        ready = within(name, patience, ready) => ready,
    }
}

/// Waits until a file appears that a part writes when it listens, and gives its text.
///
/// # Errors
/// When the part dies, or the file is not there in `patience`.
pub async fn await_file(
    part: &mut Part,
    path: &Path,
    patience: Duration,
) -> Result<String, Failure> {
    let name = part.name();
    let there = async {
        loop {
            match std::fs::read_to_string(path) {
                Ok(text) => return Ok(text),
                Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
                    tokio::time::sleep(LOOK).await
                }
                Err(err) => return Err(Failure::reading(path)(err)),
            }
        }
    };
    tokio::select! {
        died = part.died() => Err(died),
        text = within(name, patience, there) => text,
    }
}

async fn within<T>(
    name: &str,
    patience: Duration,
    ready: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(patience, ready)
        .await
        .unwrap_or_else(|_| {
            Err(Failure::unsuccessful(
                format!("{name} was not ready after {} s", patience.as_secs()),
                "look into its log, or give it longer with --patience",
            ))
        })
}

/// The addresses of this very process: a file that an earlier server left names another.
async fn written(state: &Path, pid: Option<u32>) -> Result<Endpoints, Failure> {
    loop {
        if let Some(endpoints) =
            read_endpoints(state)?.filter(|endpoints| Some(endpoints.pid) == pid)
        {
            return Ok(endpoints);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn answering(endpoints: &Endpoints) -> Result<(), Failure> {
    let client = Client::to(&Target::of(endpoints)?)?;
    loop {
        if client
            .readiness()
            .await
            .is_ok_and(|readiness| readiness.ready)
        {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}
