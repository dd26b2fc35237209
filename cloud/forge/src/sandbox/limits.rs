//! How much of the machine a worker may use.

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::SandboxError;

const GIB: u64 = 1 << 30;

/// Resource limits of one worker. Each names the attack that it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Address space in bytes: a tensor with billions of elements, a decompression bomb.
    pub memory_bytes: u64,
    /// CPU seconds over all threads: a graph that never ends.
    pub cpu_seconds: u64,
    /// Largest single file in bytes: a full disk.
    pub file_bytes: u64,
    /// Threads and processes: a fork bomb. Only counted where the worker has a user namespace of its own
    /// (elsewhere the count would be that of the whole user); new processes are forbidden everywhere.
    pub threads: u64,
    /// Open files: descriptor exhaustion.
    pub open_files: u64,
    /// Wall-clock seconds, enforced by the supervisor: a worker that sleeps.
    pub wall_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 12 * GIB,
            cpu_seconds: 3 * 3600,
            file_bytes: 4 * GIB,
            threads: 256,
            open_files: 512,
            wall_seconds: 3 * 3600,
        }
    }
}

impl Limits {
    /// Applies every limit to the calling process, hard as well as soft, so that it cannot raise them.
    pub(super) fn apply(&self, own_user_namespace: bool) -> Result<(), SandboxError> {
        set(Resource::As, self.memory_bytes, "limit memory")?;
        set(Resource::Cpu, self.cpu_seconds, "limit CPU time")?;
        set(Resource::Fsize, self.file_bytes, "limit file size")?;
        set(Resource::Nofile, self.open_files, "limit open files")?;
        // A core dump would carry the model, and is itself a big file.
        set(Resource::Core, 0, "forbid core dumps")?;
        if own_user_namespace {
            set(Resource::Nproc, self.threads, "limit threads")?;
        }
        Ok(())
    }
}

fn set(resource: Resource, most: u64, step: &'static str) -> Result<(), SandboxError> {
    // A limit that was already lower stays: raising it would need a privilege.
    let inherited = rustix::process::getrlimit(resource).maximum;
    let most = inherited.map_or(most, |inherited| inherited.min(most));
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(resource, limit).map_err(SandboxError::step(step))
}
