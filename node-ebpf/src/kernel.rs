//! Small things that the kernel or the instruction set has and Rust has not.

use aya_ebpf::helpers::generated;
use core::{
    arch::asm,
    ptr::{read_volatile, write_volatile},
};

/// Reads `len` bytes of kernel memory into `to`. The result is not looked at: the helper zeroes
/// `to` when it fails, and a branch for each read would double what the verifier has to follow.
///
/// # Safety
/// `to` must be valid for `len` bytes.
#[inline(always)]
pub unsafe fn read(to: *mut u8, len: u32, from: u64) {
    unsafe { generated::bpf_probe_read_kernel(to.cast(), len, from as *const _) };
}

/// Reads one word of kernel memory.
#[inline(always)]
pub fn word(from: u64) -> u64 {
    let mut v = 0u64;
    // SAFETY: v is 8 bytes.
    unsafe { read((&raw mut v).cast(), 8, from) };
    // SAFETY: initialised; volatile so that it is read where the helper wrote it.
    unsafe { read_volatile(&raw const v) }
}

/// Reads 32 bits of kernel memory.
#[inline(always)]
pub fn half(from: u64) -> u32 {
    let mut v = 0u32;
    // SAFETY: v is 4 bytes.
    unsafe { read((&raw mut v).cast(), 4, from) };
    // SAFETY: as in `word`.
    unsafe { read_volatile(&raw const v) }
}

/// A load that stays where it is: loop state lives in map memory, so that every iteration looks the
/// same to the verifier. Unaligned too: LLVM would take an unaligned load apart into bytes, and the
/// kernels of x86 and arm64 accept it.
///
/// # Safety
/// `p` must be readable.
#[inline(always)]
pub unsafe fn get(p: *const u64) -> u64 {
    unsafe { read_volatile(p) }
}

/// The store to [`get`].
///
/// # Safety
/// `p` must be writable.
#[inline(always)]
pub unsafe fn put(p: *mut u64, v: u64) {
    unsafe { write_volatile(p, v) }
}

/// Adds to a word that others may change. core's atomics are not there for this target; the
/// instruction is, on all kernels.
///
/// # Safety
/// `p` must be an aligned word.
#[inline(always)]
pub unsafe fn add(p: *mut u64, v: u64) {
    unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) p, in(reg) v, options(nostack)) }
}

/// `x & 63` that stays: LLVM knows that a bit's index is below 64 and would drop the mask, the
/// verifier does not know it. (An empty asm would leave two line records at one offset.)
#[inline(always)]
pub fn mask63(mut x: u64) -> u64 {
    // SAFETY: changes a register.
    unsafe { asm!("{0} &= 63", inlateout(reg) x, options(nomem, nostack)) };
    x
}

/// `x & 0xfff` that stays.
#[inline(always)]
pub fn mask4095(mut x: u64) -> u64 {
    // SAFETY: changes a register.
    unsafe { asm!("{0} &= 4095", inlateout(reg) x, options(nomem, nostack)) };
    x
}

/// `-errno` for an errno below 4096, in a way whose bounds the verifier can follow (it forgets them
/// at a negation): an LSM program may return nothing else.
#[inline(always)]
pub fn negative(errno: u64) -> i64 {
    let mut r: i64 = 0;
    // SAFETY: changes a register.
    unsafe { asm!("{0} -= {1}", inlateout(reg) r, in(reg) errno, options(nomem, nostack)) };
    r
}

// Calls of kernel functions: an instruction `call imm` with src_reg 2. The agent puts the function's
// BTF id in place of the marker, or, where the kernel has no such function, makes it `r0 = 0`.

/// Switches preemption off (6.10 and later).
#[inline(always)]
pub fn preempt_disable() {
    // SAFETY: a call clobbers r0 to r5.
    unsafe {
        asm!(".8byte 0x4b46000100002085", lateout("r0") _, lateout("r1") _, lateout("r2") _, lateout("r3") _, lateout("r4") _, lateout("r5") _)
    }
}

/// Switches it on again.
#[inline(always)]
pub fn preempt_enable() {
    // SAFETY: as above.
    unsafe {
        asm!(".8byte 0x4b46000200002085", lateout("r0") _, lateout("r1") _, lateout("r2") _, lateout("r3") _, lateout("r4") _, lateout("r5") _)
    }
}
