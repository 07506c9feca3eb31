//! The system calls that are measured, with nothing around them.

use std::ffi::{CStr, CString};
use std::io;

/// A path or program as system calls want it.
pub(crate) fn c(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(io::Error::other)
}

/// Opens a file for reading and closes it; the errno when it cannot be opened.
pub(crate) fn open_close(path: &CStr) -> Result<(), i32> {
    // SAFETY: a string with a NUL; the descriptor is ours.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error().raw_os_error().unwrap_or_default());
        }
        libc::close(fd);
    }
    Ok(())
}

/// Forks; the child runs the program, without arguments or environment; gives the wait status.
pub(crate) fn fork_exec_wait(program: &CStr) -> io::Result<i32> {
    let arguments = [program.as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null()];
    // SAFETY: one thread; the child makes two system calls, with arrays that end with a null pointer.
    let pid = unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr());
            libc::_exit(127);
        }
        pid
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    wait(pid)
}

/// Forks; the child gives its exit code.
pub(crate) fn fork(child: impl FnOnce() -> i32) -> io::Result<i32> {
    // SAFETY: one thread.
    let pid = unsafe { libc::fork() };
    match pid {
        0 => {
            let code = child();
            // SAFETY: ends the child without what belongs to the parent.
            unsafe { libc::_exit(code) }
        }
        pid if pid < 0 => Err(io::Error::last_os_error()),
        pid => Ok(pid),
    }
}

/// Waits for a child; gives its wait status.
pub(crate) fn wait(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: a pointer to an integer that lives through the call.
    if unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(status)
}

/// CPU time of this process and the children it waited for, in ns (the kernel gives microseconds).
pub(crate) fn cpu() -> u64 {
    let one = |who| {
        // SAFETY: plain numbers, for which zero is a value; the call fills them.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(who, &raw mut usage);
            usage
        };
        let ns =
            |t: libc::timeval| t.tv_sec.unsigned_abs() * 1_000_000_000 + t.tv_usec.unsigned_abs() * 1_000;
        ns(usage.ru_utime) + ns(usage.ru_stime)
    };
    one(libc::RUSAGE_SELF) + one(libc::RUSAGE_CHILDREN)
}

/// A clock's time in ns.
pub(crate) fn clock(id: libc::clockid_t) -> io::Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a pointer to a timespec that lives through the call.
    if unsafe { libc::clock_gettime(id, &raw mut time) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs())
}

/// The clock that counts a process's CPU time.
pub(crate) fn clock_of(pid: u32) -> io::Result<libc::clockid_t> {
    let mut id = 0;
    // SAFETY: a pointer to an integer that lives through the call.
    match unsafe { libc::clock_getcpuclockid(pid.cast_signed(), &raw mut id) } {
        0 => Ok(id),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
