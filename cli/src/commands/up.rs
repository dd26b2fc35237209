//! `espalier up`: everything on one machine.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use espalier_api::system::{Endpoints, VersionView};
use espalier_api::{API_ROOT, TrustLevel};
use espalier_protocol::manifest::MODEL_FILE;
use jiff::Timestamp;
use serde::Serialize;

use super::Context;
use super::claim::duration;
use super::status::DEVELOPMENT_KEYS;
use crate::client::Client;
use crate::connection::Target;
use crate::failure::Failure;
use crate::output::{Output, Shown, facts};
use crate::up::{Program, Stack, asked_to_stop, await_cloud, await_file};

/// The folder of the parts' logs within the state folder.
const LOGS_FOLDER: &str = "logs";
/// The file in the state folder into which the model host writes its address.
const HOST_ADDRESS_FILE: &str = "host-address";
/// How often the model host looks for newly imported models, in seconds: soon enough for a person who just
/// imported one.
const FOLLOW_SECONDS: &str = "3";

/// Run everything on this machine: database, broker, server, model host.
///
/// Nothing else needs to run, and nothing is installed: the database and the broker are part of it,
/// and all state is in one folder. Keys are made at the first start, unless a key ceremony put some there
/// (`espalier keys`); those made here are development keys, which devices accept only with
/// --development-trust. The model host serves every model that is imported.
/// Ctrl-C drains and stops; a second Ctrl-C stops at once.
#[derive(Debug, Args)]
pub struct Up {
    /// Port of the API and the console; 0 takes a free one
    #[arg(long, default_value_t = 7070)]
    port: u16,
    /// Port of the door that devices enrol at and download from; 0 takes a free one
    #[arg(long, default_value_t = 7443)]
    device_port: u16,
    /// Port of the broker; 0 takes a free one
    #[arg(long, default_value_t = 8883)]
    broker_port: u16,
    /// Port of the model host; 0 takes a free one
    #[arg(long, default_value_t = 7080)]
    host_port: u16,
    /// The address at which devices on other machines reach this one [default: only this machine]
    #[arg(long, value_name = "HOST")]
    public_host: Option<String>,
    /// Serve these full models, folders with model.json, instead of those that are imported
    #[arg(long = "model", value_name = "DIR")]
    models: Vec<PathBuf>,
    /// Start without the model host
    #[arg(long, conflicts_with = "models")]
    no_host: bool,
    /// Run forge jobs even where the kernel offers no isolation: a model file is hostile input
    #[arg(long)]
    unsandboxed_forge: bool,
    /// How long each part may take to become ready
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = duration)]
    patience: Duration,
}

impl Up {
    /// Starts all parts, says where they are, and keeps watch until it is stopped.
    ///
    /// # Errors
    /// When a part cannot be started, does not become ready, or dies.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        self.check_models()?;
        let state = private_folder(context.connection.state_folder())?;
        let mut stack = Stack::default();
        let ended = tokio::select! {
            started = self.start(&mut stack, &state, context.output) => started,
            () = asked_to_stop() => Err(Failure::Interrupted),
        };
        let ended = match ended {
            Ok(()) => stack.supervise().await,
            Err(failure) => Err(failure),
        };
        context.output.remark("stopping …");
        stack.drain().await;
        ended
    }

    async fn start(&self, stack: &mut Stack, state: &Path, output: Output) -> Result<(), Failure> {
        let logs = private_folder(state.join(LOGS_FOLDER))?;
        let host = if self.no_host {
            None
        } else {
            Some(free_address(self.host_port)?)
        };
        let cloud = stack.start(&self.cloud(state, host), &logs)?;
        let endpoints = await_cloud(cloud, state, self.patience).await?;
        if let Some(host) = host {
            let address_file = fresh_file(state.join(HOST_ADDRESS_FILE))?;
            let part = stack.start(&self.host(host, &endpoints, &address_file), &logs)?;
            await_file(part, &address_file, self.patience).await?;
        }
        output.show(&Running::new(endpoints, host, &logs).await?)
    }

    fn cloud(&self, state: &Path, host: Option<SocketAddr>) -> Program {
        let bind = if self.public_host.is_some() {
            "0.0.0.0"
        } else {
            "127.0.0.1"
        };
        let mut arguments = Arguments::of("serve");
        arguments.option("--state", state);
        // The API stays on this machine whatever devices need: it speaks plain HTTP here.
        arguments.option("--listen", format!("127.0.0.1:{}", self.port));
        arguments.option("--device-listen", format!("{bind}:{}", self.device_port));
        arguments.option("--broker-listen", format!("{bind}:{}", self.broker_port));
        arguments.options("--public-host", &self.public_host);
        arguments.options("--model-host", host.map(|host| format!("http://{host}/")));
        arguments.flag("--unsandboxed-forge", self.unsandboxed_forge);
        Program {
            name: "the server",
            file: "espalier-cloud",
            arguments: arguments.0,
        }
    }

    fn host(&self, listen: SocketAddr, endpoints: &Endpoints, address_file: &Path) -> Program {
        let mut arguments = Arguments::default();
        arguments.option("--listen", listen.to_string());
        arguments.option("--address-file", address_file);
        if self.models.is_empty() {
            arguments.option("--cloud", &endpoints.api);
            arguments.option("--token-file", &endpoints.admin_token_file);
            arguments.option("--follow", FOLLOW_SECONDS);
        }
        arguments.options("--model", &self.models);
        Program {
            name: "the model host",
            file: "espalier-host",
            arguments: arguments.0,
        }
    }

    fn check_models(&self) -> Result<(), Failure> {
        match self
            .models
            .iter()
            .find(|folder| !folder.join(MODEL_FILE).is_file())
        {
            None => Ok(()),
            Some(folder) => Err(Failure::usage(
                format!(
                    "{} is not a model folder: it has no {MODEL_FILE}",
                    folder.display()
                ),
                "name folders that hold model.json beside their ONNX graphs",
            )),
        }
    }
}

/// Arguments of a part.
#[derive(Debug, Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn of(command: &str) -> Self {
        Self(vec![command.into()])
    }

    fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.0.extend([name.into(), value.as_ref().to_owned()]);
    }

    fn options<V: AsRef<OsStr>>(&mut self, name: &str, values: impl IntoIterator<Item = V>) {
        values
            .into_iter()
            .for_each(|value| self.option(name, value));
    }

    fn flag(&mut self, name: &str, given: bool) {
        self.0.extend(given.then(|| name.into()));
    }
}

/// An address on this machine that is free now. The server has to be told where the host will be before
/// the host can be started, because the host asks the server for its models; should somebody take the
/// port in between, the host says so and the start fails.
fn free_address(port: u16) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|err| {
        Failure::usage(
            format!("port {port} cannot be had for the model host: {err}"),
            "choose another with --host-port; 0 takes a free one",
        )
    })?;
    listener
        .local_addr()
        .map_err(Failure::reading(Path::new("the model host's address")))
}

/// A path at which nothing is: what an earlier run left there would be taken for this one's.
fn fresh_file(path: PathBuf) -> Result<PathBuf, Failure> {
    match std::fs::remove_file(&path) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => Err(Failure::writing(&path)(err)),
        _ => Ok(path),
    }
}

/// Keys, tokens and the database lie in it, so it is for its owner only. Absolute, because parts get it too.
fn private_folder(path: PathBuf) -> Result<PathBuf, Failure> {
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700);
    builder.create(&path).map_err(Failure::writing(&path))?;
    std::path::absolute(&path).map_err(Failure::reading(&path))
}

/// What runs, and where.
#[derive(Debug, Serialize)]
struct Running {
    #[serde(flatten)]
    endpoints: Endpoints,
    console: String,
    trust: TrustLevel,
    model_host: Option<SocketAddr>,
    logs: PathBuf,
}

impl Running {
    async fn new(
        endpoints: Endpoints,
        model_host: Option<SocketAddr>,
        logs: &Path,
    ) -> Result<Self, Failure> {
        let target = Target::of(&endpoints)?;
        let VersionView { trust, .. } = Client::to(&target)?.version().await?;
        // The fragment never leaves the browser; with it the console needs no sign-in.
        let console = format!(
            "{}/#token={}",
            endpoints.api.trim_end_matches('/'),
            target.token()?
        );
        Ok(Self {
            endpoints,
            console,
            trust,
            model_host,
            logs: logs.to_owned(),
        })
    }
}

impl Shown for Running {
    fn text(&self, _now: Timestamp) -> String {
        let api = self.endpoints.api.trim_end_matches('/');
        let lines = facts([
            ("  console", self.console.clone()),
            ("  API", format!("{api}{API_ROOT} (to try it: {api}/docs/)")),
            ("  device door", self.endpoints.device_door.clone()),
            ("  broker", self.endpoints.broker.clone()),
            (
                "  model host",
                self.model_host
                    .map_or_else(|| "not started".into(), |host| format!("http://{host}/")),
            ),
            ("  token file", self.endpoints.admin_token_file.clone()),
            ("  logs", self.logs.display().to_string()),
        ]);
        let note = match self.trust {
            TrustLevel::Development => format!("\n\nNote: {DEVELOPMENT_KEYS}"),
            TrustLevel::Production => String::new(),
        };
        format!("Espalier is up. Ctrl-C stops it.\n\n{lines}{note}")
    }
}
