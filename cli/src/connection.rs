//! Where the server is, and which token opens it.
//!
//! An address comes from `--url` or `ESPALIER_URL`, else from the state folder that was named, else
//! from the configuration file, else from the state folder of this directory. A token is only ever
//! sent to the address that it belongs to: a state folder's token never travels to another server.

use std::path::{Path, PathBuf};

use clap::Args;
use espalier_api::system::Endpoints;
use serde::Deserialize;
use url::{Host, Url};

use crate::failure::Failure;

/// The state folder when none is named: beside the person's work, not in their home.
pub const DEFAULT_STATE: &str = ".espalier";
/// The file in a state folder that names the running server's addresses.
pub const ENDPOINTS_FILE: &str = "endpoints.json";

const HOW_TO_CONNECT: &str = "start one here with `espalier up`, or name one with --url and --token-file \
     (ESPALIER_URL, ESPALIER_TOKEN_FILE), or write `url` and `token_file` into ~/.config/espalier/config.toml";

/// How to reach the server. The same for every command that talks to one.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// The server's address, e.g. https://espalier.example.org
    #[arg(long, global = true, env = "ESPALIER_URL", value_name = "URL")]
    pub url: Option<Url>,
    /// The file that holds the operator's token
    #[arg(long, global = true, env = "ESPALIER_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The state folder of an `espalier up` on this machine [default: .espalier]
    #[arg(long, global = true, env = "ESPALIER_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// A PEM file with the authority that signed the server's certificate, if the system does not know it
    #[arg(long, global = true, env = "ESPALIER_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// `~/.config/espalier/config.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server's address.
    pub url: Url,
    /// The file that holds the operator's token.
    pub token_file: PathBuf,
    /// A PEM file with the authority that signed the server's certificate.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

/// An address with the token file that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The server's address.
    pub url: Url,
    /// The file that holds the operator's token.
    pub token_file: PathBuf,
    /// A further certificate authority to trust.
    pub ca: Option<PathBuf>,
}

/// What lies on this machine and may say where the server is.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The endpoints of the named (or the default) state folder, if a server wrote them.
    pub endpoints: Option<Endpoints>,
    /// The person's configuration file, if there is one.
    pub config: Option<Config>,
}

impl ConnectionArgs {
    /// The state folder that was named, or the default one.
    pub fn state_folder(&self) -> PathBuf {
        self.state
            .clone()
            .unwrap_or_else(|| PathBuf::from(DEFAULT_STATE))
    }

    /// Reads what lies on this machine and decides.
    ///
    /// # Errors
    /// When no address or no token for it is known, or a file that should say so is unreadable.
    pub fn target(&self) -> Result<Target, Failure> {
        let found = Found {
            endpoints: read_endpoints(&self.state_folder())?,
            config: config_path()
                .map(|path| read_config(&path))
                .transpose()?
                .flatten(),
        };
        self.resolve(&found)
    }

    /// Decides between flags, state folder and configuration; reads nothing.
    ///
    /// # Errors
    /// When no address or no token for it is known, or the address would carry the token in clear text.
    pub fn resolve(&self, found: &Found) -> Result<Target, Failure> {
        let known = self.known_targets(found)?;
        let target = match &self.url {
            Some(url) => self.with_named_url(url, known)?,
            None => self.with_named_token(known)?,
        };
        refuse_clear_text(&target.url)?;
        Ok(target)
    }

    /// The addresses whose token is known, the likeliest first.
    fn known_targets(&self, found: &Found) -> Result<Vec<Target>, Failure> {
        let state = found.endpoints.as_ref().map(Target::of).transpose()?;
        let config = found.config.as_ref().map(|config| Target {
            url: config.url.clone(),
            token_file: config.token_file.clone(),
            ca: config.ca.clone(),
        });
        // A state folder named on purpose wins; the one that merely lies here does not.
        Ok(match self.state {
            Some(_) => state.into_iter().chain(config).collect(),
            None => config.into_iter().chain(state).collect(),
        })
    }

    fn with_named_url(&self, url: &Url, known: Vec<Target>) -> Result<Target, Failure> {
        let twin = known
            .into_iter()
            .find(|target| target.url.origin() == url.origin());
        let token_file = self
            .token_file
            .clone()
            .or_else(|| twin.as_ref().map(|t| t.token_file.clone()));
        let ca = self.ca.clone().or_else(|| twin.and_then(|t| t.ca));
        match token_file {
            Some(token_file) => Ok(Target {
                url: url.clone(),
                token_file,
                ca,
            }),
            None => Err(Failure::Unreachable {
                what: format!("no token is known for {url}"),
                advice: "name the file that holds it with --token-file or ESPALIER_TOKEN_FILE"
                    .into(),
            }),
        }
    }

    fn with_named_token(&self, known: Vec<Target>) -> Result<Target, Failure> {
        let Some(first) = known.into_iter().next() else {
            return Err(Failure::Unreachable {
                what: "no server is known".into(),
                advice: HOW_TO_CONNECT.into(),
            });
        };
        Ok(Target {
            token_file: self.token_file.clone().unwrap_or(first.token_file),
            ca: self.ca.clone().or(first.ca),
            url: first.url,
        })
    }
}

impl Target {
    /// The server that wrote these endpoints.
    ///
    /// # Errors
    /// When its address is none.
    pub fn of(endpoints: &Endpoints) -> Result<Self, Failure> {
        let url = endpoints.api.parse().map_err(|_| {
            Failure::usage(
                format!(
                    "the state folder names `{}` as the server's address, which is not one",
                    endpoints.api
                ),
                "restart `espalier up`, which writes the file anew",
            )
        })?;
        Ok(Self {
            url,
            token_file: PathBuf::from(&endpoints.admin_token_file),
            ca: None,
        })
    }

    /// Reads the token.
    ///
    /// # Errors
    /// When the file cannot be read or holds nothing that a header can carry.
    pub fn token(&self) -> Result<String, Failure> {
        let text = std::fs::read_to_string(&self.token_file)
            .map_err(Failure::reading(&self.token_file))?;
        let token = text.trim();
        if token.is_empty() || token.chars().any(|c| !c.is_ascii_graphic()) {
            return Err(Failure::usage(
                format!("{} does not hold a token", self.token_file.display()),
                "it should hold one line of printable characters, as `espalier up` writes it",
            ));
        }
        Ok(token.to_owned())
    }
}

/// Reads the endpoints that a server wrote into its state folder; none if it never did.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read_endpoints(state: &Path) -> Result<Option<Endpoints>, Failure> {
    let path = state.join(ENDPOINTS_FILE);
    let Some(text) = read_if_there(&path)? else {
        return Ok(None);
    };
    serde_json::from_str(&text).map(Some).map_err(|err| {
        Failure::usage(
            format!(
                "{} is not a server's list of addresses: {err}",
                path.display()
            ),
            "restart `espalier up`, which writes the file anew",
        )
    })
}

fn read_config(path: &Path) -> Result<Option<Config>, Failure> {
    let Some(text) = read_if_there(path)? else {
        return Ok(None);
    };
    toml::from_str(&text).map(Some).map_err(|err| {
        Failure::usage(
            format!("{} cannot be used: {}", path.display(), err.message()),
            "it holds `url = \"https://…\"`, `token_file = \"…\"` and, if need be, `ca = \"…\"`",
        )
    })
}

fn read_if_there(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(Failure::reading(path)(err)),
    }
}

fn config_path() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(folder.join("espalier").join("config.toml"))
}

/// Plain HTTP shows the token to everybody on the way, so it is for this machine only.
fn refuse_clear_text(url: &Url) -> Result<(), Failure> {
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if here => Ok(()),
        "http" => Err(Failure::usage(
            format!("{url} would carry the token in clear text"),
            "use https, or reach the server through a tunnel to 127.0.0.1",
        )),
        other => Err(Failure::usage(
            format!("`{other}` is not a scheme of a server's address"),
            "use https://…",
        )),
    }
}

#[cfg(test)]
mod tests;
