//! Cgroups: which one a task is in, and whose it is. The table is kept by the kernel itself as cgroups
//! come and go, so that a new one has its entry before a process can be in it, and none outlives its
//! cgroup.

use crate::{
    engine::task,
    kernel::{get, half, put, word},
    maps::*,
    text,
};
use aya_ebpf::{helpers::generated, macros::raw_tracepoint, programs::RawTracePointContext};
use tetragon_abi::{cgroup::*, engine::*, record::*};

/// The `struct kernfs_node` of a task's cgroup, in the hierarchy that containers are told apart by.
#[inline(always)]
pub fn node(task: u64) -> u64 {
    let set = word(task.wrapping_add(offset!(task_cgroups)));
    let subsystem = config!(subsystem) as u64;
    let cgroup = if subsystem == 0 {
        word(set.wrapping_add(offset!(css_set_dfl_cgrp)))
    } else {
        let state = word(set.wrapping_add(offset!(css_set_subsys) + 8 * (subsystem - 1)));
        word(state.wrapping_add(offset!(css_cgroup)))
    };
    word(cgroup.wrapping_add(offset!(cgroup_kn)))
}

/// Id of the current task's cgroup.
#[inline(always)]
pub fn current() -> u64 {
    if config!(subsystem) == 0 {
        // SAFETY: a helper without arguments.
        return unsafe { generated::bpf_get_current_cgroup_id() };
    }
    word(node(task()).wrapping_add(offset!(kernfs_node_id)))
}

/// The current task's workload.
#[inline(never)]
pub fn workload() -> u64 {
    let mut at = current();
    let asked = &raw mut at;
    for _ in 0..LINKS {
        // SAFETY: the map's key and value types.
        unsafe {
            let c: *const Cgroup = lookup(&CGROUPS, asked.cast::<u8>());
            if c.is_null() {
                break;
            }
            let found = get(&raw const (*c).workload);
            if found != UNKNOWN {
                return found;
            }
            put(asked, get(&raw const (*c).above));
        }
    }
    UNKNOWN
}

/// Id of a `struct cgroup`.
#[inline(always)]
fn id(cgroup: u64) -> u64 {
    word(word(cgroup.wrapping_add(offset!(cgroup_kn))).wrapping_add(offset!(kernfs_node_id)))
}

/// It is of the hierarchy that containers are told apart by; others have the same ids.
#[inline(always)]
fn is_ours(cgroup: u64) -> bool {
    let root = word(cgroup.wrapping_add(offset!(cgroup_root)));
    half(root.wrapping_add(offset!(cgroup_root_hierarchy_id))) == config!(hierarchy)
}

/// Runs `f` with scratch memory.
#[inline(always)]
fn with_scratch(f: impl FnOnce(*mut Scratch, *mut u8)) {
    if config!(preempt) != 0 {
        crate::kernel::preempt_disable();
    }
    if let Some(s) = claim() {
        // SAFETY: claimed.
        unsafe {
            let record = record(s);
            if !record.is_null() {
                f(s, record);
            }
            release(s);
        }
    }
    if config!(preempt) != 0 {
        crate::kernel::preempt_enable();
    }
}

/// `cgroup_mkdir(cgroup, path)`: before the cgroup can be seen.
#[raw_tracepoint]
pub fn base_cgroup_mkdir(ctx: RawTracePointContext) -> i32 {
    let (cgroup, path) = (ctx.arg::<u64>(0), ctx.arg::<u64>(1));
    if is_ours(cgroup) {
        // SAFETY: claimed memory.
        with_scratch(|s, record| unsafe {
            made(s, record, cgroup, path);
        });
    }
    0
}

#[inline(never)]
unsafe fn made(s: *mut Scratch, record: *mut u8, cgroup: u64, path: u64) -> u64 {
    unsafe {
        let above = word(cgroup.wrapping_add(offset!(cgroup_self) + offset!(css_parent)));
        let parent = id(word(above.wrapping_add(offset!(css_cgroup))));
        let own = id(cgroup);
        let p: *const Cgroup = lookup(&CGROUPS, (&raw const parent).cast());
        let known = if p.is_null() { None } else { Some(*p) };
        let new = Cgroup::within(parent, known, is_for_pods(s, cgroup));
        let (k, v) = ((&raw const own).cast(), (&raw const new).cast());
        if generated::bpf_map_update_elem((&raw const CGROUPS).cast_mut().cast(), k, v, 0) != 0 {
            count(Lost::Cgroup);
        }
        if new.workload != HOST {
            tell(record, own, path, 0);
        }
        0
    }
}

/// Its name says that pods live in it.
#[inline(always)]
unsafe fn is_for_pods(s: *mut Scratch, cgroup: u64) -> bool {
    unsafe {
        let name = word(cgroup.wrapping_add(offset!(cgroup_kn)));
        let name = word(name.wrapping_add(offset!(kernfs_node_name)));
        let to = text::start(s, 0, 0);
        for i in 0..NAME / 8 + 1 {
            put(to.cast::<u64>().add(i), 0);
        }
        generated::bpf_probe_read_kernel_str(to.cast(), NAME as u32, name as *const _);
        let found = &raw mut (*s).walk[11];
        put(found, 0);
        for i in 0..=NAME - PODS.len() {
            let same = get(to.add(i).cast()) == u64::from_le_bytes(PODS);
            put(found, get(found) | same as u64);
        }
        get(found) != 0
    }
}

/// `cgroup_rmdir(cgroup, path)`: no process is in it any more.
#[raw_tracepoint]
pub fn base_cgroup_rmdir(ctx: RawTracePointContext) -> i32 {
    let (cgroup, path) = (ctx.arg::<u64>(0), ctx.arg::<u64>(1));
    if !is_ours(cgroup) {
        return 0;
    }
    let own = id(cgroup);
    // SAFETY: the map's key and value types.
    unsafe {
        let k: *const u8 = (&raw const own).cast();
        let c: *const Cgroup = lookup(&CGROUPS, k);
        let of_pod = !c.is_null() && get(&raw const (*c).workload) != HOST;
        generated::bpf_map_delete_elem((&raw const CGROUPS).cast_mut().cast(), k.cast());
        if of_pod {
            with_scratch(|_, record| {
                tell(record, own, path, 1);
            });
        }
    }
    0
}

/// Tells the agent, which may know whose cgroup it is before a process is in it.
#[inline(never)]
unsafe fn tell(record: *mut u8, own: u64, path: u64, gone: u32) -> u64 {
    unsafe {
        let r = record.cast::<CgroupChange>();
        let ids = generated::bpf_get_current_pid_tgid();
        let to = record.add(size_of::<CgroupChange>());
        let n = generated::bpf_probe_read_kernel_str(to.cast(), TEXT_MAX as u32, path as *const _);
        let len = if n > 0 { n as u64 - 1 } else { 0 };
        let end = size_of::<CgroupChange>() as u64 + ((len + 7) & !7);
        if end > (size_of::<CgroupChange>() + TEXT_MAX) as u64 {
            return 0;
        }
        (*r).header = Header {
            kind: KIND_CGROUP,
            len: end as u32,
            ktime: generated::bpf_ktime_get_ns(),
            tgid: (ids >> 32) as u32,
            tid: ids as u32,
            process: 0,
        };
        (*r).id = own;
        (*r).gone = gone;
        (*r).path = len as u32;
        count(if output_now(record, end) { Lost::Sent } else { Lost::CgroupRecord });
        0
    }
}

/// `(cgroup id, workload)`, run by the agent: says whose a cgroup is. Written in place: an update of
/// the map from user space puts another element there, and a program that still reads the old one could
/// find it used again. 1: there is no such cgroup.
#[raw_tracepoint]
pub fn base_classify(ctx: RawTracePointContext) -> i32 {
    let (own, workload) = (ctx.arg::<u64>(0), ctx.arg::<u64>(1));
    // SAFETY: the map's key and value types.
    unsafe {
        let c: *mut Cgroup = lookup(&CGROUPS, (&raw const own).cast());
        if c.is_null() {
            return 1;
        }
        put(&raw mut (*c).workload, workload);
    }
    0
}
