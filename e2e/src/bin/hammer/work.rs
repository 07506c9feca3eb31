//! What the processes do, and the memory in which they count.

use std::ffi::{CStr, CString};
use std::io::{Error, Result};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64};

/// Workers at most.
pub(crate) const WORKERS: usize = 32;
/// Phases at most.
pub(crate) const PHASES: usize = 16;
/// Where calls are counted during which a phase began.
pub(crate) const MIXED: usize = PHASES;

/// Calls of one worker in one phase.
#[repr(C)]
pub(crate) struct Count {
    pub(crate) calls: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) errno: AtomicI32,
}

/// What all processes share. All zeros at the start.
#[repr(C)]
pub(crate) struct Shared {
    started: AtomicU32,
    pub(crate) stop: AtomicU32,
    pub(crate) phase: AtomicU32,
    pub(crate) counts: [[Count; PHASES + 1]; WORKERS],
}

impl Shared {
    /// In memory that is shared with children.
    pub(crate) fn map() -> Result<&'static Shared> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: new memory of the right size; zeros are a value of a struct of atomics; it is never unmapped.
        unsafe {
            let size = size_of::<Shared>();
            let p = libc::mmap(std::ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            if p == libc::MAP_FAILED { Err(Error::last_os_error()) } else { Ok(&*p.cast()) }
        }
    }

    /// Starts the workers.
    pub(crate) fn go(&self) {
        self.started.store(1, SeqCst);
    }
}

/// What a worker does.
#[derive(Debug)]
pub(crate) struct Worker {
    /// As it was given.
    pub(crate) text: String,
    call: Call,
}

#[derive(Debug)]
enum Call {
    Lseek(i64),
    Create(String),
    Open(CString),
    Exec(CString),
}

impl Worker {
    /// From the command line.
    pub(crate) fn parse(text: &str) -> std::result::Result<Worker, String> {
        let wrong = || format!("`{text}`: right would be lseek:NUMBER, create:DIR, open:PATH or exec:PATH");
        let (kind, what) = text.split_once(':').ok_or_else(wrong)?;
        let path = || CString::new(what).map_err(|_| wrong());
        let call = match kind {
            "lseek" => Call::Lseek(what.parse().map_err(|_| wrong())?),
            "create" => Call::Create(what.to_owned()),
            "open" => Call::Open(path()?),
            "exec" => Call::Exec(path()?),
            _ => return Err(wrong()),
        };
        Ok(Worker { text: text.to_owned(), call })
    }

    /// Makes calls until told to stop. In the worker's own process.
    pub(crate) fn run(&self, index: usize, shared: &Shared, calls: u64, gap: u64) {
        while shared.started.load(SeqCst) == 0 {
            sleep(200);
        }
        let counts = &shared.counts[index];
        let mut n = 0;
        while n < calls && shared.stop.load(SeqCst) == 0 {
            let before = shared.phase.load(SeqCst) as usize;
            let errno = self.make(index as u64, n);
            let same = shared.phase.load(SeqCst) as usize == before;
            let c = &counts[if same { before.min(PHASES - 1) } else { MIXED }];
            c.calls.fetch_add(1, Relaxed);
            if errno != 0 {
                c.failed.fetch_add(1, Relaxed);
                c.errno.store(errno, Relaxed);
            }
            n += 1;
            if gap != 0 {
                sleep(gap);
            }
        }
    }

    /// One call; its errno, or 0.
    fn make(&self, index: u64, n: u64) -> i32 {
        match &self.call {
            Call::Lseek(base) => {
                let whence = base + (n % 3) as i64;
                // SAFETY: numbers only.
                outcome(unsafe { libc::syscall(libc::SYS_lseek, -1i64, index << 32 | n, whence) })
            }
            Call::Create(dir) => {
                let Ok(path) = CString::new(format!("{dir}/{}/{index}-{n}", n % 3)) else {
                    return libc::EINVAL;
                };
                let errno = open(&path, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL);
                // SAFETY: a string that lives through the call.
                unsafe { libc::unlink(path.as_ptr()) };
                errno
            }
            Call::Open(path) => open(path, libc::O_RDONLY),
            Call::Exec(path) => exec(path),
        }
    }
}

fn outcome(result: i64) -> i32 {
    if result < 0 { Error::last_os_error().raw_os_error().unwrap_or(-1) } else { 0 }
}

/// Opens and closes; the errno of the opening.
fn open(path: &CStr, flags: i32) -> i32 {
    // SAFETY: a string that lives through the call; the descriptor is our own.
    unsafe {
        let fd = libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0o600);
        let errno = outcome(fd.into());
        if fd >= 0 {
            libc::close(fd);
        }
        errno
    }
}

/// Runs a program without arguments (a number would be a system call to `trig`).
fn exec(path: &CStr) -> i32 {
    let argv = [path.as_ptr(), std::ptr::null()];
    // SAFETY: strings and arrays live through the calls; the child only executes or leaves.
    let pid = unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::execve(path.as_ptr(), argv.as_ptr(), [std::ptr::null()].as_ptr());
            libc::_exit(Error::last_os_error().raw_os_error().unwrap_or(255));
        }
        pid
    };
    match pid {
        -1 => outcome(-1),
        pid => match wait(pid) {
            Ok(true) => 0,
            Ok(false) => libc::ECHILD,
            Err(e) => e.raw_os_error().unwrap_or(-1),
        },
    }
}

fn sleep(microseconds: u64) {
    std::thread::sleep(std::time::Duration::from_micros(microseconds));
}

/// A child that does `work` and ends.
pub(crate) fn fork(work: impl FnOnce()) -> Result<i32> {
    // SAFETY: this program has one thread.
    match unsafe { libc::fork() } {
        -1 => Err(Error::last_os_error()),
        0 => {
            // It must not outlive a hammer that was killed.
            // SAFETY: a number.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            work();
            // SAFETY: ends this process without what its parent has left in buffers.
            unsafe { libc::_exit(0) }
        }
        pid => Ok(pid),
    }
}

/// Waits for a child; false: it did not end with 0.
pub(crate) fn wait(pid: i32) -> Result<bool> {
    let mut status = 0;
    // SAFETY: the kernel fills `status`.
    let r = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    if r < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0)
    }
}
