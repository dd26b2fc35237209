//! A control plane of a test's own: `espalier-cloud` on free ports, with its state in a folder.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use espalier_api::system::Endpoints;

use crate::{operator::Operator, process::Process, programs::Program, wait};

/// How long a control plane may take until it is ready: it may have to make a database first.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What differs from the embedded default.
#[derive(Debug, Clone, Default)]
pub struct CloudOptions {
    /// Somebody else's Postgres.
    pub database_url: Option<String>,
    /// Somebody else's broker, `mqtts://host:port`.
    pub broker: Option<String>,
}

/// A running control plane.
#[derive(Debug)]
pub struct Cloud {
    state: PathBuf,
    options: CloudOptions,
    process: Process,
    endpoints: Endpoints,
}

impl Cloud {
    /// Starts one with its state in `state`, and waits until it is ready.
    ///
    /// # Errors
    /// When it ends instead, or is not ready in time; with the end of its log.
    pub async fn start(state: &Path, options: CloudOptions) -> Result<Self> {
        std::fs::create_dir_all(state).context("cannot make the state folder")?;
        let first = Ports::free();
        let mut process = launch(state, &options, &first)?;
        let endpoints = open_doors(state, &options, &mut process).await?;
        Ok(Self {
            state: state.to_owned(),
            options,
            process,
            endpoints,
        })
    }

    /// `kill -9`; its addresses stay known for the next start.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill_hard(&mut self) -> Result<()> {
        self.process.kill_hard().await
    }

    /// Starts it again after its end, on the addresses that devices already know.
    ///
    /// # Errors
    /// As [`Cloud::start`].
    pub async fn start_again(&mut self) -> Result<()> {
        self.process = launch(&self.state, &self.options, &Ports::of(&self.endpoints)?)?;
        self.endpoints = open_doors(&self.state, &self.options, &mut self.process).await?;
        Ok(())
    }

    /// An operator with the admin's token.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator::new(self.state.clone(), self.endpoints.clone())
    }

    /// The addresses.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The process, to be watched or killed.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Waits until a process has written its addresses and is ready.
async fn open_doors(
    state: &Path,
    options: &CloudOptions,
    process: &mut Process,
) -> Result<Endpoints> {
    let id = process.id();
    let endpoints = wait::until("the control plane's addresses", READY_WITHIN, || {
        let read = process.must_run().map(|()| read_endpoints(state, id));
        async { read }
    })
    .await
    .with_context(|| process.last_words())?;
    // Somebody else's broker is set up with what this control plane writes for it, so it may come later.
    let later: &[&str] = match options.broker {
        Some(_) => &["broker"],
        None => &[],
    };
    let operator = Operator::new(state.to_owned(), endpoints.clone());
    let ready = wait::until("the control plane to be ready", READY_WITHIN, || {
        operator.is_ready_but_for(later)
    });
    ready.await.with_context(|| process.last_words())?;
    Ok(endpoints)
}

/// Addresses to listen on.
struct Ports {
    api: String,
    door: String,
    broker: String,
}

impl Ports {
    fn free() -> Self {
        let any = || "127.0.0.1:0".to_owned();
        Self {
            api: any(),
            door: any(),
            broker: any(),
        }
    }

    fn of(endpoints: &Endpoints) -> Result<Self> {
        let address = |url: &str| -> Result<String> {
            let url: url::Url = url
                .parse()
                .with_context(|| format!("`{url}` is not an address"))?;
            let port = url
                .port_or_known_default()
                .context("an address without a port")?;
            Ok(format!("127.0.0.1:{port}"))
        };
        Ok(Self {
            api: address(&endpoints.api)?,
            door: address(&endpoints.device_door)?,
            broker: address(&endpoints.broker)?,
        })
    }
}

fn launch(state: &Path, options: &CloudOptions, ports: &Ports) -> Result<Process> {
    Process::start(Program::Cloud, &state.join("cloud.log"), |command| {
        command.arg("serve").arg("--state").arg(state);
        command.args(["--listen", &ports.api, "--device-listen", &ports.door]);
        match &options.broker {
            Some(broker) => command.args(["--broker", broker]),
            None => command.args(["--broker-listen", &ports.broker]),
        };
        match &options.database_url {
            Some(url) => command.args(["--database-url", url]),
            None => command.env_remove("DATABASE_URL"),
        };
    })
}

/// The addresses that this very process wrote; an older one's are none.
fn read_endpoints(state: &Path, process: Option<u32>) -> Option<Endpoints> {
    let bytes = std::fs::read(state.join("endpoints.json")).ok()?;
    let endpoints: Endpoints = serde_json::from_slice(&bytes).ok()?;
    (Some(endpoints.pid) == process).then_some(endpoints)
}
