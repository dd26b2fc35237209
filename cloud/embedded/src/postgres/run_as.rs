//! As whom the server runs. PostgreSQL refuses to run as root.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, getpid, getppid, set_parent_process_death_signal};

use super::error::PostgresError;
use super::locate::Programs;

/// A user of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    uid: u32,
    gid: u32,
}

/// As whom the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunAs {
    /// As the user who runs us.
    Ourselves,
    /// We are root, and the server believes to be this user: in a user namespace of its own, in
    /// which our files are that user's. Nothing on the disk has to change hands.
    Namespace(User),
    /// We are root where user namespaces are refused: the server's files belong to this user.
    Other(User),
}

impl RunAs {
    /// Finds a way that works here, by trying it on `postgres --version`.
    pub(super) fn choose(programs: &Programs, folder: &Path) -> Result<Self, PostgresError> {
        if !geteuid().is_root() {
            return Ok(Self::Ourselves);
        }
        let user = unprivileged_user();
        let namespace = Self::Namespace(user);
        if namespace.try_on(programs, folder).is_ok() {
            return Ok(namespace);
        }
        let other = Self::Other(user);
        let unreachable = |source| PostgresError::Unreachable {
            program: programs.bin().join("postgres"),
            folder: folder.to_path_buf(),
            source,
        };
        other
            .try_on(programs, folder)
            .map(|()| other)
            .map_err(unreachable)
    }

    fn try_on(self, programs: &Programs, folder: &Path) -> io::Result<()> {
        let mut command = self.command(&programs.bin().join("postgres"));
        let done = command
            .arg("--version")
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()?;
        if done.status.success() {
            Ok(())
        } else {
            Err(io::Error::other(done.status.to_string()))
        }
    }

    /// A program that runs so, and ends with the thread that starts it.
    pub(super) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // The environment may carry PGPORT, PGDATA and the like of somebody else's server.
        let foreign = std::env::vars_os()
            .map(|(name, _)| name)
            .filter(|name| name.to_string_lossy().starts_with("PG"));
        for name in foreign {
            command.env_remove(name);
        }
        // A group of its own: Ctrl-C in a terminal is for us, who then stop the server in order.
        command.process_group(0);
        if let Self::Other(user) = self {
            command.uid(user.uid).gid(user.gid);
        }
        prepare_child(&mut command, self.maps());
        command
    }

    /// Gives a folder and all in it to whom it has to belong, if it does not yet.
    pub(super) fn own(self, folder: &Path) -> io::Result<()> {
        let owner = match self {
            Self::Ourselves => return Ok(()),
            Self::Namespace(_) => User { uid: 0, gid: 0 },
            Self::Other(user) => user,
        };
        if fs::symlink_metadata(folder)?.uid() == owner.uid {
            Ok(())
        } else {
            give(folder, owner)
        }
    }

    fn maps(self) -> Option<Maps> {
        let Self::Namespace(user) = self else {
            return None;
        };
        let map = |id: u32| CString::new(format!("{id} 0 1")).unwrap_or_default();
        Some(Maps {
            uid: map(user.uid),
            gid: map(user.gid),
        })
    }
}

/// The lines for `uid_map` and `gid_map`, made before the fork.
struct Maps {
    uid: CString,
    gid: CString,
}

#[expect(
    unsafe_code,
    reason = "a child is prepared between fork and exec, with system calls and nothing else"
)]
fn prepare_child(command: &mut Command, maps: Option<Maps>) {
    let parent = getpid();
    // SAFETY: the closure makes system calls on memory that was laid out before the fork, and
    // nothing else.
    unsafe {
        command.pre_exec(move || {
            if let Some(maps) = &maps {
                enter_namespace(maps)?;
            }
            // After the change of identity, which would clear it.
            end_with_parent(parent)
        });
    }
}

#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "unsharing is unsafe for threads that share memory, and this one shares none"
)]
fn enter_namespace(maps: &Maps) -> io::Result<()> {
    use rustix::thread::{UnshareFlags, unshare_unsafe};
    // SAFETY: between fork and exec this process has one thread, and no file descriptors are
    // unshared.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER)? };
    write_line(c"/proc/self/setgroups", c"deny".to_bytes())?;
    write_line(c"/proc/self/uid_map", maps.uid.to_bytes())?;
    write_line(c"/proc/self/gid_map", maps.gid.to_bytes())
}

#[cfg(target_os = "linux")]
fn write_line(path: &std::ffi::CStr, line: &[u8]) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, open};
    let file = open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, line)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn enter_namespace(_maps: &Maps) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn end_with_parent(parent: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::INT))?;
    // The parent may have ended before the line above.
    if getppid() == Some(parent) {
        Ok(())
    } else {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_parent: Pid) -> io::Result<()> {
    // The next start ends a server that was left behind.
    Ok(())
}

/// `initdb` looks its user up, so that a number alone does not do.
fn unprivileged_user() -> User {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| user_named(&users, name))
        .unwrap_or(User {
            uid: 65534,
            gid: 65534,
        })
}

fn user_named(users: &str, name: &str) -> Option<User> {
    let line = users
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some(User {
        uid: fields.next()?.parse().ok()?,
        gid: fields.next()?.parse().ok()?,
    })
}

fn give(path: &Path, owner: User) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), owner)?;
        }
    }
    lchown(path, Some(owner.uid), Some(owner.gid))
}
