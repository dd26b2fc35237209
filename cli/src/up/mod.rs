//! A whole Espalier on one machine: its parts as child processes, awaited, supervised, drained.

mod child;
mod ready;

pub use child::{Part, Program};
pub use ready::{await_cloud, await_file};

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// How long a part may take to drain before it is ended.
const GRACE: Duration = Duration::from_secs(20);

/// The running parts, in the order in which they were started.
#[derive(Debug, Default)]
pub struct Stack {
    parts: Vec<Part>,
}

impl Stack {
    /// Starts a part, which belongs to the stack from now on: whatever fails later, it is drained.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self, program: &Program, logs: &Path) -> Result<&mut Part, Failure> {
        let part = Part::start(program, logs)?;
        Ok(self.parts.push_mut(part))
    }

    /// Runs until the operator stops it (then all is well) or a part dies (then that is the failure).
    ///
    /// # Errors
    /// The death of a part, with its name and last words.
    pub async fn supervise(&mut self) -> Result<(), Failure> {
        let mut deaths: FuturesUnordered<_> = self.parts.iter_mut().map(Part::died).collect();
        tokio::select! {
            () = asked_to_stop() => Ok(()),
            Some(death) = deaths.next() => Err(death),
        }
    }

    /// Drains all parts, those first that were started last. A second request to stop ends them at once.
    pub async fn drain(&mut self) {
        let orderly = async {
            for part in self.parts.iter_mut().rev() {
                part.stop(GRACE).await;
            }
        };
        tokio::select! {
            () = orderly => {}
            // Dropping the parts kills them.
            () = asked_to_stop() => {}
        }
    }
}

/// Ctrl-C, or what a service manager sends.
pub async fn asked_to_stop() {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            // Without the handler the signal ends this process by itself, and the parts with it.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}
