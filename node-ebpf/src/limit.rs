//! Rate limits: selectors that have let an equal event through within their window.

use crate::{
    kernel::{get, mask63, put},
    maps::*,
};
use aya_ebpf::helpers::generated;
use tetragon_abi::{engine::*, hash::Hash128, record::*};

/// Selectors with a rate limit that one call may match; what is beyond is let through.
const LIMITED: usize = 96;

/// Takes the selectors out of the record whose rate limit has been reached; 0: none is left. One
/// loop over words and bits: the verifier follows every iteration.
#[inline(never)]
pub unsafe fn limit(s: *mut Scratch, record: *mut u8, tgid: u64) -> u64 {
    unsafe {
        let now = generated::bpf_ktime_get_ns();
        let tid = generated::bpf_get_current_pid_tgid() & 0xffff_ffff;
        let list = record.add(size_of::<Call>()).cast::<u64>();
        let (todo, next) = (&raw mut (*s).group, &raw mut (*s).walk[0]);
        put(todo, 0);
        put(next, 0);
        for _ in 0..LIMITED {
            let n = get(next);
            let m = get(todo);
            if m == 0 {
                if n >= get(&raw const (*s).words) {
                    break;
                }
                let at = list.add(2 * mask63(n) as usize);
                let word: *const Word = at_word(get(at));
                let limited = if word.is_null() { 0 } else { (*word).limited };
                put(todo, get(at.add(1)) & limited);
                put(next, n + 1);
                continue;
            }
            put(todo, m & (m - 1));
            let bit = m & m.wrapping_neg();
            let at = list.add(2 * mask63(n.wrapping_sub(1)) as usize);
            if reached(s, first_act(get(at) & 63, bit), now, tid, tgid) != 0 {
                put(at.add(1), get(at.add(1)) & !bit);
            }
        }
        let mut left = 0;
        for n in 0..MAX_WORDS {
            if n as u64 >= get(&raw const (*s).words) {
                break;
            }
            left |= get(list.add(2 * n + 1));
        }
        left
    }
}

/// An equal event was let through within the selector's window.
#[inline(never)]
unsafe fn reached(s: *mut Scratch, act: *const Act, now: u64, tid: u64, tgid: u64) -> u64 {
    unsafe {
        if act.is_null() {
            return 0;
        }
        let key = LimitKey {
            id: (config!(hook) as u64) << 32 | (*act).id as u64,
            task: match (*act).scope {
                0 => tid,
                1 => tgid,
                _ => 0,
            },
            args: Hash128 { a: get(&raw const (*s).args.a), b: get(&raw const (*s).args.b) },
        };
        let k: *const u8 = (&raw const key).cast();
        let last: *const u64 = lookup(&LIMITS, k);
        if !last.is_null() && now.wrapping_sub(*last) < (*act).window_ms as u64 * 1_000_000 {
            return 1;
        }
        generated::bpf_map_update_elem(
            (&raw const LIMITS).cast_mut().cast(),
            k.cast(),
            (&raw const now).cast(),
            0,
        );
        0
    }
}
