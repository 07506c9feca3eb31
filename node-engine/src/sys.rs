//! The bpf(2) and perf_event_open(2) system calls, as far as the engine needs them.
//!
//! The engine creates its maps and loads its programs itself, because it decides at load what a
//! loader library takes from the object file: sizes of maps, which maps two programs share, which
//! function a program is attached to, calls of kernel functions.
//!
//! Attribute layouts: `union bpf_attr` in include/uapi/linux/bpf.h.

use std::ffi::CString;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::OnceLock;

/// `enum bpf_map_type`.
pub const MAP_ARRAY: u32 = 2;
/// `enum bpf_map_type`.
pub const MAP_ARRAY_OF_MAPS: u32 = 12;
/// `BPF_F_NO_PREALLOC`.
pub const NO_PREALLOC: u32 = 1;
/// `BPF_F_RDONLY_PROG`.
pub const RDONLY_PROG: u32 = 1 << 7;
/// `BPF_NOEXIST` of an update.
pub const NOEXIST: u64 = 1;

/// `enum bpf_prog_type`.
pub const PROG_KPROBE: u32 = 2;
/// `enum bpf_prog_type`.
pub const PROG_TRACEPOINT: u32 = 5;
/// `enum bpf_prog_type`.
pub const PROG_RAW_TRACEPOINT: u32 = 17;
/// `enum bpf_prog_type`.
pub const PROG_TRACING: u32 = 26;
/// `enum bpf_prog_type`.
pub const PROG_LSM: u32 = 29;
/// `enum bpf_attach_type`.
pub const ATTACH_FENTRY: u32 = 24;
/// `enum bpf_attach_type`.
pub const ATTACH_LSM: u32 = 27;
const ATTACH_PERF_EVENT: u32 = 41;

/// `union bpf_attr`: zeros, and what is written at byte offsets.
#[repr(C, align(8))]
struct Attr([u8; 144]);

impl Attr {
    fn new() -> Self {
        Attr([0; 144])
    }
    fn u32(mut self, at: usize, v: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&v.to_ne_bytes());
        self
    }
    fn u64(mut self, at: usize, v: u64) -> Self {
        self.0[at..at + 8].copy_from_slice(&v.to_ne_bytes());
        self
    }
    fn ptr<T>(self, at: usize, p: *const T) -> Self {
        self.u64(at, p as u64)
    }
    /// A name: at most 15 characters that the kernel allows.
    fn name(mut self, at: usize, name: &str) -> Self {
        let ok = name.bytes().map(|c| if c.is_ascii_alphanumeric() || c == b'_' { c } else { b'_' });
        for (to, c) in self.0[at..at + 15].iter_mut().zip(ok) {
            *to = c;
        }
        self
    }
    fn read(&self, at: usize) -> u32 {
        u32::from_ne_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }
    /// `size`: how much of the attribute the oldest kernel that has the command knows.
    fn call(&mut self, command: i32, size: usize) -> Result<i32> {
        // SAFETY: the attribute outlives the call; pointers in it are valid by the callers' types.
        let r = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), size) };
        if r < 0 { Err(Error::last_os_error()) } else { Ok(r as i32) }
    }
    fn fd(&mut self, command: i32, size: usize) -> Result<OwnedFd> {
        let fd = self.call(command, size)?;
        // SAFETY: the kernel has just given it to us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// While it lives, no ordinary task takes the CPU from this thread.
///
/// The kernel runs no kprobe on a CPU where a task is inside an access to a map. A preemptible kernel
/// may put that task aside for a whole time slice, and every call of the functions that are watched
/// would go unseen there meanwhile.
///
/// Held for one access or a short batch, never across what waits or takes long: other tasks of this
/// CPU stand still.
struct Undisturbed {
    raised: bool,
}

impl Undisturbed {
    fn new() -> Undisturbed {
        static ORDINARY: OnceLock<bool> = OnceLock::new();
        // An agent that was started with another policy keeps that.
        // SAFETY: a number.
        let ordinary = *ORDINARY.get_or_init(|| unsafe { libc::sched_getscheduler(0) } == libc::SCHED_OTHER);
        // Without CAP_SYS_NICE it fails, and accesses are as they were.
        Undisturbed { raised: ordinary && set_policy(libc::SCHED_FIFO, 1).is_ok() }
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        if self.raised
            && let Err(e) = set_policy(libc::SCHED_OTHER, 0)
        {
            tracing::error!("a thread of the agent stays in the scheduling policy SCHED_FIFO: {e}");
        }
    }
}

/// Sets this thread's scheduling policy.
fn set_policy(policy: i32, priority: i32) -> Result<()> {
    let param = libc::sched_param { sched_priority: priority };
    // SAFETY: reads the struct.
    if unsafe { libc::sched_setscheduler(0, policy, &raw const param) } < 0 {
        return Err(Error::last_os_error());
    }
    Ok(())
}

/// Elements of one batch: a batch goes undisturbed, so it must be short.
const BATCH: usize = 256;

/// A map, with the sizes that its updates need.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    /// Bytes of a key.
    pub key: usize,
    /// Bytes of a value (of one CPU's).
    pub value: usize,
}

/// What a map is made of.
#[derive(Clone, Copy, Debug)]
pub struct MapSpec<'a> {
    /// Its name in the kernel.
    pub name: &'a str,
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes of a key.
    pub key: u32,
    /// Bytes of a value.
    pub value: u32,
    /// Most entries; bytes of a ring buffer.
    pub entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// For a map of maps: a map like those inside.
    pub inner: Option<&'a Map>,
}

impl Map {
    /// Creates a map.
    pub fn create(spec: MapSpec<'_>) -> Result<Map> {
        let inner = spec.inner.map_or(0, |m| m.raw() as u32);
        let fd = Attr::new()
            .u32(0, spec.kind)
            .u32(4, spec.key)
            .u32(8, spec.value)
            .u32(12, spec.entries)
            .u32(16, spec.flags)
            .u32(20, inner)
            .name(28, spec.name)
            .fd(0, 72)?;
        Ok(Map { fd, key: spec.key as usize, value: spec.value as usize })
    }
    /// The file descriptor.
    pub fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
    /// Opens a pinned map.
    pub fn open(path: &Path, key: usize, value: usize) -> Result<Map> {
        Ok(Map { fd: get_pinned(path)?, key, value })
    }
    /// Sets one element.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<()> {
        let _undisturbed = Undisturbed::new();
        self.write(key, value, flags)
    }
    fn write(&self, key: &[u8], value: &[u8], flags: u64) -> Result<()> {
        debug_assert_eq!(key.len(), self.key);
        Attr::new()
            .u32(0, self.raw() as u32)
            .ptr(8, key.as_ptr())
            .ptr(16, value.as_ptr())
            .u64(24, flags)
            .call(2, 32)
            .map(drop)
    }
    /// Sets element `index` of an array of programs or maps. The kernel changes its own code for it, or
    /// waits for programs that run, and disturbs no kprobe meanwhile: other tasks may go on.
    pub fn set_fd(&self, index: u32, fd: RawFd) -> Result<()> {
        self.write(&index.to_ne_bytes(), &fd.to_ne_bytes(), 0)
    }
    /// Empties element `index` of an array of programs; it may be empty.
    pub fn clear_fd(&self, index: u32) -> Result<()> {
        self.remove(&index.to_ne_bytes()).map(drop)
    }
    /// Sets element `index` of an array.
    pub fn set<T: Plain>(&self, index: u32, value: &T) -> Result<()> {
        self.update(&index.to_ne_bytes(), bytes(value), 0)
    }
    /// Sets many elements; few calls where the kernel can.
    pub fn update_many(&self, keys: &[u8], values: &[u8]) -> Result<()> {
        let values = values.chunks(BATCH * self.value);
        keys.chunks(BATCH * self.key).zip(values).try_for_each(|(k, v)| self.update_batch(k, v))
    }
    fn update_batch(&self, keys: &[u8], values: &[u8]) -> Result<()> {
        let n = keys.len() / self.key;
        if n > 1 {
            let _undisturbed = Undisturbed::new();
            let done = Attr::new()
                .ptr(16, keys.as_ptr())
                .ptr(24, values.as_ptr())
                .u32(32, n as u32)
                .u32(36, self.raw() as u32)
                .call(26, 56);
            if done.is_ok() {
                return Ok(());
            }
        }
        keys.chunks_exact(self.key)
            .zip(values.chunks_exact(self.value))
            .try_for_each(|(k, v)| self.update(k, v, 0))
    }
    /// Reads one element into `value` (of a per-CPU map: of all possible CPUs). False: not there.
    pub fn lookup(&self, key: &[u8], value: &mut [u8]) -> Result<bool> {
        let _undisturbed = Undisturbed::new();
        let r = Attr::new()
            .u32(0, self.raw() as u32)
            .ptr(8, key.as_ptr())
            .ptr(16, value.as_mut_ptr())
            .call(1, 32);
        match r {
            Ok(_) => Ok(true),
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(e) => Err(e),
        }
    }
    /// Deletes one element. False: it was not there.
    pub fn delete(&self, key: &[u8]) -> Result<bool> {
        let _undisturbed = Undisturbed::new();
        self.remove(key)
    }
    fn remove(&self, key: &[u8]) -> Result<bool> {
        match Attr::new().u32(0, self.raw() as u32).ptr(8, key.as_ptr()).call(3, 32) {
            Ok(_) => Ok(true),
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(e) => Err(e),
        }
    }
    /// The key after `key` (`None`: the first).
    pub fn next_key(&self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
        let mut next = vec![0; self.key];
        let from = key.map_or(std::ptr::null(), <[u8]>::as_ptr);
        let _undisturbed = Undisturbed::new();
        match Attr::new().u32(0, self.raw() as u32).ptr(8, from).ptr(16, next.as_mut_ptr()).call(4, 24) {
            Ok(_) => Ok(Some(next)),
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }
    /// All elements.
    pub fn elements(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut all = Vec::new();
        let mut at: Option<Vec<u8>> = None;
        while let Some(k) = self.next_key(at.as_deref())? {
            let mut v = vec![0; self.value];
            if self.lookup(&k, &mut v)? {
                all.push((k.clone(), v));
            }
            at = Some(k);
        }
        Ok(all)
    }
    /// Makes it read-only for user space: the verifier then knows its values.
    pub fn freeze(&self) -> Result<()> {
        Attr::new().u32(0, self.raw() as u32).call(22, 4).map(drop)
    }
    /// Pins it.
    pub fn pin(&self, path: &Path) -> Result<()> {
        pin(&self.fd, path)
    }
    /// Locked memory in bytes, as the kernel counts it.
    pub fn memlock(&self) -> u64 {
        fdinfo(&self.fd, "memlock:").unwrap_or(0)
    }
}

/// A number from a descriptor's fdinfo.
fn fdinfo(fd: &OwnedFd, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    text.lines().find_map(|l| l.strip_prefix(key))?.trim().parse().ok()
}

/// Types that are nothing but bytes: no padding that is not named, no pointers.
///
/// # Safety
/// `repr(C)`, every byte initialised.
pub unsafe trait Plain {}

macro_rules! plain { ($($t:ty)*) => { $(
    // SAFETY: repr(C) in tetragon-abi, sizes checked there; no padding.
    unsafe impl Plain for $t {}
)* } }
plain!(u32 u64 [u64; 2] tetragon_abi::cgroup::Cgroup
    tetragon_abi::engine::Entry tetragon_abi::engine::Set
    tetragon_abi::engine::Head tetragon_abi::engine::Word tetragon_abi::engine::Act
    tetragon_abi::engine::Proc tetragon_abi::engine::Exe tetragon_abi::engine::LostKey
    tetragon_abi::hash::Hash128 tetragon_abi::config::HookConfig tetragon_abi::config::Offsets);

/// The bytes of a value.
pub fn bytes<T: Plain>(v: &T) -> &[u8] {
    // SAFETY: T is Plain.
    unsafe { std::slice::from_raw_parts((v as *const T).cast(), size_of::<T>()) }
}

/// A value from bytes, which must be enough.
pub fn from_bytes<T: Plain + Copy>(b: &[u8]) -> Option<T> {
    if b.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: long enough; T is Plain, any bytes are a value of the integers it is made of.
    Some(unsafe { std::ptr::read_unaligned(b.as_ptr().cast()) })
}

/// What a program is loaded with.
#[derive(Clone, Copy, Debug)]
pub struct ProgramSpec<'a> {
    /// Its name in the kernel.
    pub name: &'a str,
    /// `enum bpf_prog_type`.
    pub kind: u32,
    /// `enum bpf_attach_type`, or 0.
    pub attach: u32,
    /// BTF id of the function, or 0.
    pub btf_id: u32,
    /// Instructions, 8 bytes each.
    pub code: &'a [u8],
}

/// Why the kernel refused a program.
#[derive(Debug, thiserror::Error)]
#[error("the kernel refused program {name}: {error}{}", reason(error, log))]
pub struct LoadError {
    /// The program.
    pub name: String,
    /// The system call's error.
    #[source]
    pub error: Error,
    /// The verifier's log.
    pub log: String,
}

impl LoadError {
    /// The kernel does not allow programs of this kind at all.
    pub fn is_forbidden(&self) -> bool {
        self.log.is_empty() && self.error.kind() == std::io::ErrorKind::PermissionDenied
    }
}

/// What is known of why a program was refused.
fn reason(error: &Error, log: &str) -> String {
    if !log.is_empty() {
        return format!("; verifier: {}", last_lines(log));
    }
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        return "; this kernel does not allow programs of this kind (lockdown=confidentiality), or the agent lacks \
                CAP_BPF, CAP_PERFMON or CAP_SYS_ADMIN"
            .into();
    }
    String::new()
}

/// The end of a verifier log, where the reason stands, on one line.
fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().filter(|l| !l.starts_with("processed ")).collect();
    lines[lines.len().saturating_sub(6)..].join(" | ")
}

/// Loads a program. The log is asked for only when that failed: a log that overflows fails a load
/// on old kernels.
pub fn load(spec: ProgramSpec<'_>) -> std::result::Result<OwnedFd, LoadError> {
    let error = match try_load(spec, &mut []) {
        Ok(fd) => return Ok(fd),
        Err(e) => e,
    };
    let mut log = vec![0u8; 4 << 20];
    match try_load(spec, &mut log) {
        Ok(fd) => Ok(fd),
        Err(_) => {
            let end = log.iter().position(|b| *b == 0).unwrap_or(log.len());
            let log = String::from_utf8_lossy(&log[..end]).into_owned();
            Err(LoadError { name: spec.name.to_owned(), error, log })
        }
    }
}

fn try_load(spec: ProgramSpec<'_>, log: &mut [u8]) -> Result<OwnedFd> {
    let at = if log.is_empty() { std::ptr::null_mut() } else { log.as_mut_ptr() };
    Attr::new()
        .u32(0, spec.kind)
        .u32(4, (spec.code.len() / 8) as u32)
        .ptr(8, spec.code.as_ptr())
        .ptr(16, c"GPL".as_ptr())
        .u32(24, u32::from(!log.is_empty()))
        .u32(28, log.len() as u32)
        .ptr(32, at)
        .name(48, spec.name)
        .u32(68, spec.attach)
        .u32(108, spec.btf_id)
        .fd(5, 120)
}

/// The kernel takes programs of this kind: one that does nothing is loaded, and let go.
pub fn takes(kind: u32, attach: u32, btf_id: u32) -> bool {
    // r0 = 0; exit
    let code = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    try_load(ProgramSpec { name: "tg_probe", kind, attach, btf_id, code: &code }, &mut []).is_ok()
}

/// What the kernel counts of a program.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunStats {
    /// Times it ran (needs `kernel.bpf_stats_enabled`).
    pub count: u64,
    /// Time it took, in ns.
    pub time_ns: u64,
    /// Runs that were skipped (5.12 and later).
    pub misses: u64,
    /// Locked memory.
    pub memlock: u64,
}

/// Reads a program's counters.
pub fn run_stats(prog: &OwnedFd) -> RunStats {
    // struct bpf_prog_info: run_time_ns at 192, run_cnt at 200, recursion_misses at 208.
    let mut info = [0u8; 256];
    let mut a =
        Attr::new().u32(0, prog.as_raw_fd() as u32).u32(4, info.len() as u32).ptr(8, info.as_mut_ptr());
    let len = if a.call(15, 16).is_ok() { a.read(4) as usize } else { 0 };
    let word = |at: usize| if at + 8 <= len { from_bytes(&info[at..]).unwrap_or(0) } else { 0 };
    RunStats {
        time_ns: word(192),
        count: word(200),
        misses: word(208),
        memlock: fdinfo(prog, "memlock:").unwrap_or(0),
    }
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| Error::from_raw_os_error(libc::EINVAL))
}

/// Runs a raw tracepoint's program once, with these arguments; what it returns.
pub fn run(prog: &OwnedFd, args: &[u64]) -> Result<u32> {
    let mut attr =
        Attr::new().u32(0, prog.as_raw_fd() as u32).u32(40, size_of_val(args) as u32).ptr(48, args.as_ptr());
    attr.call(10, 72)?;
    Ok(attr.read(4))
}

/// Pins an object of bpf(2) to bpffs.
pub fn pin(fd: &OwnedFd, path: &Path) -> Result<()> {
    let p = c_path(path)?;
    Attr::new().ptr(0, p.as_ptr()).u32(8, fd.as_raw_fd() as u32).call(6, 16).map(drop)
}

/// Opens what is pinned there.
pub fn get_pinned(path: &Path) -> Result<OwnedFd> {
    let p = c_path(path)?;
    Attr::new().ptr(0, p.as_ptr()).fd(7, 16)
}

/// Attaches an LSM or fentry program to what it was loaded for, or (`name`) a raw tracepoint's.
pub fn attach_tracing(prog: &OwnedFd, name: Option<&str>) -> Result<OwnedFd> {
    let name = name.map(CString::new).transpose().map_err(|_| Error::from_raw_os_error(libc::EINVAL))?;
    let p = name.as_ref().map_or(std::ptr::null(), |n| n.as_ptr());
    Attr::new().ptr(0, p).u32(8, prog.as_raw_fd() as u32).fd(17, 16)
}

/// An attached perf event: a link where the kernel has links for them (5.15), else the event
/// itself, which cannot be pinned.
#[derive(Debug)]
pub struct PerfAttachment {
    /// Detaches when it is closed; the event must live as long.
    pub link: Option<OwnedFd>,
    _event: OwnedFd,
}

/// Attaches a kprobe program to a function.
pub fn attach_kprobe(prog: &OwnedFd, function: &str) -> Result<PerfAttachment> {
    let kind = std::fs::read_to_string("/sys/bus/event_source/devices/kprobe/type")?;
    let kind = kind.trim().parse().map_err(|_| Error::from_raw_os_error(libc::EINVAL))?;
    let name = CString::new(function).map_err(|_| Error::from_raw_os_error(libc::EINVAL))?;
    attach_perf(prog, kind, 0, name.as_ptr() as u64)
}

/// Attaches a tracepoint program to the tracepoint with that id (`events/SUBSYSTEM/EVENT/id`).
pub fn attach_tracepoint(prog: &OwnedFd, id: u64) -> Result<PerfAttachment> {
    const PERF_TYPE_TRACEPOINT: u32 = 2;
    attach_perf(prog, PERF_TYPE_TRACEPOINT, id, 0)
}

fn attach_perf(prog: &OwnedFd, kind: u32, config: u64, config1: u64) -> Result<PerfAttachment> {
    // struct perf_event_attr: type 0, size 4, config 8, config1 56.
    let mut attr = Attr::new().u32(0, kind).u32(4, 112).u64(8, config).u64(56, config1);
    const FD_CLOEXEC: libc::c_ulong = 8;
    // SAFETY: the attribute and the name in it outlive the call.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, attr.0.as_mut_ptr(), -1, 0, -1, FD_CLOEXEC) };
    if fd < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: just given to us.
    let event = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let link = Attr::new()
        .u32(0, prog.as_raw_fd() as u32)
        .u32(4, event.as_raw_fd() as u32)
        .u32(8, ATTACH_PERF_EVENT)
        .fd(28, 48);
    if let Ok(link) = link {
        return Ok(PerfAttachment { link: Some(link), _event: event });
    }
    const SET_BPF: libc::c_ulong = 0x4004_2408;
    const ENABLE: libc::c_ulong = 0x2400;
    for (request, arg) in [(SET_BPF, prog.as_raw_fd()), (ENABLE, 0)] {
        // SAFETY: both take an int.
        if unsafe { libc::ioctl(event.as_raw_fd(), request as _, arg) } < 0 {
            return Err(Error::last_os_error());
        }
    }
    Ok(PerfAttachment { link: None, _event: event })
}
