//! The record of a call, with its arguments; a full ring is counted, by policy.

use crate::{
    call::value,
    cgroups,
    kernel::{get, put, read},
    limit::limit,
    maps::*,
    read::text,
};
use aya_ebpf::helpers::generated;
use tetragon_abi::{config::*, engine::*, hash::Hash128, record::*};

/// Writes the record and sends it; a full ring is counted, by policy.
#[inline(always)]
pub unsafe fn report(s: *mut Scratch, record: *mut u8, state: u64, tgid: u32) {
    unsafe {
        let call = record.cast::<Call>();
        let words = get(&raw const (*s).words) & 127;
        (*call).header = Header {
            kind: KIND_CALL,
            len: 0,
            ktime: generated::bpf_ktime_get_ns(),
            tgid,
            tid: generated::bpf_get_current_pid_tgid() as u32,
            process: (*s).proc.ktime,
        };
        (*call).state = state;
        (*call).hook = config!(hook);
        (*call).words = words as u32;
        (*call).args = config!(args);
        (*call).pad = 0;
        (*call).cgroup = cgroups::current();
        put(&raw mut (*s).end, size_of::<Call>() as u64 + words * size_of::<Matched>() as u64);
        put(&raw mut (*s).args.a, 0);
        put(&raw mut (*s).args.b, 0);
        for a in 0..MAX_ARGS {
            if a as u32 >= config!(args) {
                break;
            }
            argument(s, record, a as u64);
        }
        let end = get(&raw const (*s).end);
        if end > RECORD_MAX as u64 || config!(limits) != 0 && limit(s, record, tgid as u64) == 0 {
            return;
        }
        (*call).header.len = end as u32;
        if output(record, end) {
            count(Lost::Sent);
        } else {
            lost(record, state);
        }
    }
}

/// Room for a text and what else an argument needs.
const ARG_ROOM: u64 = (size_of::<ArgHeader>() + TEXT_MAX + 16) as u64;

/// Writes argument `a` at the record's end.
#[inline(never)]
unsafe fn argument(s: *mut Scratch, record: *mut u8, a: u64) -> u64 {
    unsafe {
        let a = a as usize & (MAX_ARGS - 1);
        let kind = config!(arg[a].kind);
        let t = config!(arg[a].text) as usize & (MAX_TEXTS - 1);
        let is_text = kind >= ARG_STRING;
        if is_text && config!(arg[a].from) & LATE != 0 {
            text::read_text(s, kind as u64, get(value(s, a)), t as u64, config!(arg[a].from) as u64);
        }
        let end = get(&raw const (*s).end);
        if end > RECORD_MAX as u64 - ARG_ROOM {
            return 0;
        }
        let out = record.add(end as usize);
        let mut next = end + size_of::<ArgHeader>() as u64;
        let (mut v, mut len) = (get(value(s, a)), INTEGER as u64);
        if is_text {
            v = text::mode(s, t);
            len = NO_TEXT as u64;
            if let Some((pos, n)) = text::place(s, t) {
                len = n;
                let to = out.add(size_of::<ArgHeader>());
                read(to, n as u32, text::start(s, t, pos) as u64);
                next += (n + 7) & !7;
            }
        }
        put(out.cast(), v);
        put(out.cast::<u64>().add(1), len);
        if config!(limits) != 0 {
            mix(s, v, len, is_text, t);
        }
        put(&raw mut (*s).end, next);
        0
    }
}

/// Bytes of an argument that tell events apart for a rate limit.
const TOLD_APART: u64 = 40;

/// Takes an argument into the hash for rate limits.
#[inline(always)]
unsafe fn mix(s: *mut Scratch, v: u64, len: u64, is_text: bool, t: usize) {
    unsafe {
        let h = Hash128 { a: get(&raw const (*s).args.a), b: get(&raw const (*s).args.b) };
        let mut h = h.block(if is_text { 0 } else { v }, len);
        if is_text && let Some((pos, n)) = text::place(s, t) {
            let n = if n > TOLD_APART { TOLD_APART } else { n };
            for i in 0..TOLD_APART / 8 {
                if 8 * i >= n {
                    break;
                }
                h = h.block(get(text::start(s, t, pos).add(8 * i as usize).cast()), i);
            }
        }
        put(&raw mut (*s).args.a, h.a);
        put(&raw mut (*s).args.b, h.b);
    }
}

/// Counts a record that found the ring full: for the hook, and for every policy that it was for.
#[inline(never)]
unsafe fn lost(record: *mut u8, state: u64) -> u64 {
    unsafe {
        count(Lost::Call);
        let words = (*record.cast::<Call>()).words;
        let from = record.add(size_of::<Call>()).cast::<u64>().cast_const();
        for n in 0..MAX_WORDS {
            if n as u32 >= words {
                break;
            }
            let key = LostKey {
                state,
                bits: get(from.add(2 * n + 1)),
                hook: config!(hook),
                word: get(from.add(2 * n)) as u32,
            };
            let k: *const u8 = (&raw const key).cast();
            let mut c: *mut u64 = lookup(&LOST_BY, k);
            if c.is_null() {
                // Another CPU may be first: then its counter is taken.
                let zero = 0u64;
                generated::bpf_map_update_elem(
                    (&raw const LOST_BY).cast_mut().cast(),
                    k.cast(),
                    (&raw const zero).cast(),
                    1,
                );
                c = lookup(&LOST_BY, k);
            }
            if c.is_null() {
                count(Lost::Uncounted);
            } else {
                crate::kernel::add(c, 1);
            }
        }
        0
    }
}
