//! `espalier broker config`.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use espalier_api::broker::{BrokerConfigView, BrokerFile};
use espalier_protocol::BundlePath;
use jiff::Timestamp;
use serde::Serialize;

use super::Context;
use crate::failure::Failure;
use crate::output::Shown;

/// Set up an external broker.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the configuration that makes a broker keep each device to its own topics
    #[command(subcommand)]
    Config(Broker),
}

/// The brokers whose configuration can be written.
#[derive(Debug, Subcommand)]
pub enum Broker {
    /// Eclipse Mosquitto 2: listener with mutual TLS, certificate authority, per-device rights
    Mosquitto(Mosquitto),
}

/// Eclipse Mosquitto 2: listener with mutual TLS, certificate authority, per-device rights.
///
/// Run it again when devices were enrolled behind a gateway, whose rights name them, and when one was
/// revoked or put into quarantine, which takes its rights back. Mosquitto reads the rights anew at SIGHUP. Paths in the configuration are relative: start Mosquitto in that
/// folder, as a user that may read `server.key.pem`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: espalier broker config mosquitto --into /etc/mosquitto/espalier && \
    cd /etc/mosquitto/espalier && mosquitto -c mosquitto.conf"
)]
pub struct Mosquitto {
    /// The folder to write into; files of the same names are replaced
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// When the server refuses or a file cannot be written.
    pub async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Config(Broker::Mosquitto(command)) => command.run(context).await,
        }
    }
}

impl Mosquitto {
    async fn run(self, context: Context) -> Result<(), Failure> {
        let config: BrokerConfigView = context.client()?.get("/broker/mosquitto").await?;
        std::fs::create_dir_all(&self.into).map_err(Failure::writing(&self.into))?;
        let files = config
            .files
            .iter()
            .map(|file| write(&self.into, file))
            .collect::<Result<_, _>>()?;
        context.output.show(&Written { files })
    }
}

/// Writes beside the old file and renames over it: a broker that reads meanwhile sees old or new, never half.
fn write(folder: &Path, file: &BrokerFile) -> Result<PathBuf, Failure> {
    let path = plain_name(file)?.under(folder);
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if file.private { 0o600 } else { 0o644 });
    let written = options.open(&fresh).and_then(|mut out| {
        out.write_all(file.content.as_bytes())?;
        out.sync_all()
    });
    written
        .and_then(|()| std::fs::rename(&fresh, &path))
        .map_err(Failure::writing(&path))?;
    Ok(path)
}

/// A server must not choose where on this machine a file goes.
fn plain_name(file: &BrokerFile) -> Result<BundlePath, Failure> {
    file.name
        .parse::<BundlePath>()
        .ok()
        .filter(|name| !name.as_str().contains('/'))
        .ok_or_else(|| {
            Failure::untrusted(
                format!(
                    "the server names a file `{}`, which is no plain name",
                    file.name.escape_debug()
                ),
                "look into what answers at the server's address",
            )
        })
}

#[derive(Debug, Serialize)]
struct Written {
    files: Vec<PathBuf>,
}

impl Shown for Written {
    fn text(&self, _now: Timestamp) -> String {
        self.files
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> BrokerFile {
        BrokerFile {
            name: name.into(),
            content: "x".into(),
            private: true,
        }
    }

    #[test]
    fn a_server_cannot_write_outside_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["../acl", "/etc/passwd", "a/b", ".bashrc", ""] {
            assert!(write(folder.path(), &file(name)).is_err(), "{name}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn private_files_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), &file("server.key")).unwrap();
        assert_eq!(
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
