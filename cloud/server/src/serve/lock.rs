//! One server for each state folder: two would withdraw one another's addresses and sweep one another's work.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use anyhow::{Context as _, bail};

/// The lock; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateLock {
    /// Takes the lock of a state folder, which is there.
    ///
    /// # Errors
    /// When another server has it, or the folder cannot be used.
    pub fn take(state: &Path) -> anyhow::Result<Self> {
        let path = state.join("lock");
        let file =
            File::create(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => bail!(
                "another server works in {}: stop it first, or name another folder with --state",
                state.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{} cannot be locked", path.display()))
            }
        }
    }
}
