//! The few system calls that the standard library does not have.

use std::ffi::CString;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn c(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(io::Error::other)
}

/// Mounts a file system that has no device.
pub(crate) fn mount(kind: &str, at: &str, options: &str) -> io::Result<()> {
    std::fs::create_dir_all(at)?;
    let (kind, at, options) = (c(kind)?, c(at)?, c(options)?);
    // SAFETY: four strings that live through the call.
    check(unsafe { libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) })?;
    Ok(())
}

/// Loads a kernel module.
pub(crate) fn load_module(file: &Path) -> io::Result<()> {
    let file = std::fs::File::open(file)?;
    // SAFETY: an open file and a string.
    let result = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The host name.
pub(crate) fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: a pointer and its length.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })?;
    Ok(())
}

/// Sets a network interface up.
pub(crate) fn interface_up(name: &str) -> io::Result<()> {
    // SAFETY: plain data, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes()) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: a socket of our own, closed again; the request is what this ioctl takes.
    unsafe {
        let socket = check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
        let result = check(libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request));
        libc::close(socket);
        result?;
    }
    Ok(())
}

/// Sets the clock.
pub(crate) fn set_clock(nanoseconds: u64) -> io::Result<()> {
    let time = libc::timespec {
        tv_sec: (nanoseconds / 1_000_000_000).cast_signed(),
        tv_nsec: (nanoseconds % 1_000_000_000).cast_signed(),
    };
    // SAFETY: a timespec that lives through the call.
    check(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) })?;
    Ok(())
}

/// Waits for one of the descriptors to be ready to read, or hung up.
pub(crate) fn poll(fds: &mut [libc::pollfd]) -> io::Result<()> {
    // SAFETY: an array and its length.
    let result = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, -1) };
    match check(result) {
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(()),
        other => other.map(|_| ()),
    }
}

/// A descriptor that can be read when a child changes its state. The signal is blocked here, and must be
/// unblocked in children (the standard library does that).
pub(crate) fn child_signals() -> io::Result<std::fs::File> {
    use std::os::fd::FromRawFd;
    // SAFETY: the set is filled before it is used; the descriptor is new and ours.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))?;
        let fd = check(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(std::fs::File::from_raw_fd(fd))
    }
}

/// The next child that ended: pid and wait status.
pub(crate) fn reap() -> Option<(u32, i32)> {
    let mut status = 0;
    // SAFETY: a pointer to an integer that lives through the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then(|| (pid.cast_unsigned(), status))
}

/// Sends a signal.
pub(crate) fn kill(pid: u32, signal: i32) -> io::Result<()> {
    // SAFETY: two numbers.
    check(unsafe { libc::kill(pid.cast_signed(), signal) })?;
    Ok(())
}

/// Makes reads of this descriptor return at once.
pub(crate) fn set_nonblocking(fd: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: an open descriptor.
    unsafe {
        let flags = check(libc::fcntl(fd.as_raw_fd(), libc::F_GETFL))?;
        check(libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK))?;
    }
    Ok(())
}

/// In a new child: gives it an empty signal mask, and with `terminal` a session whose controlling terminal
/// is its standard input.
pub(crate) fn before_exec(terminal: bool) -> io::Result<()> {
    // SAFETY: called between fork and exec; only system calls.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()))?;
        check(libc::setsid())?;
        if terminal {
            check(libc::ioctl(0, libc::TIOCSCTTY, 1))?;
        }
    }
    Ok(())
}

/// Writes everything out and ends the guest.
pub(crate) fn power_off() -> ! {
    loop {
        // SAFETY: two calls without pointers.
        unsafe {
            libc::sync();
            libc::reboot(libc::RB_POWER_OFF);
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}
