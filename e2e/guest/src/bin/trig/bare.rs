//! What a program without a standard library and a C start-up has to bring along.

use crate::{args::Arena, sys};

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    "ud2",
    start = sym start,
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "bl {start}",
    "udf #0",
    start = sym start,
);

static mut ARENA: Arena = Arena::new();

/// The stack as the kernel leaves it: the count, the arguments, null, the environment, null.
extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: that is what the kernel passes; there is one thread, so nobody else has the arena.
    let status = unsafe {
        let argc = *stack;
        let argv: *const *const u8 = stack.add(1).cast();
        let arena = &raw mut ARENA;
        crate::run(argc, argv, argv.add(argc + 1), &mut *arena)
    };
    exit(status)
}

fn exit(status: i32) -> ! {
    loop {
        // SAFETY: it takes a number and does not return.
        unsafe { sys::call(sys::EXIT_GROUP, [i64::from(status), 0, 0, 0, 0, 0]) };
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(254)
}

// The compiler calls these for copies and comparisons; a C library would have them.

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::asm!("rep movsb", inout("rcx") n => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    for i in 0..n {
        // SAFETY: the caller's promise; volatile keeps this loop from becoming a call of itself.
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
    }
    to
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= n {
        // SAFETY: nothing overlaps that would be read after it was written.
        return unsafe { memcpy(to, from, n) };
    }
    for i in (0..n).rev() {
        // SAFETY: the caller's promise; volatile keeps this loop from becoming a call of itself.
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
    }
    to
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::asm!("rep stosb", inout("rcx") n => _, inout("rdi") to => _, in("al") byte as u8,
            options(nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    for i in 0..n {
        // SAFETY: the caller's promise; volatile keeps this loop from becoming a call of itself.
        unsafe { to.add(i).write_volatile(byte as u8) };
    }
    to
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    for i in 0..n {
        // SAFETY: the caller's promise; volatile keeps this loop from becoming a call of itself.
        let (x, y) = unsafe { (a.add(i).read_volatile(), b.add(i).read_volatile()) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
    }
    0
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(a, b, n) }
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut n = 0;
    // SAFETY: the caller's promise; volatile keeps this loop from becoming a call of itself.
    while unsafe { text.add(n).read_volatile() } != 0 {
        n += 1;
    }
    n
}
