//! The system calls that a worker has no use for, refused by seccomp.
//!
//! A list of what is forbidden, not of what is allowed: ONNX Runtime, the allocator and the C library
//! change what they call from version to version, and a list of the allowed would break on machines
//! that nobody here has seen. Files are Landlock's business; this list closes the rest.

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

/// Calls that only older architectures have.
#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: &[i64] = &[libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE: &[i64] = &[];

/// x86-64 kernels with the x32 ABI accept every call under a second number; a filter that forgets them
/// forbids nothing.
const X32_BIT: i64 = 0x4000_0000;

/// Installs the filters; `false` when the kernel refuses.
pub(super) fn forbid() -> bool {
    fn install() -> Result<(), Box<dyn std::error::Error>> {
        apply_filter(&refusals()?)?;
        apply_filter(&no_clone3()?)?;
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
    for call in under_both_numbers(libc::SYS_clone) {
        rules.insert(call, vec![new_process()?]);
    }
    for call in under_both_numbers(libc::SYS_tgkill) {
        rules.insert(call, vec![another_process()?]);
    }
    filter(rules, libc::EPERM)
}

/// `abort` signals the own process; nobody else is to be signalled.
fn another_process() -> Result<SeccompRule, seccompiler::BackendError> {
    let own = u64::from(std::process::id());
    let someone_else = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, own)?;
    SeccompRule::new(vec![someone_else])
}

/// Threads come from `clone` with `CLONE_THREAD`; everything else that it makes is a process.
fn new_process() -> Result<SeccompRule, seccompiler::BackendError> {
    let thread = libc::CLONE_THREAD as u64;
    let not_a_thread = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(thread),
        0,
    )?;
    SeccompRule::new(vec![not_a_thread])
}

/// `clone3` hides its flags behind a pointer that a filter cannot follow. "No such call" makes the
/// C library fall back to `clone`.
fn no_clone3() -> Result<BpfProgram, seccompiler::BackendError> {
    let rules = under_both_numbers(libc::SYS_clone3)
        .into_iter()
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
