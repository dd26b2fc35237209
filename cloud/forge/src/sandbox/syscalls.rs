//! The system calls that a worker has no use for, refused by seccomp.
//!
//! A list of what is forbidden, not of what is allowed: ONNX Runtime, the allocator and the C library
//! change what they call from version to version, and a list of the allowed would break on machines
//! that nobody here has seen. What files hold is Landlock's business; it governs neither who may read
//! them nor, before Linux 6.2, their length, so this list closes that too.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

/// Refused whatever their arguments.
const FORBIDDEN: &[i64] = &[
    // Network, and the ring that could open sockets behind a filter's back.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // Memory and queues that other processes share by number, PostgreSQL among them: no folder holds them.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    // Modes, owners, attributes and times of files, by path or by descriptor: the worker has the server's
    // user, and could let everybody read its keys.
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    SETXATTRAT,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    REMOVEXATTRAT,
    FILE_SETATTR,
    libc::SYS_utimensat,
    // A file's length by its path.
    libc::SYS_truncate,
    // Identities and privileges.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Another view of the machine.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    // The kernel itself.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_personality,
];

/// Newer calls have one number on every architecture; the C library does not name these everywhere yet.
const FCHMODAT2: i64 = 452;
const SETXATTRAT: i64 = 463;
const REMOVEXATTRAT: i64 = 466;
const FILE_SETATTR: i64 = 469;

/// Calls that only older architectures have.
#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: &[i64] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE: &[i64] = &[];

/// x86-64 kernels with the x32 ABI accept every call under a second number; a filter that forgets them
/// forbids nothing.
const X32_BIT: i64 = 0x4000_0000;

/// Installs the filters; `false` when the kernel refuses.
pub(super) fn forbid() -> bool {
    fn install() -> Result<(), Box<dyn std::error::Error>> {
        apply_filter(&refusals()?)?;
        apply_filter(&no_hidden_flags()?)?;
        Ok(())
    }
    install().is_ok()
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn refusals() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: Rules = FORBIDDEN
        .iter()
        .chain(FORBIDDEN_HERE)
        .flat_map(|call| under_both_numbers(*call))
        .map(|call| (call, Vec::new()))
        .collect();
    for (call, forms) in forbidden_forms()? {
        for call in under_both_numbers(call) {
            rules.insert(call, forms.clone());
        }
    }
    filter(rules, libc::EPERM)
}

/// Calls that a worker needs, with the forms of them that it does not.
fn forbidden_forms() -> Result<Vec<(i64, Vec<SeccompRule>)>, seccompiler::BackendError> {
    let mut forms = vec![
        (libc::SYS_clone, vec![new_process()?]),
        (libc::SYS_tgkill, vec![another_process()?]),
        (libc::SYS_prlimit64, vec![not_by_zero()?]),
        (libc::SYS_fcntl, signals_of_a_file()?),
        (libc::SYS_openat, unchecked_openings(2)?),
    ];
    #[cfg(target_arch = "x86_64")]
    forms.push((libc::SYS_open, unchecked_openings(1)?));
    Ok(forms)
}

/// `abort` signals the own process; nobody else is to be signalled.
fn another_process() -> Result<SeccompRule, seccompiler::BackendError> {
    let own = u64::from(std::process::id());
    when(argument(0, SeccompCmpOp::Ne, own)?)
}

/// `prlimit` names its own process by zero; any other number may be somebody else's.
fn not_by_zero() -> Result<SeccompRule, seccompiler::BackendError> {
    when(argument(0, SeccompCmpOp::Ne, 0)?)
}

/// Threads come from `clone` with `CLONE_THREAD`; everything else that it makes is a process.
fn new_process() -> Result<SeccompRule, seccompiler::BackendError> {
    let thread = libc::CLONE_THREAD as u64;
    when(SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(thread),
        0,
    )?)
}

/// A file can be told which process to signal, and with which signal, when it is ready.
fn signals_of_a_file() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    const F_SETSIG: u64 = 10;
    const F_SETOWN_EX: u64 = 15;
    [libc::F_SETOWN as u64, F_SETSIG, F_SETOWN_EX]
        .into_iter()
        .map(|command| when(argument(1, SeccompCmpOp::Eq, command)?))
        .collect()
}

/// Ways to open a file that Landlock takes for harmless: with the fourth access mode, which neither reads
/// nor writes and yet gives a descriptor to change the file by, and emptying a file that is opened to be read.
fn unchecked_openings(flags: u8) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let mode = libc::O_ACCMODE as u64;
    let empties = libc::O_TRUNC as u64;
    let fourth_mode = argument(flags, SeccompCmpOp::MaskedEq(mode), mode)?;
    let emptied_by_reader = argument(flags, SeccompCmpOp::MaskedEq(mode | empties), empties)?;
    [fourth_mode, emptied_by_reader]
        .into_iter()
        .map(when)
        .collect()
}

/// A condition on a 32-bit argument.
fn argument(
    at: u8,
    comparison: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(at, SeccompCmpArgLen::Dword, comparison, value)
}

fn when(condition: SeccompCondition) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![condition])
}

/// Calls that hide their flags behind a pointer, which a filter cannot follow. "No such call" makes the C
/// library fall back to `clone` and `openat`.
fn no_hidden_flags() -> Result<BpfProgram, seccompiler::BackendError> {
    let rules = [libc::SYS_clone3, libc::SYS_openat2]
        .into_iter()
        .flat_map(under_both_numbers)
        .map(|call| (call, Vec::new()))
        .collect();
    filter(rules, libc::ENOSYS)
}

fn under_both_numbers(call: i64) -> Vec<i64> {
    if cfg!(target_arch = "x86_64") {
        vec![call, call | X32_BIT]
    } else {
        vec![call]
    }
}

fn filter(rules: Rules, errno: i32) -> Result<BpfProgram, seccompiler::BackendError> {
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno.unsigned_abs()),
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}
