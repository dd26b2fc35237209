//! `espalier up` for the demo, on free ports.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use espalier_api::system::Endpoints;
use espalier_support::{Operator, process::Process, programs::Program, wait};

/// The first start makes a database, keys and metadata, and loads the full model.
const UP_WITHIN: Duration = Duration::from_secs(120);

/// A running `espalier up`.
pub struct Up {
    process: Process,
    /// The admin.
    pub operator: Operator,
}

impl Up {
    /// Starts it with its state in `state`; its host serves what is imported.
    ///
    /// # Errors
    /// When it ends instead of coming up.
    pub async fn start(state: &Path) -> Result<Self> {
        std::fs::create_dir_all(state).context("cannot make the demo's state folder")?;
        let mut process = Process::start(Program::Cli, &state.join("up.log"), |command| {
            command.arg("up").arg("--state").arg(state);
            for port in ["--port", "--host-port", "--device-port", "--broker-port"] {
                command.args([port, "0"]);
            }
            command.env_remove("DATABASE_URL");
        })?;
        let endpoints = wait::until("Espalier to be up", UP_WITHIN, || {
            let read = process.must_run().map(|()| endpoints(state));
            async { read }
        })
        .await
        .with_context(|| process.last_words())?;
        let operator = Operator::new(state.to_owned(), endpoints);
        wait::until("the control plane to be ready", UP_WITHIN, || {
            operator.is_ready()
        })
        .await?;
        Ok(Self { process, operator })
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(mut self) -> Result<()> {
        self.process.stop().await.map(drop)
    }
}

fn endpoints(state: &Path) -> Option<Endpoints> {
    serde_json::from_slice(&std::fs::read(state.join("endpoints.json")).ok()?).ok()
}
