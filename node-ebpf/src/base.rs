//! The base sensor: processes made, programs executed, processes ended. Tracepoints only: it works
//! on kernels that refuse everything else.

use crate::{
    cgroups,
    engine::{innermost, namespace_in, process, task},
    kernel::{get, half, put, read, word},
    maps::*,
    text,
};
use aya_ebpf::{helpers::generated, macros::raw_tracepoint, programs::RawTracePointContext};
use tetragon_abi::{config::NAMESPACES, engine::*, hash::Hash128, record::*};

/// Sends a record and counts it.
#[inline(always)]
unsafe fn send(record: *const u8, len: u64, kind: Lost) {
    count(if unsafe { output(record, len) } { Lost::Sent } else { kind });
}

/// A process's id in its innermost PID namespace; 0 in the host's.
#[inline(always)]
fn inner_pid(task: u64) -> u32 {
    let pid = word(task.wrapping_add(offset!(task_thread_pid)));
    if half(pid.wrapping_add(offset!(pid_level))) == 0 {
        return 0;
    }
    half(innermost(task).wrapping_add(offset!(upid_nr)))
}

#[inline(always)]
unsafe fn store(tgid: u32, p: *const Proc) {
    unsafe {
        if generated::bpf_map_update_elem(
            (&raw const PROCS).cast_mut().cast(),
            (&raw const tgid).cast(),
            p.cast(),
            0,
        ) != 0
        {
            count(Lost::Process);
        }
    }
}

/// `sched_process_fork(parent, child)`: before the child runs. A new thread is no process.
#[raw_tracepoint]
pub fn base_fork(ctx: RawTracePointContext) -> i32 {
    let (parent, child) = (ctx.arg::<u64>(0), ctx.arg::<u64>(1));
    let tgid = half(child.wrapping_add(offset!(task_tgid)));
    if half(child.wrapping_add(offset!(task_pid))) != tgid {
        return 0;
    }
    // SAFETY: records and processes live on the stack and in the maps of their types.
    unsafe {
        let from = half(parent.wrapping_add(offset!(task_tgid)));
        let mut p = core::mem::zeroed::<Proc>();
        process(&raw mut p, from);
        let parent_ktime = p.ktime;
        let now = generated::bpf_ktime_get_ns();
        p.parent_exe = p.exe;
        p.parent = from;
        p.ktime = now;
        p.nspid = inner_pid(child);
        p.flags = PROC_CLONE | (p.flags & PROC_INIT_TREE);
        if p.nspid == 1 {
            p.flags |= PROC_INIT_TREE;
        }
        store(tgid, &raw const p);
        let r = Fork {
            header: Header {
                kind: KIND_FORK,
                len: size_of::<Fork>() as u32,
                ktime: now,
                tgid,
                tid: tgid,
                process: now,
            },
            parent_ktime,
            parent: from,
            flags: p.flags,
            nspid: p.nspid,
            pad: 0,
        };
        send((&raw const r).cast(), size_of::<Fork>() as u64, Lost::Fork);
    }
    0
}

/// `sched_process_exit(task)`: for each thread; the last one ends the process.
#[raw_tracepoint]
pub fn base_exit(ctx: RawTracePointContext) -> i32 {
    let task = ctx.arg::<u64>(0);
    let signal = word(task.wrapping_add(offset!(task_signal)));
    if half(signal.wrapping_add(offset!(signal_live))) != 0 {
        return 0;
    }
    let tgid = half(task.wrapping_add(offset!(task_tgid)));
    // SAFETY: as in base_fork.
    unsafe {
        let mut p = core::mem::zeroed::<Proc>();
        process(&raw mut p, tgid);
        // Two threads may both be the last to look: one of them takes the process out.
        if generated::bpf_map_delete_elem((&raw const PROCS).cast_mut().cast(), (&raw const tgid).cast()) != 0
            && p.ktime != 0
        {
            return 0;
        }
        let r = Exit {
            header: Header {
                kind: KIND_EXIT,
                len: size_of::<Exit>() as u32,
                ktime: generated::bpf_ktime_get_ns(),
                tgid,
                tid: tgid,
                process: p.ktime,
            },
            code: half(task.wrapping_add(offset!(task_exit_code))),
            pad: 0,
        };
        send((&raw const r).cast(), size_of::<Exit>() as u64, Lost::Exit);
    }
    0
}

/// `sched_process_exec(task, old_pid, bprm)`: the new program is in place and has not run yet.
#[raw_tracepoint]
pub fn base_exec(ctx: RawTracePointContext) -> i32 {
    let bprm = ctx.arg::<u64>(2);
    if config!(preempt) != 0 {
        crate::kernel::preempt_disable();
    }
    if let Some(s) = claim() {
        // SAFETY: claimed.
        unsafe {
            let record = record(s);
            if !record.is_null() {
                exec(s, record, bprm);
            }
            release(s);
        }
    }
    if config!(preempt) != 0 {
        crate::kernel::preempt_enable();
    }
    0
}

/// Where in `Scratch::text` the working directory and the executable are read.
const CWD: usize = 0;
const EXE: usize = 1;

#[inline(never)]
unsafe fn exec(s: *mut Scratch, record: *mut u8, bprm: u64) -> u64 {
    unsafe {
        let task = task();
        let tgid = (generated::bpf_get_current_pid_tgid() >> 32) as u32;
        let p = &raw mut (*s).proc;
        process(p, tgid);
        let r = record.cast::<Exec>();
        let now = generated::bpf_ktime_get_ns();
        (*r).header = Header { kind: KIND_EXEC, len: 0, ktime: now, tgid, tid: tgid, process: now };
        (*r).old_ktime = (*p).ktime;
        let parent =
            word(word(task.wrapping_add(offset!(task_group_leader))).wrapping_add(offset!(task_real_parent)));
        (*r).parent = half(parent.wrapping_add(offset!(task_tgid)));
        (*r).nspid = inner_pid(task);
        (*r).exec_flags = 0;
        if (*r).nspid == 1 {
            (*p).flags |= PROC_INIT_TREE;
        }
        (*r).flags = (*p).flags;

        let file = word(bprm.wrapping_add(offset!(bprm_file)));
        text::walk(s, EXE, file.wrapping_add(offset!(file_f_path)), false);
        executable(s);
        // After an exec without a fork the parent is the program before.
        if (*p).flags & PROC_CLONE == 0 {
            let old = (*p).exe;
            (*p).parent_exe = old;
        }
        (*p).exe = (*s).key;
        (*p).ktime = now;
        (*p).parent = (*r).parent;
        (*p).nspid = (*r).nspid;
        (*p).flags &= PROC_INIT_TREE;
        store(tgid, p);

        credentials(&raw mut (*r).cred, task);
        let inode = word(file.wrapping_add(offset!(file_f_inode)));
        (*r).mode = half(inode.wrapping_add(offset!(inode_i_mode))) & 0xffff;
        (*r).file_uid = half(inode.wrapping_add(offset!(inode_i_uid)));
        (*r).file_gid = half(inode.wrapping_add(offset!(inode_i_gid)));
        (*r).nlink = half(inode.wrapping_add(offset!(inode_i_nlink)));
        (*r).ino = word(inode.wrapping_add(offset!(inode_i_ino)));
        (*r).cgroup = cgroups::current();
        texts(s, record, task, bprm);
        let end = get(&raw const (*s).end);
        if end > RECORD_MAX as u64 {
            return 0;
        }
        (*r).header.len = end as u32;
        send(record, end, Lost::Exec);
        0
    }
}

/// The executable's hash into `Scratch::key`, and its path into the table of executables if it is
/// new there.
#[inline(always)]
unsafe fn executable(s: *mut Scratch) {
    unsafe {
        if text::hash(s, EXE as u64) == 0 {
            (*s).key = Hash128 { a: 0, b: 0 };
            return;
        }
        let known: *const Exe = lookup(&EXES, (&raw const (*s).key).cast());
        if !known.is_null() {
            return;
        }
        let Some((pos, len)) = text::place(s, EXE) else { return };
        // Built in the memory of a text that is not in use yet.
        let e = text::start(s, CWD, 0).cast::<Exe>();
        let bytes = e.cast::<u64>();
        for i in 0..size_of::<Exe>() / 8 {
            put(bytes.add(i), 0);
        }
        (*e).len = len as u32;
        let head = if len > EXE_HEAD as u64 { EXE_HEAD as u64 } else { len };
        read((&raw mut (*e).head).cast(), head as u32, text::start(s, EXE, pos) as u64);
        // A walked path ends where its buffer ends. What lies before a short one is cut off by the
        // length of the key.
        let end = text::start(s, EXE, TEXT_MAX as u64).cast::<u64>().cast_const();
        let tail = (&raw mut (*e).tail).cast::<u64>();
        for i in 0..EXE_TAIL / 8 {
            put(tail.add(i), get(end.sub(i + 1)).swap_bytes());
        }
        if generated::bpf_map_update_elem(
            (&raw const EXES).cast_mut().cast(),
            (&raw const (*s).key).cast(),
            e.cast(),
            0,
        ) != 0
        {
            count(Lost::Exe);
        }
    }
}

#[inline(always)]
unsafe fn credentials(to: *mut Credentials, task: u64) {
    unsafe {
        let cred = word(task.wrapping_add(offset!(task_cred)));
        // Eight ids lie side by side, and three sets of capabilities.
        read((&raw mut (*to).ids).cast(), 32, cred.wrapping_add(offset!(cred_uid)));
        read((&raw mut (*to).caps).cast(), 24, cred.wrapping_add(offset!(cred_cap_inheritable)));
        (*to).securebits = half(cred.wrapping_add(offset!(cred_securebits)));
        let auid = offset!(task_loginuid);
        (*to).auid = if auid == u32::MAX as u64 { u32::MAX } else { half(task.wrapping_add(auid)) };
        let ns = (&raw mut (*to).ns).cast::<u32>();
        let proxy = word(task.wrapping_add(offset!(task_nsproxy)));
        for kind in 0..NAMESPACES {
            core::ptr::write_volatile(ns.add(kind), namespace_in(task, proxy, kind));
        }
    }
}

/// The texts behind the fixed part: filename, arguments, working directory, executable, cgroup, environment.
#[inline(always)]
unsafe fn texts(s: *mut Scratch, record: *mut u8, task: u64, bprm: u64) {
    unsafe {
        let r = record.cast::<Exec>();
        let lens = (&raw mut (*r).text).cast::<u32>();
        put(&raw mut (*s).end, size_of::<Exec>() as u64);
        core::ptr::write_volatile(lens.add(5), 0);

        let name = word(bprm.wrapping_add(offset!(bprm_filename)));
        let to = record.add(size_of::<Exec>());
        let n = generated::bpf_probe_read_kernel_str(to.cast(), TEXT_MAX as u32, name as *const _);
        advance(s, lens, if n > 0 { n as u64 - 1 } else { 0 });

        let mm = word(task.wrapping_add(offset!(task_mm)));
        let from = word(mm.wrapping_add(offset!(mm_arg_start)));
        let full = word(mm.wrapping_add(offset!(mm_arg_end))).wrapping_sub(from);
        (*r).args_full = full as u32;
        let n = if full > TEXT_MAX as u64 { TEXT_MAX as u64 } else { full };
        if full > TEXT_MAX as u64 {
            (*r).exec_flags |= EXEC_ARGS_CUT;
        }
        let end = get(&raw const (*s).end);
        if end > ROOM {
            return;
        }
        if generated::bpf_probe_read_user(record.add(end as usize).cast(), n as u32, from as *const _) == 0 {
            advance(s, lens.add(1), n);
        } else {
            (*r).exec_flags |= EXEC_NO_ARGS;
            advance(s, lens.add(1), 0);
        }

        let fs = word(task.wrapping_add(offset!(task_fs)));
        text::walk(s, CWD, fs.wrapping_add(offset!(fs_pwd)), false);
        if text::place(s, CWD).is_none() {
            (*r).exec_flags |= EXEC_NO_CWD;
        }
        copy(s, record, lens.add(2), CWD);
        copy(s, record, lens.add(3), EXE);

        let name = word(cgroups::node(task).wrapping_add(offset!(kernfs_node_name)));
        let end = get(&raw const (*s).end);
        if end > ROOM {
            return;
        }
        let n = generated::bpf_probe_read_kernel_str(record.add(end as usize).cast(), 256, name as *const _);
        advance(s, lens.add(4), if n > 0 { n as u64 - 1 } else { 0 });
        if config!(environment) != 0 {
            environment(s, record, mm);
        }
    }
}

/// The environment, last: what lies before it is seldom long.
#[inline(always)]
unsafe fn environment(s: *mut Scratch, record: *mut u8, mm: u64) {
    /// Last place where it may begin.
    const LAST: u64 = (RECORD_MAX - ENVS_MAX - 16) as u64;
    unsafe {
        let r = record.cast::<Exec>();
        let len = (&raw mut (*r).text).cast::<u32>().add(5);
        let from = word(mm.wrapping_add(offset!(mm_env_start)));
        let full = word(mm.wrapping_add(offset!(mm_env_end))).wrapping_sub(from);
        let n = if full > ENVS_MAX as u64 { ENVS_MAX as u64 } else { full };
        let end = get(&raw const (*s).end);
        if end > LAST
            || generated::bpf_probe_read_user(record.add(end as usize).cast(), n as u32, from as *const _) != 0
        {
            (*r).exec_flags |= EXEC_NO_ENVS;
            return;
        }
        if full > ENVS_MAX as u64 {
            (*r).exec_flags |= EXEC_ENVS_CUT;
        }
        advance(s, len, n);
    }
}

/// Last place in a record where a text may begin.
const ROOM: u64 = (RECORD_MAX - TEXT_MAX - 16) as u64;

/// Notes the length of a text that was just written, and goes behind it.
#[inline(always)]
unsafe fn advance(s: *mut Scratch, len: *mut u32, n: u64) {
    unsafe {
        core::ptr::write_volatile(len, n as u32);
        put(&raw mut (*s).end, get(&raw const (*s).end) + ((n + 7) & !7));
    }
}

/// Copies text `t` behind what is there.
#[inline(always)]
unsafe fn copy(s: *mut Scratch, record: *mut u8, len: *mut u32, t: usize) {
    unsafe {
        let end = get(&raw const (*s).end);
        if end > ROOM {
            return;
        }
        let Some((pos, n)) = text::place(s, t) else { return advance(s, len, 0) };
        read(record.add(end as usize), n as u32, text::start(s, t, pos) as u64);
        advance(s, len, n);
    }
}
