//! The roots that an operator keeps beside the keys: `1.root.json`, `2.root.json`, …, each signed by the one before.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::tuf::{ChainError, TrustedRoot, TufError, accept_root};

/// Why the roots of a folder are no chain.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The folder or a file in it cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The first root does not hold.
    #[error("the root in {} does not verify: {source}", path.display())]
    First {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: TufError,
    },
    /// A later one does not follow the one before.
    #[error("the root in {} does not follow the one before it: {source}", path.display())]
    Later {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: ChainError,
    },
}

/// The newest root of a folder, walked to from the oldest one there as a device does; none when there is no root.
/// Whether it has ended is not looked at.
///
/// # Errors
/// [`RootsError`].
pub fn newest_root(folder: &Path) -> Result<Option<TrustedRoot>, RootsError> {
    let mut newest: Option<TrustedRoot> = None;
    for (_, path) in versions(folder)? {
        let bytes = fs::read(&path).map_err(|source| RootsError::File {
            path: path.clone(),
            source,
        })?;
        newest = Some(match &newest {
            None => {
                TrustedRoot::read(&bytes).map_err(|source| RootsError::First { path, source })?
            }
            Some(current) => accept_root(current, &bytes, Timestamp::MIN)
                .map_err(|source| RootsError::Later { path, source })?,
        });
    }
    Ok(newest)
}

/// The files named `N.root.json`, the lowest version first.
fn versions(folder: &Path) -> Result<Vec<(u64, PathBuf)>, RootsError> {
    let failed = |source| RootsError::File {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut versions = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let version = name.and_then(|name| name.strip_suffix(".root.json")?.parse().ok());
        versions.extend(version.map(|version| (version, path)));
    }
    versions.sort();
    Ok(versions)
}
