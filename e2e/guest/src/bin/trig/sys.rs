//! The system call instruction, and the numbers of the calls that `trig` makes by itself.

pub(crate) const WRITE: i64 = if X86 { 1 } else { 64 };
pub(crate) const NANOSLEEP: i64 = if X86 { 35 } else { 101 };
pub(crate) const EXECVE: i64 = if X86 { 59 } else { 221 };
#[cfg(all(panic = "abort", not(test)))]
pub(crate) const EXIT_GROUP: i64 = if X86 { 231 } else { 94 };
const X86: bool = cfg!(target_arch = "x86_64");

/// Makes one system call and gives what the kernel returned: a negative errno when it failed.
///
/// # Safety
/// As safe as the call is.
// Always inlined: after a vfork the child would otherwise overwrite the parent's way back.
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn call(number: i64, a: [i64; 6]) -> i64 {
    let result;
    // SAFETY: the kernel's calling convention; what it changes is named.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a[0],
            in("rsi") a[1],
            in("rdx") a[2],
            in("r10") a[3],
            in("r8") a[4],
            in("r9") a[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Makes one system call and gives what the kernel returned: a negative errno when it failed.
///
/// # Safety
/// As safe as the call is.
// Always inlined, as above.
#[inline(always)]
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn call(number: i64, a: [i64; 6]) -> i64 {
    let result;
    // SAFETY: the kernel's calling convention; it changes nothing else.
    unsafe {
        core::arch::asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") a[0] => result,
            in("x1") a[1],
            in("x2") a[2],
            in("x3") a[3],
            in("x4") a[4],
            in("x5") a[5],
            options(nostack),
        );
    }
    result
}
