//! Configuration: flags over environment over file over defaults, checked before any port is bound.

mod file;
mod flags;

pub use flags::ServeFlags;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use url::Url;

use file::ConfigFile;

/// The state folder when nobody names one.
const DEFAULT_STATE: &str = ".espalier";
const DEFAULT_API: &str = "127.0.0.1:7070";
const DEFAULT_DOOR: &str = "127.0.0.1:7443";
const DEFAULT_BROKER: &str = "127.0.0.1:8883";

/// All that the server needs to know, valid as a whole.
#[derive(Debug, Clone)]
pub struct Config {
    /// Keys, tokens, blobs and the embedded database live here.
    pub state: PathBuf,
    /// The file with the passphrase of the server's key files; else a systemd credential or the environment has it.
    pub key_passphrase_file: Option<PathBuf>,
    /// Where the rows are.
    pub database: DatabaseChoice,
    /// Where messages go through.
    pub broker: BrokerChoice,
    /// The operator door.
    pub api: ApiDoor,
    /// Where the device door listens.
    pub device_listen: SocketAddr,
    /// The host name or address that devices dial for the device door and the embedded broker.
    pub public_host: String,
    /// How forge jobs are run.
    pub forge: ForgeChoice,
    /// The host that serves full models, for the console.
    pub model_host: Option<Url>,
}

/// Where the rows are.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseChoice {
    /// A Postgres child of this process.
    Embedded,
    /// A Postgres of somebody else's.
    External(String),
}

/// An address holds a password, which may stand in its query too; neither is shown.
impl std::fmt::Debug for DatabaseChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::External(url) = self else {
            return f.write_str("Embedded");
        };
        let mut shown = Url::parse(url).ok();
        if let Some(url) = &mut shown {
            url.set_query(None);
            if url.set_password(None).is_err() {
                shown = None;
            }
        }
        match shown {
            Some(url) => write!(f, "External({url})"),
            None => f.write_str("External(an address that is no URL)"),
        }
    }
}

/// Where messages go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerChoice {
    /// The broker in this process.
    Embedded {
        /// Where it listens.
        listen: SocketAddr,
    },
    /// A broker of somebody else's.
    External(ExternalBroker),
}

/// A broker of somebody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalBroker {
    /// `mqtts://host:port`: for the server, and in claims.
    pub url: Url,
    /// Its certificate authority (PEM); the device CA when none is given.
    pub ca: Option<PathBuf>,
}

/// The operator door.
#[derive(Debug, Clone)]
pub struct ApiDoor {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Certificate and key; without them only loopback is allowed.
    pub tls: Option<TlsFiles>,
}

/// A certificate chain and its key (PEM).
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// How forge jobs are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeChoice {
    /// The program.
    pub program: PathBuf,
    /// Run jobs even where the kernel offers no isolation.
    pub unsandboxed: bool,
}

/// Why the configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the configuration file {} is not understood: {source}", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What the parser said.
        source: Box<toml::de::Error>,
    },
    /// An address that is not `IP:PORT`.
    #[error("{what} `{text}` is not an address: use IP:PORT, for example {example}")]
    Address {
        /// Which setting.
        what: &'static str,
        /// What was given.
        text: String,
        /// What would do.
        example: &'static str,
    },
    /// The operator door would be open to the network in clear text.
    #[error(
        "the API would listen on {0} without TLS, and tokens would cross the network in clear text: \
         listen on loopback, or give a certificate and a key"
    )]
    OpenWithoutTls(SocketAddr),
    /// A broker without TLS.
    #[error(
        "the broker's address `{0}` must begin with mqtts://: devices are known by their certificates"
    )]
    BrokerScheme(Url),
    /// Two brokers, of which one would silently win.
    #[error(
        "a broker of your own (--broker or `broker.url`: {0}) and an address for the embedded one (--broker-listen or \
         `broker.listen`) exclude each other: give one of them"
    )]
    TwoBrokers(Url),
    /// An authority for a broker that nobody named.
    #[error(
        "a broker's authority (--broker-ca or `broker.ca`) is for a broker of your own: name that one, too \
         (--broker or `broker.url`); the embedded one has the device CA's"
    )]
    AuthorityWithoutBroker,
    /// Half of a pair.
    #[error("TLS for the API needs both a certificate and a key")]
    HalfTls,
}

impl Config {
    /// Puts flags (with the environment in them) over the file that they name.
    ///
    /// # Errors
    /// The first thing that is wrong, by name.
    pub fn load(flags: &ServeFlags) -> Result<Self, ConfigError> {
        let file = flags
            .config
            .as_deref()
            .map(ConfigFile::read)
            .transpose()?
            .unwrap_or_default();
        Ok(Self {
            state: first(&flags.state, &file.state).unwrap_or_else(|| DEFAULT_STATE.into()),
            key_passphrase_file: first(&flags.key_passphrase_file, &file.key_passphrase_file),
            database: database(flags, &file),
            broker: broker(flags, &file)?,
            api: api(flags, &file)?,
            device_listen: address(
                "the device door's address",
                first(&flags.device_listen, &file.devices.listen),
                DEFAULT_DOOR,
            )?,
            public_host: first(&flags.public_host, &file.devices.public_host)
                .unwrap_or_else(|| "127.0.0.1".into()),
            forge: ForgeChoice {
                program: first(&flags.forge, &file.forge.program)
                    .unwrap_or_else(|| beside_me("espalier-forge")),
                unsandboxed: flags.unsandboxed_forge || file.forge.unsandboxed,
            },
            model_host: first(&flags.model_host, &file.model_host),
        })
    }

    /// A file in the state folder.
    #[must_use]
    pub fn in_state(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }
}

fn first<T: Clone>(over: &Option<T>, under: &Option<T>) -> Option<T> {
    over.as_ref().or(under.as_ref()).cloned()
}

fn database(flags: &ServeFlags, file: &ConfigFile) -> DatabaseChoice {
    match first(&flags.database_url, &file.database_url) {
        Some(url) if !url.is_empty() => DatabaseChoice::External(url),
        _ => DatabaseChoice::Embedded,
    }
}

fn broker(flags: &ServeFlags, file: &ConfigFile) -> Result<BrokerChoice, ConfigError> {
    let listen = first(&flags.broker_listen, &file.broker.listen);
    let ca = first(&flags.broker_ca, &file.broker.ca);
    let Some(url) = first(&flags.broker, &file.broker.url) else {
        if ca.is_some() {
            return Err(ConfigError::AuthorityWithoutBroker);
        }
        return Ok(BrokerChoice::Embedded {
            listen: address("the broker's address", listen, DEFAULT_BROKER)?,
        });
    };
    if url.scheme() != "mqtts" {
        return Err(ConfigError::BrokerScheme(url));
    }
    if listen.is_some() {
        return Err(ConfigError::TwoBrokers(url));
    }
    Ok(BrokerChoice::External(ExternalBroker { url, ca }))
}

fn api(flags: &ServeFlags, file: &ConfigFile) -> Result<ApiDoor, ConfigError> {
    let listen = address(
        "the API's address",
        first(&flags.listen, &file.api.listen),
        DEFAULT_API,
    )?;
    let tls = match (&flags.tls_certificate, &flags.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        }),
        (None, None) => file.api.tls.clone(),
        _ => return Err(ConfigError::HalfTls),
    };
    if tls.is_none() && !listen.ip().is_loopback() {
        return Err(ConfigError::OpenWithoutTls(listen));
    }
    Ok(ApiDoor { listen, tls })
}

fn address(
    what: &'static str,
    text: Option<String>,
    default: &'static str,
) -> Result<SocketAddr, ConfigError> {
    let text = text.unwrap_or_else(|| default.to_owned());
    text.parse().map_err(|_| ConfigError::Address {
        what,
        text,
        example: default,
    })
}

/// A program in the folder of this one, else by its name on the `PATH`.
fn beside_me(program: &str) -> PathBuf {
    let sibling = std::env::current_exe()
        .ok()
        .and_then(|me| me.parent().map(|folder| folder.join(program)));
    sibling
        .filter(|path| path.exists())
        .unwrap_or_else(|| Path::new(program).to_owned())
}

#[cfg(test)]
mod tests;
