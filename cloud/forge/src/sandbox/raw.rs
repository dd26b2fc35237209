//! The three system calls of the sandbox that have no safe wrapper, each behind a safe function.
#![expect(
    unsafe_code,
    reason = "unshare, pre_exec and ptrace have no safe wrapper; the reasons stand at each call"
)]

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::thread::UnshareFlags;

/// Moves the process into a user and network namespace of its own; `false` when the kernel refuses
/// (containers and hardened distributions often do).
pub(super) fn enter_own_namespaces() -> bool {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    // SAFETY: the flags leave the descriptor table shared, which is the one danger that `unshare` has.
    let moved =
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNET) };
    if moved.is_err() {
        return false;
    }
    // The same user inside as outside, so that files keep their owner. Where a security module refuses
    // even that, the process goes on as "nobody": the kernel still compares the outer identity.
    let _unmapped_is_harmless = std::fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| map_identity("/proc/self/uid_map", uid.as_raw()))
        .and_then(|()| map_identity("/proc/self/gid_map", gid.as_raw()));
    true
}

fn map_identity(map: &str, id: u32) -> std::io::Result<()> {
    std::fs::write(map, format!("{id} {id} 1"))
}

/// Makes `command` close every descriptor but the three standard streams when it starts its program:
/// a socket or file that the parent inherited without close-on-exec would be a hole in the walls.
pub(super) fn inherit_only_standard_streams(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; this is a single system
    // call on integers, without allocation or locks.
    unsafe {
        command.pre_exec(|| {
            let marked = libc::syscall(
                libc::SYS_close_range,
                3_u32,
                u32::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            );
            match marked {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        })
    }
}

/// Tries to trace another process, without stopping it: one of the doors that must be shut.
pub(super) fn trace(process: rustix::process::Pid) -> std::io::Result<()> {
    // SAFETY: PTRACE_SEIZE takes no pointer; both pointer arguments are null, as it demands.
    let attached = unsafe {
        libc::ptrace(
            libc::PTRACE_SEIZE,
            process.as_raw_nonzero().get(),
            std::ptr::null_mut::<libc::c_void>(),
            std::ptr::null_mut::<libc::c_void>(),
        )
    };
    match attached {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}
