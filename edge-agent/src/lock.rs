//! One agent for each state folder: two would undo one another's work.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// The lock; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

/// Why the folder is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another agent has it.
    #[error("another agent works in {}: stop it first, or name another folder with --state", .0.display())]
    Taken(PathBuf),
    /// The folder cannot be used.
    #[error("the state folder {} cannot be used", .0.display())]
    Folder(PathBuf, #[source] io::Error),
}

impl StateLock {
    /// Takes the lock of a state folder, which is made if it is not there.
    ///
    /// # Errors
    /// When another agent has it, or the folder cannot be used.
    pub fn take(state: &Path) -> Result<Self, LockError> {
        let unusable = |error| LockError::Folder(state.to_owned(), error);
        std::fs::create_dir_all(state).map_err(unusable)?;
        let file = File::create(state.join("lock")).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken(state.to_owned())),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }
}
