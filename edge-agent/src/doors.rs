//! The addresses that a running agent listens on, in a file of its state folder: port 0 is allowed.

use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

const FILE: &str = "doors.json";

/// The open doors of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doors {
    /// The agent's process.
    pub pid: u32,
    /// Where applications on this machine ask.
    pub serving: SocketAddr,
    /// The Unix socket beside it, where one is configured.
    pub socket: Option<PathBuf>,
    /// Where the devices behind a gateway ask; none for a device.
    pub relay: Option<SocketAddr>,
}

impl Doors {
    /// Writes the file whole or not at all.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, state: &Path) -> Result<()> {
        let fresh =
            tempfile::NamedTempFile::new_in(state).context("cannot write the doors' addresses")?;
        let mut file = fresh.as_file();
        serde_json::to_writer(file, self)?;
        file.flush()?;
        fresh
            .persist(path(state))
            .context("cannot write the doors' addresses")?;
        Ok(())
    }

    /// Reads the file that a running agent wrote.
    ///
    /// # Errors
    /// When there is none: no agent ever ran here.
    pub fn read(state: &Path) -> Result<Self> {
        let path = path(state);
        let bytes = std::fs::read(&path).with_context(|| {
            format!(
                "no agent has opened its doors in {}: start it with `espalier-agent run`",
                state.display()
            )
        })?;
        serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is damaged: start the agent again", path.display()))
    }
}

fn path(state: &Path) -> PathBuf {
    state.join(FILE)
}
