//! Mosquitto as somebody else's broker, set up by what the product writes for it.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{net::TcpStream, process::Child};

use crate::{process, wait};

const UP_WITHIN: Duration = Duration::from_secs(10);

/// A running Mosquitto.
#[derive(Debug)]
pub struct Mosquitto {
    child: Child,
    port: u16,
}

impl Mosquitto {
    /// Whether the machine has one.
    #[must_use]
    pub fn program() -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let known = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
        let folders = std::env::split_paths(&path).chain(known);
        folders
            .map(|folder| folder.join("mosquitto"))
            .find(|program| program.is_file())
    }

    /// A port that nobody uses now; Mosquitto cannot be asked which one it took.
    ///
    /// # Errors
    /// When there is none.
    pub fn free_port() -> Result<u16> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
        Ok(listener
            .local_addr()
            .context("a socket without an address")?
            .port())
    }

    /// Starts it with a configuration folder that the product wrote for this port.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub async fn start(program: &Path, folder: &Path, port: u16) -> Result<Self> {
        let log = std::fs::File::create(folder.join("mosquitto.log"))?;
        let child = tokio::process::Command::new(program)
            .arg("-c")
            .arg(folder.join("mosquitto.conf"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start mosquitto")?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        wait::until("mosquitto to listen", UP_WITHIN, || async move {
            Ok(TcpStream::connect(address).await.ok().map(drop))
        })
        .await?;
        Ok(Self { child, port })
    }

    /// Its address for the product.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtts://127.0.0.1:{}", self.port)
    }

    /// Lets it read its rights anew.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn reload(&self) -> Result<()> {
        let id = self.child.id().context("mosquitto has ended")?;
        process::send(id, libc::SIGHUP)
    }

    /// Ends it at once.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill mosquitto")
    }
}
