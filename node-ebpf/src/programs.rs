//! The programs of a hook, by backend: a stub and an engine each. What differs between backends is
//! only how arguments lie in the context, and what may be returned.

use crate::{
    engine::{NOBODY, gate, judge},
    kernel::{get, negative, preempt_disable, preempt_enable, put, read},
    maps::*,
};
use aya_ebpf::{EbpfContext, helpers::generated, macros::*, programs::*};
use core::ffi::c_void;

/// Offsets of arguments in struct pt_regs, by architecture. Those of a system call are the caller's.
#[cfg(bpf_target_arch = "x86_64")]
mod registers {
    // arch/x86/include/asm/ptrace.h
    const R10: usize = 56;
    const R9: usize = 64;
    const R8: usize = 72;
    const CX: usize = 88;
    const DX: usize = 96;
    const SI: usize = 104;
    const DI: usize = 112;

    pub const FUNCTION: [usize; 6] = [DI, SI, DX, CX, R8, R9];
    pub const SYSCALL: [usize; 6] = [DI, SI, DX, R10, R8, R9];
    /// Where the registers of a system call's arguments begin and end.
    pub const SPAN: (usize, usize) = (R10, DI + 8);
}
#[cfg(bpf_target_arch = "aarch64")]
mod registers {
    // x0 to x5: struct pt_regs begins with struct user_pt_regs, and that with x0
    // (arch/arm64/include/uapi/asm/ptrace.h).
    pub const FUNCTION: [usize; 6] = [0, 8, 16, 24, 32, 40];
    pub const SYSCALL: [usize; 6] = FUNCTION;
    /// Where the registers of a system call's arguments begin and end.
    pub const SPAN: (usize, usize) = (0, 48);
}
use registers::{FUNCTION, SPAN, SYSCALL};

/// Reads the state word, once, and goes on in the engine of the slot that it names. Returns only
/// when that slot has no engine for this hook.
#[inline(always)]
fn stub(ctx: *mut c_void) {
    // SAFETY: STATE has u64 values; the context is the program's own.
    unsafe {
        let word: *const u64 = at(&STATE, 0);
        if !word.is_null() {
            generated::bpf_tail_call(ctx, (&raw const ENGINES).cast_mut().cast(), (get(word) & 1) as u32);
        }
    }
}

/// Runs the engine over the arguments that `arguments` puts into `Scratch::given`.
#[inline(always)]
fn engine(arguments: impl FnOnce(*mut Scratch)) -> u64 {
    let first = gate();
    if first == NOBODY {
        return 0;
    }
    if config!(preempt) != 0 {
        preempt_disable();
    }
    let mut errno = 0;
    if let Some(s) = claim() {
        arguments(s);
        // SAFETY: claimed.
        unsafe {
            errno = judge(s, first as u64);
            release(s);
        }
    }
    if config!(preempt) != 0 {
        preempt_enable();
    }
    errno
}

#[inline(always)]
unsafe fn given(s: *mut Scratch, i: usize, v: u64) {
    unsafe { put((&raw mut (*s).given).cast::<u64>().add(i), v) };
}

/// Arguments of a function from its registers; those of a system call lie behind the first, in the
/// registers of the caller.
#[inline(always)]
unsafe fn registers(s: *mut Scratch, ctx: *const u8) {
    unsafe {
        let r = |o: usize| *ctx.add(o).cast::<u64>();
        if config!(syscall) != 0 {
            let w = (&raw mut (*s).walk).cast::<u64>();
            user_registers(s, w, r(FUNCTION[0]));
        } else {
            given(s, 0, r(FUNCTION[0]));
            given(s, 1, r(FUNCTION[1]));
            given(s, 2, r(FUNCTION[2]));
            given(s, 3, r(FUNCTION[3]));
            given(s, 4, r(FUNCTION[4]));
            given(s, 5, r(FUNCTION[5]));
        }
    }
}

/// Arguments of a system call from the caller's registers at `regs`.
#[inline(always)]
unsafe fn user_registers(s: *mut Scratch, w: *mut u64, regs: u64) {
    unsafe {
        read(w.cast(), (SPAN.1 - SPAN.0) as u32, regs + SPAN.0 as u64);
        for (i, o) in SYSCALL.into_iter().enumerate() {
            given(s, i, get(w.add((o - SPAN.0) / 8)));
        }
    }
}

/// Arguments from a context that is an array of them. The verifier refuses a look at more than the
/// function has.
#[inline(always)]
unsafe fn array(s: *mut Scratch, ctx: *const u64) {
    unsafe {
        macro_rules! take { ($($i:literal)*) => { $( if config!(raw_args) > $i { given(s, $i, core::ptr::read_volatile(ctx.add($i))); } )* } }
        take!(0 1 2 3 4 5);
    }
}

#[kprobe]
pub fn stub_kprobe(ctx: ProbeContext) -> u32 {
    stub(ctx.as_ptr());
    0
}

#[kprobe]
pub fn engine_kprobe(ctx: ProbeContext) -> u32 {
    // SAFETY: the context is a pt_regs.
    engine(|s| unsafe { registers(s, ctx.as_ptr().cast()) });
    0
}

#[fentry(function = "any")]
pub fn stub_fentry(ctx: FEntryContext) -> i32 {
    stub(ctx.as_ptr());
    0
}

#[fentry(function = "any")]
pub fn engine_fentry(ctx: FEntryContext) -> i32 {
    // SAFETY: the context is an array of the function's arguments.
    engine(|s| unsafe {
        let ctx = ctx.as_ptr().cast::<u64>();
        if config!(syscall) != 0 {
            user_registers(s, (&raw mut (*s).walk).cast(), core::ptr::read_volatile(ctx));
        } else {
            array(s, ctx);
        }
    });
    0
}

#[raw_tracepoint]
pub fn stub_raw_tracepoint(ctx: RawTracePointContext) -> i32 {
    stub(ctx.as_ptr());
    0
}

#[raw_tracepoint]
pub fn engine_raw_tracepoint(ctx: RawTracePointContext) -> i32 {
    // SAFETY: the context is an array of the tracepoint's arguments.
    engine(|s| unsafe { array(s, ctx.as_ptr().cast()) });
    0
}

#[tracepoint]
pub fn stub_tracepoint(ctx: TracePointContext) -> u32 {
    stub(ctx.as_ptr());
    0
}

#[tracepoint]
pub fn engine_tracepoint(ctx: TracePointContext) -> u32 {
    // SAFETY: the helper checks what it reads; field offsets come from the format file.
    engine(|s| unsafe {
        let base = ctx.as_ptr() as u64;
        for i in 0..tetragon_abi::engine::MAX_ARGS {
            if i as u32 >= config!(raw_args) {
                break;
            }
            read((&raw mut (*s).given).cast::<u64>().add(i).cast(), 8, base + config!(field[i]) as u64);
        }
    });
    0
}

#[lsm(hook = "any")]
pub fn stub_lsm(ctx: LsmContext) -> i32 {
    stub(ctx.as_ptr());
    0
}

/// By hand, not with the macro: it would drop the return value. The argument after the last is what
/// programs before this one have returned.
#[unsafe(no_mangle)]
#[unsafe(link_section = "lsm/any_engine")]
pub extern "C" fn engine_lsm(ctx: *mut c_void) -> i64 {
    // SAFETY: the context is an array of the hook's arguments.
    let errno = engine(|s| unsafe { array(s, ctx.cast()) });
    if config!(deny) == 0 {
        return 0;
    }
    negative(errno & 0xfff)
}
