//! The first selector of each policy acts: what is to be reported, signalled and denied.

use crate::{
    kernel::{get, mask63, put},
    maps::*,
};
use aya_ebpf::helpers::generated;
use tetragon_abi::{engine::*, record::*};

/// The first selector of each policy, word by word: what is to be reported and done.
#[inline(always)]
pub unsafe fn decide(s: *mut Scratch, record: *mut u8) {
    unsafe {
        let set = (&raw mut (*s).set).cast::<u64>();
        let out = record.add(size_of::<Call>()).cast::<u64>();
        let todo = &raw mut (*s).group;
        put(todo, get(&raw const (*s).live));
        put(&raw mut (*s).kill, 0);
        put(&raw mut (*s).signal_bits, 0);
        put(&raw mut (*s).deny_bits, 0);
        for _ in 0..MAX_WORDS {
            let m = get(todo);
            if m == 0 {
                break;
            }
            put(todo, m & (m - 1));
            let w = mask63(m.trailing_zeros() as u64);
            let r = get(set.add(w as usize));
            if r == 0 {
                continue;
            }
            let word: *const Word = at(&WORDS, w as u32);
            if word.is_null() {
                break;
            }
            // The lowest set bit of each policy's field, all fields at once.
            let (a, b, h) = (!r, (*word).start, (*word).top);
            let first = r & (((a & !h).wrapping_add(b & !h)) ^ ((a ^ b) & h));
            put(&raw mut (*s).kill, get(&raw const (*s).kill) | (first & (*word).kill));
            remember(&raw mut (*s).signal_bits, &raw mut (*s).signal_at, first & (*word).signal, w);
            remember(&raw mut (*s).deny_bits, &raw mut (*s).deny_at, first & (*word).deny, w);
            let report = first & (*word).post;
            if report != 0 {
                let n = get(&raw const (*s).words);
                put(&raw mut (*s).words, n + 1);
                let to = out.add(2 * mask63(n) as usize);
                put(to, w);
                put(to.add(1), report);
            }
        }
    }
}

/// Keeps the first word with bits.
#[inline(always)]
unsafe fn remember(bits: *mut u64, at: *mut u64, new: u64, w: u64) {
    unsafe {
        if new != 0 && get(bits) == 0 {
            put(bits, new);
            put(at, w);
        }
    }
}

/// Signals, and returns the errno to deny with. Where several policies ask for different ones,
/// SIGKILL wins, else the first.
#[inline(always)]
pub unsafe fn act(s: *mut Scratch) -> u64 {
    unsafe {
        if get(&raw const (*s).kill) != 0 {
            generated::bpf_send_signal(9);
        } else if get(&raw const (*s).signal_bits) != 0 {
            let a = first_act(get(&raw const (*s).signal_at), get(&raw const (*s).signal_bits));
            if !a.is_null() {
                generated::bpf_send_signal((*a).signal as u32);
            }
        }
        if get(&raw const (*s).deny_bits) != 0 {
            let a = first_act(get(&raw const (*s).deny_at), get(&raw const (*s).deny_bits));
            if !a.is_null() {
                return (*a).errno as u64;
            }
        }
        0
    }
}
