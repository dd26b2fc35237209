//! How the commands start workers.

use std::future::Future;

use anyhow::Context;
use espalier_forge::job::Workshop;
use espalier_forge::sandbox::spawn::own_program;

/// Options of every command that works on a stranger's model.
#[derive(clap::Args)]
pub struct Confinement {
    /// Work without walls where this machine has none, and accept that a hostile model may do anything that you may.
    #[arg(long)]
    unsandboxed: bool,
}

impl Confinement {
    /// The workshop of this process.
    pub fn workshop(&self) -> anyhow::Result<Workshop> {
        if self.unsandboxed {
            eprintln!(
                "warning: --unsandboxed: the model is opened with all the rights of this user"
            );
        }
        let library = espalier_runtime::engine::find_library()?;
        Ok(Workshop {
            program: own_program()?,
            library: library.canonicalize()?,
            confined: !self.unsandboxed,
        })
    }
}

/// Runs a future on this thread alone: a worker dies with the thread that started it.
pub fn on_this_thread<F: Future>(work: F) -> anyhow::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    Ok(runtime
        .context("the event loop could not be started")?
        .block_on(work))
}

/// Resolves when the process is told to end.
pub async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let heard = |kind| async move {
        match signal(kind) {
            Ok(mut stream) => {
                stream.recv().await;
            }
            // Without a handler the signal's default action ends the process, which is as good.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = heard(SignalKind::terminate()) => {}
        () = heard(SignalKind::interrupt()) => {}
    }
}
