//! `espalier up`: everything on one machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use espalier_api::system::{Endpoints, VersionView};
use espalier_api::{API_ROOT, TrustLevel};
use jiff::Timestamp;
use serde::Serialize;

use super::Context;
use super::claim::duration;
use super::status::DEVELOPMENT_KEYS;
use crate::client::Client;
use crate::connection::Target;
use crate::failure::Failure;
use crate::output::{Output, Shown, facts};
use crate::up::{Part, Program, Stack, asked_to_stop, await_cloud, await_file};

/// The folder of the parts' logs within the state folder.
const LOGS_FOLDER: &str = "logs";
/// The file in the state folder into which the model host writes its address.
const HOST_ADDRESS_FILE: &str = "host-address";
/// The folder of full models in a checkout.
const MODELS_FOLDER: &str = "models";

/// Run everything on this machine: database, broker, server, model host.
///
/// Nothing else needs to run, and nothing is installed: the database and the broker are part of it,
/// and all state is in one folder. Keys are made at the first start; they are development keys, which
/// devices accept only with --development-trust. Ctrl-C drains and stops; a second Ctrl-C stops at once.
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
    /// The address at which devices on other machines reach this one [default: only this machine]
    #[arg(long, value_name = "HOST")]
    public_host: Option<String>,
    /// A full model to serve, a folder with model.json; may be given several times
    /// [default: all in ./models]
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
        let state = private_folder(context.connection.state_folder())?;
        let logs = private_folder(state.join(LOGS_FOLDER))?;
        let mut stack = Stack::default();
        let ended = tokio::select! {
            started = self.start(&mut stack, &state, &logs, context.output) => started,
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

    async fn start(
        &self,
        stack: &mut Stack,
        state: &Path,
        logs: &Path,
        output: Output,
    ) -> Result<(), Failure> {
        let models = self.models()?;
        let host = if models.is_empty() {
            None
        } else {
            Some(self.start_host(stack, &models, state, logs).await?)
        };
        let mut cloud = Part::start(&self.cloud(state, host.as_deref()), logs)?;
        let endpoints = await_cloud(&mut cloud, state, self.patience).await;
        stack.add(cloud);
        output.show(&Running::new(endpoints?, host, logs).await?)
    }

    async fn start_host(
        &self,
        stack: &mut Stack,
        models: &[PathBuf],
        state: &Path,
        logs: &Path,
    ) -> Result<String, Failure> {
        let address_file = state.join(HOST_ADDRESS_FILE);
        // What an earlier host left there would be taken for this one's.
        match std::fs::remove_file(&address_file) {
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::writing(&address_file)(err));
            }
            _ => {}
        }
        let mut host = Part::start(&host(models, &address_file), logs)?;
        let address = await_file(&mut host, &address_file, self.patience).await;
        stack.add(host);
        Ok(address?.trim().to_owned())
    }

    fn cloud(&self, state: &Path, host: Option<&str>) -> Program {
        let bind = if self.public_host.is_some() {
            "0.0.0.0"
        } else {
            "127.0.0.1"
        };
        let mut arguments: Vec<OsString> = vec!["serve".into(), "--state".into(), state.into()];
        let mut option = |name: &str, value: String| arguments.extend([name.into(), value.into()]);
        // The API stays on this machine whatever devices need: it speaks plain HTTP here.
        option("--listen", format!("127.0.0.1:{}", self.port));
        option("--device-listen", format!("{bind}:{}", self.device_port));
        option("--broker-listen", format!("{bind}:{}", self.broker_port));
        if let Some(public) = &self.public_host {
            option("--public-host", public.clone());
        }
        if let Some(host) = host {
            option("--model-host", host.to_owned());
        }
        if self.unsandboxed_forge {
            arguments.push("--unsandboxed-forge".into());
        }
        Program {
            name: "the server",
            file: "espalier-cloud",
            arguments,
        }
    }

    /// The model folders to serve: those that were named, else all that lie in `./models`.
    fn models(&self) -> Result<Vec<PathBuf>, Failure> {
        if self.no_host {
            return Ok(Vec::new());
        }
        if self.models.is_empty() {
            return Ok(model_folders(Path::new(MODELS_FOLDER)));
        }
        match self.models.iter().find(|folder| !is_model(folder)) {
            None => Ok(self.models.clone()),
            Some(folder) => Err(Failure::usage(
                format!(
                    "{} is not a model folder: it has no model.json",
                    folder.display()
                ),
                "name folders that hold model.json beside their ONNX graphs",
            )),
        }
    }
}

fn host(models: &[PathBuf], address_file: &Path) -> Program {
    let mut arguments: Vec<OsString> = vec!["--listen".into(), "127.0.0.1:0".into()];
    arguments.extend(["--address-file".into(), address_file.into()]);
    arguments.extend(
        models
            .iter()
            .flat_map(|model| ["--model".into(), model.into()]),
    );
    Program {
        name: "the model host",
        file: "espalier-host",
        arguments,
    }
}

fn is_model(folder: &Path) -> bool {
    folder
        .join(espalier_protocol::manifest::MODEL_FILE)
        .is_file()
}

fn model_folders(parent: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| is_model(path))
        .collect();
    folders.sort();
    folders
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
    model_host: Option<String>,
    logs: PathBuf,
}

impl Running {
    async fn new(
        endpoints: Endpoints,
        model_host: Option<String>,
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
                    .clone()
                    .unwrap_or_else(|| "not started".into()),
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
