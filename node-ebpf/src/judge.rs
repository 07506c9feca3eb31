//! Judges one call by the tables of one slot, step by step. See the crate `tetragon-abi` for the scheme.

use crate::{
    act::{act, decide},
    call::{entry, integers, process},
    cgroups,
    dims::{dimension, intersect, keep},
    gate::{asks_process, asks_workload, gated},
    kernel::{get, put},
    maps::*,
    record::report,
};
use aya_ebpf::helpers::generated;
use tetragon_abi::{config::*, engine::*};

/// Judges the call whose arguments stand in `Scratch::given`: reports, signals, and returns the
/// errno to deny it with, or 0. `first` is the answer of [`gate`].
#[inline(never)]
pub unsafe fn judge(s: *mut Scratch, first: u64) -> u64 {
    unsafe {
        let head: *const Head = at(&HEAD, 0);
        if head.is_null() {
            return 0;
        }
        let tgid = (generated::bpf_get_current_pid_tgid() >> 32) as u32;
        if asks_process() {
            process(&raw mut (*s).proc, tgid);
        }
        if asks_workload() {
            // Once: all of a call is judged by one answer.
            put(&raw mut (*s).workload, cgroups::workload());
        }
        integers(s);
        put(&raw mut (*s).live, (*head).live);
        put(&raw mut (*s).any, 0);
        put(&raw mut (*s).group, 0);
        put(&raw mut (*s).words, 0);
        for d in 0..MAX_DIMS {
            if d as u32 >= config!(dims) {
                break;
            }
            if d == 0 && gated() {
                keep(s, 0, first as u32);
            } else {
                dimension(s, tgid, d);
            }
            if narrow(s, head, d) == 0 {
                return 0;
            }
        }
        let live = get(&raw const (*s).live) & ((*head).base | get(&raw const (*s).any));
        if live == 0 {
            return 0;
        }
        put(&raw mut (*s).live, live);
        matched(s, tgid, (*head).state)
    }
}

/// Some words may have selectors that match: which, and what follows.
#[inline(never)]
unsafe fn matched(s: *mut Scratch, tgid: u32, state: u64) -> u64 {
    unsafe {
        let record = record(s);
        if record.is_null() {
            return 0;
        }
        intersect(s);
        decide(s, record);
        if get(&raw const (*s).words) != 0 {
            if !asks_process() {
                process(&raw mut (*s).proc, tgid);
            }
            report(s, record, state, tgid);
        }
        act(s)
    }
}

/// Which words can still match after dimension `d`.
#[inline(always)]
unsafe fn narrow(s: *mut Scratch, head: *const Head, d: usize) -> u64 {
    unsafe {
        let sum = get(entry(s, d));
        put(&raw mut (*s).any, get(&raw const (*s).any) | sum);
        let group = get(&raw const (*s).group) | sum;
        let mut live = get(&raw const (*s).live) & ((*head).dim[d] | sum);
        if config!(dim[d].flags) & LAST != 0 {
            live &= (*head).group[config!(dim[d].group) as usize & (MAX_GROUPS - 1)] | group;
            put(&raw mut (*s).group, 0);
        } else {
            put(&raw mut (*s).group, group);
        }
        put(&raw mut (*s).live, live);
        live
    }
}
