//! The call: its process, its arguments as integers, and the answers of its dimensions.

use crate::{
    kernel::{get, put},
    maps::*,
};
use tetragon_abi::engine::*;

/// The words of `Scratch::entry[d]`: sum, bits, word and set.
#[inline(always)]
pub unsafe fn entry(s: *mut Scratch, d: usize) -> *mut u64 {
    unsafe { (&raw mut (*s).entry).cast::<u64>().add(3 * d) }
}

/// What the kernel knows of process `tgid`; zeros if nothing.
#[inline(always)]
pub unsafe fn process(to: *mut Proc, tgid: u32) {
    unsafe {
        let p: *const u64 = lookup(&PROCS, (&raw const tgid).cast());
        let to = to.cast::<u64>();
        for i in 0..size_of::<Proc>() / 8 {
            put(to.add(i), if p.is_null() { 0 } else { *p.add(i) });
        }
    }
}

/// Reads the arguments as the integers that they are; a text's stays a pointer.
#[inline(always)]
pub unsafe fn integers(s: *mut Scratch) {
    unsafe {
        for a in 0..MAX_ARGS {
            if a as u32 >= config!(args) {
                break;
            }
            let v = get((&raw const (*s).given).cast::<u64>().add(config!(arg[a].raw) as usize & 7));
            let x = match config!(arg[a].kind) {
                0x11 => v as i8 as i64 as u64,
                0x12 => v as i16 as i64 as u64,
                0x14 => v as i32 as i64 as u64,
                0x21 => v as u8 as u64,
                0x22 => v as u16 as u64,
                0x24 => v as u32 as u64,
                _ => v,
            };
            put(value(s, a), x);
        }
    }
}

#[inline(always)]
pub unsafe fn value(s: *mut Scratch, a: usize) -> *mut u64 {
    unsafe { (&raw mut (*s).value).cast::<u64>().add(a & (MAX_ARGS - 1)) }
}
