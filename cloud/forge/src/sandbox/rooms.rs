//! The folders that stay reachable, closed off by Landlock.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};
use serde::{Deserialize, Serialize};

use super::SandboxError;

/// The newest Landlock that this code was written for; older kernels grant what they know.
const NEWEST: ABI = ABI::V7;

/// What the dynamic loader, the C library and ONNX Runtime's look at the processor need. Read only.
const SYSTEM: [&str; 9] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/etc/ld.so.cache",
    "/proc/cpuinfo",
    "/sys/devices/system/cpu",
    "/dev/urandom",
    "/dev/null",
];

/// Files and folders that a worker may reach. Everything else on the machine is refused by the kernel.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rooms {
    /// The one folder where it may write.
    pub work: PathBuf,
    /// Inputs: files or folders that it may read.
    pub inputs: Vec<PathBuf>,
}

impl Rooms {
    /// Refuses every path outside these rooms; `false` when the kernel has no Landlock.
    pub(super) fn close_the_rest(&self) -> Result<bool, SandboxError> {
        let work = PathFd::new(&self.work).map_err(SandboxError::step("open the work folder"))?;
        let enclosed = self
            .restrict(work)
            .map_err(SandboxError::step("close folders with Landlock"))?;
        Ok(!matches!(enclosed, RulesetStatus::NotEnforced))
    }

    fn restrict(&self, work: PathFd) -> Result<RulesetStatus, landlock::RulesetError> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(AccessNet::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?
            .create()?
            .add_rules(path_beneath_rules(SYSTEM, read))?
            // Its own status: peak memory is read from there.
            .add_rules(path_beneath_rules(["/proc/self"], read))?
            // An input that is missing is an error of the job, found later with a better message.
            .add_rules(path_beneath_rules(&self.inputs, read))?
            .add_rule(PathBeneath::new(work, work_rights()))?;
        Ok(ruleset.restrict_self()?.ruleset)
    }
}

/// Reading and writing plain files and folders. No programs, no devices, no sockets; and no symbolic
/// links: the supervisor, which is not confined, would follow them later.
fn work_rights() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}
