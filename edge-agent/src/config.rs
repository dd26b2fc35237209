//! Settings: flags over environment over file over defaults, checked before anything is opened.

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use espalier_runtime::ProviderPolicy;
use serde::Deserialize;

use crate::telemetry::LogFormat;

/// The state folder when nobody names one: where the systemd unit has it.
const DEFAULT_STATE: &str = "/var/lib/espalier";
/// Applications on this machine find the agent here.
const DEFAULT_SERVING: &str = "127.0.0.1:8480";
/// Devices behind a gateway find it here.
const DEFAULT_RELAY: &str = "0.0.0.0:7480";
/// Bytes of the relay's cache.
const DEFAULT_CACHE: u64 = 4 << 30;

/// Settings that every command takes.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct Flags {
    /// Configuration file (TOML)
    #[arg(
        long,
        global = true,
        env = "ESPALIER_AGENT_CONFIG",
        value_name = "FILE"
    )]
    pub config: Option<PathBuf>,
    /// Folder with the agent's identity, slots and outbox [default: /var/lib/espalier]
    #[arg(long, global = true, env = "ESPALIER_AGENT_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Accept keys that `espalier up` made on one machine; never for devices in the field
    #[arg(long, global = true, env = "ESPALIER_AGENT_DEVELOPMENT_TRUST")]
    pub development_trust: bool,
    /// Where applications on this machine find the agent [default: 127.0.0.1:8480]; port 0 takes a free one
    #[arg(
        long,
        global = true,
        env = "ESPALIER_AGENT_LISTEN",
        value_name = "IP:PORT"
    )]
    pub listen: Option<SocketAddr>,
    /// A Unix socket beside it, for owner and group
    #[arg(
        long,
        global = true,
        env = "ESPALIER_AGENT_SOCKET",
        value_name = "PATH"
    )]
    pub socket: Option<PathBuf>,
    /// Where a gateway's devices find it [default: 0.0.0.0:7480]
    #[arg(
        long,
        global = true,
        env = "ESPALIER_AGENT_RELAY_LISTEN",
        value_name = "IP:PORT"
    )]
    pub relay_listen: Option<SocketAddr>,
    /// Execution providers in order of preference, e.g. cuda,cpu [default: cpu]
    #[arg(
        long,
        global = true,
        env = "ESPALIER_AGENT_PROVIDERS",
        value_name = "LIST"
    )]
    pub providers: Option<ProviderPolicy>,
    /// Threads of one inference [default: 1]
    #[arg(long, global = true, env = "ESPALIER_AGENT_THREADS", value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// How log lines are written [default: text]
    #[arg(long, global = true, env = "ESPALIER_AGENT_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    state: Option<PathBuf>,
    development_trust: bool,
    log_format: Option<LogFormat>,
    serving: Serving,
    relay: Relay,
    runtime: Runtime,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Serving {
    listen: Option<SocketAddr>,
    socket: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Relay {
    listen: Option<SocketAddr>,
    cache_bytes: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Runtime {
    providers: Option<ProviderPolicy>,
    threads: Option<NonZeroUsize>,
}

/// All settings, valid as a whole.
#[derive(Debug, Clone)]
pub struct Config {
    /// The state folder.
    pub state: PathBuf,
    /// Whether development keys are good enough.
    pub development_trust: bool,
    /// The local door.
    pub serving: SocketAddr,
    /// The Unix socket beside it.
    pub socket: Option<PathBuf>,
    /// The LAN door; opened by gateways only.
    pub relay: SocketAddr,
    /// Bytes of the relay's cache.
    pub relay_cache_bytes: u64,
    /// Execution providers, best first.
    pub providers: ProviderPolicy,
    /// Threads of one inference.
    pub threads: NonZeroUsize,
    /// How log lines are written.
    pub log_format: LogFormat,
}

/// Why the settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// The file is not what it should be.
    #[error("the configuration file {} is not understood", .0.display())]
    Parse(PathBuf, #[source] Box<toml::de::Error>),
    /// The local door has no authentication, so the network must not reach it.
    #[error(
        "the serving address {0} is open to the network: only loopback is allowed, because the door asks nobody who they are"
    )]
    OpenDoor(SocketAddr),
}

impl Config {
    /// Puts flags (with the environment in them) over the file that they name.
    ///
    /// # Errors
    /// The first thing that is wrong, by name.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        let file = flags
            .config
            .as_deref()
            .map(File::read)
            .transpose()?
            .unwrap_or_default();
        let serving = flags
            .listen
            .or(file.serving.listen)
            .unwrap_or_else(|| fixed(DEFAULT_SERVING));
        if !serving.ip().is_loopback() {
            return Err(ConfigError::OpenDoor(serving));
        }
        Ok(Self {
            state: flags
                .state
                .clone()
                .or(file.state)
                .unwrap_or_else(|| DEFAULT_STATE.into()),
            development_trust: flags.development_trust || file.development_trust,
            serving,
            socket: flags.socket.clone().or(file.serving.socket),
            relay: flags
                .relay_listen
                .or(file.relay.listen)
                .unwrap_or_else(|| fixed(DEFAULT_RELAY)),
            relay_cache_bytes: file.relay.cache_bytes.unwrap_or(DEFAULT_CACHE),
            providers: flags
                .providers
                .clone()
                .or(file.runtime.providers)
                .unwrap_or_default(),
            threads: flags
                .threads
                .or(file.runtime.threads)
                .unwrap_or(NonZeroUsize::MIN),
            log_format: flags.log_format.or(file.log_format).unwrap_or_default(),
        })
    }
}

impl File {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Read(path.to_owned(), error))?;
        toml::from_str(&text).map_err(|error| ConfigError::Parse(path.to_owned(), Box::new(error)))
    }
}

#[expect(clippy::expect_used, reason = "the text is a constant of this file")]
fn fixed(address: &str) -> SocketAddr {
    address.parse().expect("a constant address")
}
