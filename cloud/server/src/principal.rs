//! Who calls the operator API, and the token that an installation begins with.

use std::{io::Write, ops::Deref, path::Path};

use espalier_domain::principal::Principal;
use espalier_protocol::Digest;

use crate::{
    refusal::{Outcome, Refusal},
    world::World,
};

/// The caller of an operation. There is no way to a use case without one.
#[derive(Debug, Clone)]
pub struct Operator(pub Principal);

impl Deref for Operator {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0
    }
}

/// The admin token's file in the state folder.
pub const ADMIN_TOKEN_FILE: &str = "admin-token";

/// The digest of the admin token. The token itself is made at the first start, and stands in a file
/// that only its owner may read.
///
/// # Errors
/// When the file can be neither read nor made, or others may read it.
pub fn admin_token(state: &Path, world: &World) -> Outcome<Digest> {
    let path = state.join(ADMIN_TOKEN_FILE);
    let token = match std::fs::read_to_string(&path) {
        Ok(token) => guard_mode(&path).map(|()| token)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(&path, world)?,
        Err(error) => return Err(unusable(&path, error)),
    };
    Ok(Digest::of(token.trim().as_bytes()))
}

fn make(path: &Path, world: &World) -> Outcome<String> {
    let token = format!("espalier_{}", world.secret()?);
    write_private(path, format!("{token}\n").as_bytes()).map_err(|error| unusable(path, error))?;
    Ok(token)
}

/// Writes a file that only its owner may read: complete under its name, or not there.
///
/// # Errors
/// What the system says.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Temporary files are made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

/// A secret that others may read is none.
///
/// # Errors
/// When others than its owner may read the file, with the command that mends it.
#[cfg(unix)]
pub fn guard_mode(path: &Path) -> Outcome<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path)
        .map_err(|error| unusable(path, error))?
        .permissions()
        .mode()
        & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(Refusal::internal(format!(
        "{} may be read by others than its owner (mode {mode:o}); run `chmod 600` on it",
        path.display()
    )))
}

#[cfg(not(unix))]
pub fn guard_mode(_: &Path) -> Outcome<()> {
    Ok(())
}

fn unusable(path: &Path, error: std::io::Error) -> Refusal {
    Refusal::internal(format!("{}: {error}", path.display()))
}
