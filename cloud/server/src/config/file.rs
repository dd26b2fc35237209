//! The configuration file: TOML, every key optional.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use super::{ConfigError, TlsFiles};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConfigFile {
    pub state: Option<PathBuf>,
    pub key_passphrase_file: Option<PathBuf>,
    pub database_url: Option<String>,
    pub model_host: Option<Url>,
    pub api: ApiSection,
    pub devices: DeviceSection,
    pub broker: BrokerSection,
    pub forge: ForgeSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApiSection {
    pub listen: Option<String>,
    pub tls: Option<TlsFiles>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeviceSection {
    pub listen: Option<String>,
    pub public_host: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BrokerSection {
    pub listen: Option<String>,
    pub url: Option<Url>,
    pub ca: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ForgeSection {
    pub program: Option<PathBuf>,
    pub unsandboxed: bool,
}

impl ConfigFile {
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }
}
