//! The system call instruction.

pub(crate) const WRITE: i64 = 1;
pub(crate) const NANOSLEEP: i64 = 35;
pub(crate) const EXECVE: i64 = 59;
#[cfg(all(panic = "abort", not(test)))]
pub(crate) const EXIT_GROUP: i64 = 231;

/// Makes one system call and gives what the kernel returned: a negative errno when it failed.
///
/// # Safety
/// As safe as the call is.
// Always inlined: after a vfork the child would otherwise overwrite the parent's way back.
#[inline(always)]
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
