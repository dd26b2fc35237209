//! The walls around work on a stranger's model file.
//!
//! A model is hostile input: parsing it, optimising it and running it on ONNX Runtime are the most
//! attackable things that the forge does. So they happen in a process of their own, which walls
//! itself in before it reads a byte of the job: no network, no files but its work folder and the
//! shared libraries, no environment, no inherited descriptors, no new programs, no privileges, no change
//! to anybody's rights on a file, and limits on memory, CPU time, file size, threads and open files. It
//! dies with its parent.
//!
//! [`Walls`] says what a worker may touch; [`Walls::enclose`] raises them around the calling
//! process and answers which [`Protections`] the kernel granted; [`spawn::Worker`] is the parent's side;
//! [`doors`] tries every way out.

pub mod doors;
mod limits;
mod raw;
mod rooms;
pub mod spawn;
mod syscalls;

pub use limits::Limits;
pub use rooms::Rooms;

use serde::{Deserialize, Serialize};

/// What a worker may touch and how much of the machine it may use.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Walls {
    /// Folders and files that stay reachable.
    pub rooms: Rooms,
    /// How much of the machine the worker may use.
    pub limits: Limits,
}

/// Which walls the kernel granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protections {
    /// A user and network namespace of its own: no interface, not even the machine's loopback.
    pub namespaces: bool,
    /// The system-call filter: no sockets, programs, processes, tracing or identities, and no other mode,
    /// owner or length for a file outside.
    pub system_calls: bool,
    /// Landlock: only the rooms that were named.
    pub files: bool,
}

impl Protections {
    /// The doors that stay open, in words; empty when the walls hold.
    ///
    /// Sockets need a namespace or the filter; files need Landlock; other processes need the filter.
    #[must_use]
    pub fn gaps(self) -> Vec<&'static str> {
        let mut gaps = Vec::new();
        if !self.namespaces && !self.system_calls {
            gaps.push("the network (neither a network namespace nor seccomp is granted)");
        }
        if !self.files {
            gaps.push("files outside the work folder (Landlock is missing: Linux 5.13 or newer with `landlock` in its `lsm=` list)");
        }
        if !self.system_calls {
            gaps.push("other processes, programs, and the modes of files (seccomp is missing)");
        }
        gaps
    }
}

/// Why the walls could not be raised.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The kernel leaves a door open; nothing of the job was read.
    #[error("this machine cannot confine the job; open doors: {}. Run it on a machine that can, or accept the risk with --unsandboxed", .gaps.join("; "))]
    Unprotected {
        /// The open doors, in words.
        gaps: Vec<&'static str>,
    },
    /// A step that must work on every kernel failed.
    #[error("could not confine the worker: {step}: {reason}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// What the kernel answered.
        reason: String,
    },
}

impl SandboxError {
    fn step<E: std::fmt::Display>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Step {
            step,
            reason: error.to_string(),
        }
    }
}

impl Walls {
    /// Walls in the calling process for the rest of its life. Call it before any thread is started:
    /// threads that already run would stay outside.
    ///
    /// # Errors
    /// [`SandboxError::Unprotected`] when the kernel leaves a door open, [`SandboxError::Step`] when a
    /// step fails that every kernel offers. The process must end then: some walls may stand already.
    pub fn enclose(&self) -> Result<Protections, SandboxError> {
        die_with_parent()?;
        rustix::thread::set_no_new_privs(true).map_err(SandboxError::step("no_new_privs"))?;
        let namespaces = raw::enter_own_namespaces();
        self.limits.apply(namespaces)?;
        let files = self.rooms.close_the_rest()?;
        drop_capabilities()?;
        // Last, because the filter forbids what the steps above need.
        let system_calls = syscalls::forbid();
        let protections = Protections {
            namespaces,
            system_calls,
            files,
        };
        let gaps = protections.gaps();
        if gaps.is_empty() {
            Ok(protections)
        } else {
            Err(SandboxError::Unprotected { gaps })
        }
    }
}

/// A worker without a supervisor has nobody to enforce its wall-clock limit.
fn die_with_parent() -> Result<(), SandboxError> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(SandboxError::step("die with the parent"))?;
    // The parent may have gone before the line above; then process 1 (or none) adopted us.
    match getppid() {
        Some(parent) if !parent.is_init() => Ok(()),
        _ => Err(SandboxError::Step {
            step: "die with the parent",
            reason: "the supervisor is gone already".to_owned(),
        }),
    }
}

/// Root inside the new namespace, or root outside it, needs none of its powers for this work.
fn drop_capabilities() -> Result<(), SandboxError> {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).map_err(SandboxError::step("drop capabilities"))
}
