//! The calling task and its namespaces.

use crate::{
    kernel::{half, word},
    maps::*,
};
use aya_ebpf::helpers::generated;
use tetragon_abi::config::NAMESPACES;

#[inline(always)]
pub fn task() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { generated::bpf_get_current_task() }
}

/// Inode number of a namespace of a task; 0: this kernel has none of the kind.
#[inline(always)]
pub fn namespace(task: u64, kind: usize) -> u32 {
    namespace_in(task, word(task.wrapping_add(offset!(task_nsproxy))), kind)
}

/// The same, with the task's `struct nsproxy`.
#[inline(always)]
pub fn namespace_in(task: u64, proxy: u64, kind: usize) -> u32 {
    if kind >= NAMESPACES {
        return 0;
    }
    let inum = offset!(ns_inum[kind]);
    if inum == u32::MAX as u64 {
        return 0;
    }
    // Numbers as in the plan's NamespaceKind.
    let ns = match kind {
        3 => word(innermost(task).wrapping_add(offset!(upid_ns))),
        9 => word(word(task.wrapping_add(offset!(task_cred))).wrapping_add(offset!(cred_user_ns))),
        _ => word(proxy.wrapping_add(offset!(nsproxy_ns[kind]))),
    };
    half(ns.wrapping_add(inum))
}

/// The task's `struct upid` in its innermost PID namespace.
#[inline(always)]
pub fn innermost(task: u64) -> u64 {
    let pid = word(task.wrapping_add(offset!(task_thread_pid)));
    let level = half(pid.wrapping_add(offset!(pid_level))) as u64;
    pid.wrapping_add(offset!(pid_numbers)).wrapping_add(level * offset!(upid_size))
}
