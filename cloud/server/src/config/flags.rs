//! The command line, with the environment behind it.

use std::path::PathBuf;

use url::Url;

/// The options of `espalier-cloud serve`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ServeFlags {
    /// Configuration file (TOML).
    #[arg(long, env = "ESPALIER_CLOUD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder for keys, tokens, blobs and the embedded database [default: .espalier].
    #[arg(long, env = "ESPALIER_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// File with the passphrase of the server's key files [default: the systemd credential espalier-keys, else
    /// ESPALIER_PASSPHRASE].
    #[arg(long, env = "ESPALIER_KEY_PASSPHRASE_FILE", value_name = "FILE")]
    pub key_passphrase_file: Option<PathBuf>,
    /// PostgreSQL 15 or newer; an embedded one is started when this is left out.
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Address of the API and the console [default: 127.0.0.1:7070]; port 0 takes a free one.
    #[arg(long, env = "ESPALIER_LISTEN", value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// Certificate chain of the API (PEM); needed for any address but loopback.
    #[arg(long, env = "ESPALIER_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// Private key of the API (PEM).
    #[arg(long, env = "ESPALIER_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Address of the device door [default: 127.0.0.1:7443].
    #[arg(long, env = "ESPALIER_DEVICE_LISTEN", value_name = "IP:PORT")]
    pub device_listen: Option<String>,
    /// Host name or address that devices dial [default: 127.0.0.1].
    #[arg(long, env = "ESPALIER_PUBLIC_HOST", value_name = "HOST")]
    pub public_host: Option<String>,
    /// Address of the embedded broker [default: 127.0.0.1:8883].
    #[arg(
        long,
        env = "ESPALIER_BROKER_LISTEN",
        value_name = "IP:PORT",
        conflicts_with = "broker"
    )]
    pub broker_listen: Option<String>,
    /// An external broker, mqtts://HOST:PORT, instead of the embedded one.
    #[arg(long, env = "ESPALIER_BROKER", value_name = "URL")]
    pub broker: Option<Url>,
    /// Certificate authority of the external broker (PEM); the device CA when left out.
    #[arg(long, env = "ESPALIER_BROKER_CA", value_name = "FILE")]
    pub broker_ca: Option<PathBuf>,
    /// The forge's program [default: espalier-forge beside this program].
    #[arg(long, env = "ESPALIER_FORGE", value_name = "FILE")]
    pub forge: Option<PathBuf>,
    /// Run forge jobs even where the kernel offers no isolation: a model file is hostile input.
    #[arg(long, env = "ESPALIER_UNSANDBOXED_FORGE")]
    pub unsandboxed_forge: bool,
    /// Address of espalier-host, which serves the full models, for the console.
    #[arg(long, env = "ESPALIER_HOST_URL", value_name = "URL")]
    pub model_host: Option<Url>,
}
