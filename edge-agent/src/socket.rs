//! A Unix socket beside the local door: for applications that may not open network connections.

use std::{
    fs::{self, Permissions},
    io::ErrorKind,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
    path::Path,
};

use anyhow::{Context as _, Result, ensure};

/// Owner and group: who may ask is who is in the agent's group.
const MODE: u32 = 0o660;

/// Opens the socket; one that a killed agent left behind is taken over.
///
/// # Errors
/// When somebody listens there, something else has that name, or the folder cannot be written.
pub fn bind(path: &Path) -> Result<UnixListener> {
    let named = || format!("the serving socket cannot be opened at {}", path.display());
    remove_leftover(path).with_context(named)?;
    let socket = UnixListener::bind(path).with_context(named)?;
    fs::set_permissions(path, Permissions::from_mode(MODE)).with_context(named)?;
    Ok(socket)
}

fn remove_leftover(path: &Path) -> Result<()> {
    let Ok(facts) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    ensure!(
        facts.file_type().is_socket(),
        "a file that is no socket has this name"
    );
    match UnixStream::connect(path) {
        Ok(_) => anyhow::bail!("another process listens there"),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(fs::remove_file(path)?),
        Err(error) => Err(error.into()),
    }
}
