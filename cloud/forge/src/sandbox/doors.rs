//! Every way out of the walls, tried from inside.
//!
//! `espalier-forge sandbox` runs each of these in a worker of its own and says which held: a person can
//! ask their own machine, and the tests ask it on every change.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::{Limits, raw};

/// One way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is described by `Door::words`")]
pub enum Door {
    Network,
    Datagram,
    PasswordFile,
    ReadOutside,
    WriteOutside,
    Mode,
    Truncate,
    SymbolicLink,
    Environment,
    Descriptors,
    Program,
    Identity,
    TraceParent,
    ParentMemory,
    SignalParent,
    Limits,
    SharedMemory,
    Threads,
    Memory,
    FileSize,
    CpuTime,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Network,
        Self::Datagram,
        Self::PasswordFile,
        Self::ReadOutside,
        Self::WriteOutside,
        Self::Mode,
        Self::Truncate,
        Self::SymbolicLink,
        Self::Environment,
        Self::Descriptors,
        Self::Program,
        Self::Identity,
        Self::TraceParent,
        Self::ParentMemory,
        Self::SignalParent,
        Self::Limits,
        Self::SharedMemory,
        Self::Threads,
        Self::Memory,
        Self::FileSize,
        Self::CpuTime,
    ];

    /// What a hostile job tries at this door.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Network => "connect to a port of this machine",
            Self::Datagram => "send a datagram",
            Self::PasswordFile => "read /etc/passwd",
            Self::ReadOutside => "read a file beside the work folder",
            Self::WriteOutside => "write a file beside the work folder",
            Self::Mode => "let everybody read a file beside the work folder",
            Self::Truncate => "empty a file beside the work folder",
            Self::SymbolicLink => "leave a symbolic link for the supervisor to follow",
            Self::Environment => "read the supervisor's environment",
            Self::Descriptors => "use files and sockets that the supervisor had open",
            Self::Program => "start a program",
            Self::Identity => "become root",
            Self::TraceParent => "trace the supervisor",
            Self::ParentMemory => "read the supervisor's memory",
            Self::SignalParent => "send the supervisor a signal",
            Self::Limits => "change the supervisor's limits",
            Self::SharedMemory => "share memory with other processes",
            Self::Threads => "start threads without end",
            Self::Memory => "take memory without end",
            Self::FileSize => "fill the disk",
            Self::CpuTime => "compute without end",
        }
    }
}

/// What a hostile job needs to know to try a door.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attempt {
    /// Which door.
    pub door: Door,
    /// A port of the supervisor where someone listens.
    pub listener: SocketAddr,
    /// A file beside the work folder that exists.
    pub secret: PathBuf,
    /// The limits that the walls promise.
    pub limits: Limits,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "door", rename_all = "kebab-case")]
pub enum Outcome {
    /// It held.
    Shut {
        /// What the kernel answered.
        reason: String,
    },
    /// It did not.
    Open {
        /// What the job could do.
        gained: String,
    },
}

/// Tries the door, in the calling process.
#[must_use]
pub fn try_door(attempt: &Attempt) -> Outcome {
    match open(attempt) {
        Ok(gained) => Outcome::Open { gained },
        Err(reason) => Outcome::Shut { reason },
    }
}

fn open(attempt: &Attempt) -> Result<String, String> {
    match attempt.door {
        Door::Network => connect(attempt.listener),
        Door::Datagram => UdpSocket::bind("127.0.0.1:0")
            .map_err(words)
            .map(|_| "a datagram socket".to_owned()),
        Door::PasswordFile => fs::read("/etc/passwd").map_err(words).map(bytes),
        Door::ReadOutside => fs::read(&attempt.secret).map_err(words).map(bytes),
        Door::WriteOutside => write_outside(attempt),
        Door::Mode => change_mode(&attempt.secret),
        Door::Truncate => empty(&attempt.secret),
        Door::SymbolicLink => symlink_out(attempt),
        Door::Environment => environment(),
        Door::Descriptors => descriptors(),
        Door::Program => run_program(),
        Door::Identity => become_root(),
        Door::TraceParent => raw::trace(parent()?)
            .map_err(words)
            .map(|()| "traced the supervisor".to_owned()),
        Door::ParentMemory => read_parent_memory(),
        Door::SignalParent => signal_parent(),
        Door::Limits => limit_parent(),
        Door::SharedMemory => raw::share_memory()
            .map_err(words)
            .map(|()| "a piece of shared memory".to_owned()),
        Door::Threads => start_threads(&attempt.limits),
        Door::Memory => take_memory(&attempt.limits),
        Door::FileSize => fill_disk(&attempt.limits),
        Door::CpuTime => compute(&attempt.limits),
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn bytes(read: Vec<u8>) -> String {
    format!("{} bytes", read.len())
}

fn connect(listener: SocketAddr) -> Result<String, String> {
    let stream = TcpStream::connect_timeout(&listener, Duration::from_secs(2)).map_err(words)?;
    Ok(format!("a connection to {:?}", stream.peer_addr()))
}

fn write_outside(attempt: &Attempt) -> Result<String, String> {
    let target = attempt.secret.with_extension("written");
    fs::write(&target, "here").map_err(words)?;
    Ok(format!("wrote {}", target.display()))
}

/// By its path, and by a descriptor that was opened neither to read nor to write.
fn change_mode(file: &Path) -> Result<String, String> {
    let for_all = 0o666;
    let by_path = fs::set_permissions(file, fs::Permissions::from_mode(for_all)).map_err(words);
    let by_descriptor = || {
        let opened = open_for_nothing(file, OFlags::empty())?;
        rustix::fs::fchmod(opened, for_all.into()).map_err(words)
    };
    by_path.or_else(|refused| by_descriptor().map_err(|also| format!("{refused}; {also}")))?;
    Ok(format!("mode {for_all:o} of {}", file.display()))
}

/// By its path, and while it is opened neither to read nor to write.
fn empty(file: &Path) -> Result<String, String> {
    let by_opening = || open_for_nothing(file, OFlags::TRUNC).map(drop);
    raw::truncate(file)
        .map_err(words)
        .or_else(|refused| by_opening().map_err(|also| format!("{refused}; {also}")))?;
    Ok(format!("emptied {}", file.display()))
}

/// Linux has a fourth access mode beside reading, writing and both.
fn open_for_nothing(file: &Path, further: OFlags) -> Result<OwnedFd, String> {
    let flags = OFlags::ACCMODE | OFlags::CLOEXEC | further;
    rustix::fs::open(file, flags, rustix::fs::Mode::empty()).map_err(words)
}

fn symlink_out(attempt: &Attempt) -> Result<String, String> {
    std::os::unix::fs::symlink(&attempt.secret, "link").map_err(words)?;
    Ok("a link out of the work folder".to_owned())
}

fn environment() -> Result<String, String> {
    let foreign: Vec<String> = std::env::vars_os()
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .filter(|name| name != espalier_runtime::engine::LIBRARY_VARIABLE)
        .collect();
    if foreign.is_empty() {
        Err("the environment is empty".to_owned())
    } else {
        Ok(foreign.join(", "))
    }
}

fn descriptors() -> Result<String, String> {
    // Reading the folder opens one descriptor itself; sockets and files of the supervisor would add more.
    let open = fs::read_dir("/proc/self/fd").map_err(words)?.count();
    if open <= 4 {
        Err("only the standard streams are open".to_owned())
    } else {
        Ok(format!("{open} descriptors"))
    }
}

fn run_program() -> Result<String, String> {
    std::process::Command::new("/bin/sh")
        .args(["-c", "exit 0"])
        .status()
        .map_err(words)?;
    Ok("ran a shell".to_owned())
}

fn become_root() -> Result<String, String> {
    let root = rustix::thread::Uid::ROOT;
    rustix::thread::set_thread_res_uid(root, root, root).map_err(words)?;
    Ok("root".to_owned())
}

fn parent() -> Result<rustix::process::Pid, String> {
    rustix::process::getppid().ok_or_else(|| "the supervisor cannot be seen".to_owned())
}

fn read_parent_memory() -> Result<String, String> {
    let folder = PathBuf::from(format!("/proc/{}", parent()?.as_raw_nonzero()));
    fs::read(folder.join("environ")).map_err(words).map(bytes)
}

fn signal_parent() -> Result<String, String> {
    // Harmless where it arrives: ignored unless asked for.
    rustix::process::kill_process(parent()?, rustix::process::Signal::URG).map_err(words)?;
    Ok("signalled the supervisor".to_owned())
}

fn limit_parent() -> Result<String, String> {
    // Harmless where it arrives: the supervisor's own limit is what this process inherited.
    let resource = rustix::process::Resource::Core;
    let same = rustix::process::getrlimit(resource);
    rustix::process::prlimit(Some(parent()?), resource, same).map_err(words)?;
    Ok("set a limit of the supervisor".to_owned())
}

fn start_threads(limits: &Limits) -> Result<String, String> {
    let wanted = limits.threads * 64;
    for started in 0..wanted {
        let thread = std::thread::Builder::new().spawn(std::thread::park);
        if let Err(error) = thread {
            return Err(format!("after {started} threads: {error}"));
        }
    }
    Ok(format!("{wanted} threads"))
}

fn take_memory(limits: &Limits) -> Result<String, String> {
    let wanted = usize::try_from(limits.memory_bytes).map_err(words)?;
    let mut taken: Vec<u8> = Vec::new();
    taken.try_reserve_exact(wanted).map_err(words)?;
    Ok(format!("{} bytes", taken.capacity()))
}

fn fill_disk(limits: &Limits) -> Result<String, String> {
    let mut file = fs::File::create("big").map_err(words)?;
    let mebibyte = vec![0; 1 << 20];
    let pieces = limits.file_bytes / mebibyte.len() as u64 + 1;
    for _ in 0..pieces {
        file.write_all(&mebibyte).map_err(words)?;
    }
    Ok(format!("a file of {pieces} MiB"))
}

/// Twice the allowed time; the kernel should end it in the middle.
fn compute(limits: &Limits) -> Result<String, String> {
    let allowed = Duration::from_secs(limits.cpu_seconds * 2);
    let mut sum = 0_u64;
    while used_time()? < allowed {
        for step in 0..10_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(step));
        }
    }
    Ok(format!("{} s of CPU time", allowed.as_secs()))
}

/// CPU time of this process: on a busy machine it is less than the clock says.
fn used_time() -> Result<Duration, String> {
    let statistics = fs::read_to_string("/proc/self/schedstat").map_err(words)?;
    let on_cpu = statistics
        .split_whitespace()
        .next()
        .and_then(|field| field.parse().ok());
    on_cpu
        .map(Duration::from_nanos)
        .ok_or_else(|| "the kernel keeps no schedule statistics".to_owned())
}
