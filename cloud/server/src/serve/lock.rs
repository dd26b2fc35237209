//! One server for each state folder: two would withdraw one another's addresses and sweep one another's work.

use std::{
    fs::{File, TryLockError},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, bail};

/// How often the lock is tried before another server is believed in.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

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
        match patiently(&file) {
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

/// A program that the server before this one was just starting holds the lock with it, until it runs.
fn patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            answer => return answer,
        }
    }
    file.try_lock()
}
