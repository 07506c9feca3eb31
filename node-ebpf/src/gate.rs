//! The cheapest question first, and which questions there are: nothing here claims memory.

use crate::{cgroups, maps::*};
use aya_ebpf::helpers::generated;
use core::ptr::null;
use tetragon_abi::{config::*, engine::*, hash::Hash128};

/// The caller cannot match.
pub const NOBODY: u32 = u32::MAX;

/// The cheapest question first, before any memory is claimed: whether the caller's binary, or else its
/// workload, leaves anything to be asked. Returns the entry that it has (0: none), or [`NOBODY`].
#[inline(always)]
pub fn gate() -> u32 {
    // SAFETY: maps are looked up with keys and values of their types.
    unsafe {
        let head: *const Head = at(&HEAD, 0);
        if head.is_null() || (*head).live == 0 {
            return NOBODY;
        }
        if !gated() {
            return 0;
        }
        let key = if config!(dim[0].kind) == DIM_WORKLOAD {
            Hash128 { a: cgroups::workload(), b: 0 }
        } else {
            let tgid = (generated::bpf_get_current_pid_tgid() >> 32) as u32;
            let p: *const Proc = lookup(&PROCS, (&raw const tgid).cast());
            if p.is_null() { Hash128 { a: 0, b: 0 } } else { (*p).exe }
        };
        let found: *const u32 =
            if may_be_listed(key) { lookup(&EXACT, (&raw const key).cast()) } else { null() };
        let id = if found.is_null() { 0 } else { *found };
        let e: *const Entry = if id == 0 { null() } else { at(&ENTRIES, id) };
        let sum = if e.is_null() { 0 } else { (*e).sum };
        if (*head).live & ((*head).dim[0] | sum) == 0 {
            return NOBODY;
        }
        id
    }
}

/// False: no policy lists this binary.
#[inline(always)]
fn may_be_listed(exe: Hash128) -> bool {
    let mask = config!(bloom);
    if mask == 0 {
        return true;
    }
    let (word, bit) = exe.in_bloom(mask);
    // SAFETY: the map's value type.
    unsafe {
        let bits: *const u64 = at(&BLOOM, word);
        bits.is_null() || *bits >> bit & 1 == 1
    }
}

/// The first dimension is answered by [`gate`]: the binary as a whole, or the workload, and nothing
/// else about it.
#[inline(always)]
pub fn gated() -> bool {
    config!(dims) > 0
        && (config!(dim[0].kind) == DIM_BINARY || config!(dim[0].kind) == DIM_WORKLOAD)
        && config!(dim[0].flags) & LAST != 0
}

/// Some dimension that [`gate`] has not answered asks about the workload.
#[inline(always)]
pub fn asks_workload() -> bool {
    config!(workload) != 0 && !(gated() && config!(dim[0].kind) == DIM_WORKLOAD)
}

/// Some dimension asks about the calling process.
#[inline(always)]
pub fn asks_process() -> bool {
    config!(process) != 0
}
