//! The system calls of the sandbox that have no safe wrapper, each behind a safe function.
#![expect(
    unsafe_code,
    reason = "unshare, pre_exec and what some doors try have no safe wrapper; the reasons stand at each call"
)]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
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
    succeeded(attached)
}

/// Tries to empty a file by its path, without opening it.
pub(super) fn truncate(file: &Path) -> std::io::Result<()> {
    let path = CString::new(file.as_os_str().as_bytes())?;
    // SAFETY: the path ends with a zero byte and outlives the call, which only reads it.
    succeeded(unsafe { libc::truncate(path.as_ptr(), 0) })
}

/// Tries to make a piece of memory that other processes reach by its number, and gives it back.
pub(super) fn share_memory() -> std::io::Result<()> {
    const PAGE: usize = 4096;
    // SAFETY: makes a segment, and attaches it nowhere.
    let segment = unsafe { libc::shmget(libc::IPC_PRIVATE, PAGE, 0o600) };
    if segment == -1 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: removing takes no pointer, and the segment is the one that was made above.
    succeeded(unsafe { libc::shmctl(segment, libc::IPC_RMID, std::ptr::null_mut()) })
}

fn succeeded(answer: impl Into<i64>) -> std::io::Result<()> {
    match answer.into() {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}
