//! Records of the ring buffer. Each begins with a [`Header`]; texts follow the fixed part, each
//! padded to 8 bytes.

use crate::config::NAMESPACES;

/// A process was made: [`Fork`].
pub const KIND_FORK: u32 = 1;
/// A program was executed: [`Exec`].
pub const KIND_EXEC: u32 = 2;
/// A process ended: [`Exit`].
pub const KIND_EXIT: u32 = 3;
/// A hook's selectors matched: [`Call`].
pub const KIND_CALL: u32 = 4;
/// A pod's cgroup was made or removed: [`CgroupChange`].
pub const KIND_CGROUP: u32 = 5;

/// Start of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Header {
    /// One of `KIND_*`.
    pub kind: u32,
    /// Length of the record in bytes, with this header.
    pub len: u32,
    /// When it was made, in ns of the monotonic clock.
    pub ktime: u64,
    /// Thread group id of the process.
    pub tgid: u32,
    /// Thread id.
    pub tid: u32,
    /// [`crate::engine::Proc::ktime`] of the process (0: the kernel does not know it).
    pub process: u64,
}

/// A new process (not: a new thread). The header is about the new process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Fork {
    /// About the new process.
    pub header: Header,
    /// The parent's.
    pub parent_ktime: u64,
    /// The parent's thread group id.
    pub parent: u32,
    /// `PROC_*`.
    pub flags: u32,
    /// Id in its own PID namespace, 0 in the host's.
    pub nspid: u32,
    /// Not used.
    pub pad: u32,
}

/// Credentials and namespaces of a task.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials {
    /// uid, gid, suid, sgid, euid, egid, fsuid, fsgid: as they lie in `struct cred`.
    pub ids: [u32; 8],
    /// `cap_inheritable`, `cap_permitted`, `cap_effective`.
    pub caps: [u64; 3],
    /// Secure bits.
    pub securebits: u32,
    /// Login uid, `u32::MAX` when unset.
    pub auid: u32,
    /// Inode numbers by kind; 0: this kernel has none.
    pub ns: [u32; NAMESPACES],
}

/// A program was executed. Followed by: filename, arguments (NUL-separated, argv[0] first),
/// working directory, executable, cgroup name.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Exec {
    /// `process` is the new name; `tid` is the thread group id.
    pub header: Header,
    /// [`crate::engine::Proc::ktime`] of the program before in this process.
    pub old_ktime: u64,
    /// Thread group id of the parent process.
    pub parent: u32,
    /// `PROC_*` before the exec: [`crate::engine::PROC_CLONE`] says that this is the first.
    pub flags: u32,
    /// Id in its own PID namespace, 0 in the host's.
    pub nspid: u32,
    /// `EXEC_*`.
    pub exec_flags: u32,
    /// After the exec.
    pub cred: Credentials,
    /// uid and gid, effective, before the exec (as far as the record knows), to see what a setuid
    /// file changed; equal when nothing did.
    pub file_uid: u32,
    /// Group of the file.
    pub file_gid: u32,
    /// Mode of the file.
    pub mode: u32,
    /// Links of the file.
    pub nlink: u32,
    /// Inode of the file.
    pub ino: u64,
    /// Its cgroup's id, in the hierarchy that containers are told apart by.
    pub cgroup: u64,
    /// Length of the arguments before truncation.
    pub args_full: u32,
    /// Lengths in bytes of what follows: filename, arguments, cwd, executable, cgroup name.
    pub text: [u32; 5],
}

/// The working directory could not be read.
pub const EXEC_NO_CWD: u32 = 1;
/// The arguments were cut.
pub const EXEC_ARGS_CUT: u32 = 2;
/// The arguments could not be read.
pub const EXEC_NO_ARGS: u32 = 4;

/// A process ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Exit {
    /// About the process.
    pub header: Header,
    /// `exit_code` of the last thread: status in bits 8 to 15, signal in bits 0 to 6.
    pub code: u32,
    /// Not used.
    pub pad: u32,
}

/// A cgroup of a pod or in one was made, and no process is in it yet; or it was removed. The header is
/// about who did that. Followed by its path in the hierarchy.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct CgroupChange {
    /// About who made or removed it.
    pub header: Header,
    /// Its id.
    pub id: u64,
    /// 1: it was removed.
    pub gone: u32,
    /// Length of the path in bytes.
    pub path: u32,
}

/// Selectors of a hook matched. Followed by `words` x [`Matched`], then `args` x ([`ArgHeader`] and
/// its text).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Call {
    /// About the caller.
    pub header: Header,
    /// The state word under which it was judged.
    pub state: u64,
    /// Number of the hook.
    pub hook: u32,
    /// Number of [`Matched`].
    pub words: u32,
    /// Number of arguments.
    pub args: u32,
    /// Not used.
    pub pad: u32,
    /// The caller's cgroup, as in [`Exec::cgroup`]: it may have entered another since its exec.
    pub cgroup: u64,
}

/// Selectors of one word that matched and are reported.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matched {
    /// Which word.
    pub word: u64,
    /// Their bits.
    pub bits: u64,
}

/// One argument of a [`Call`], in the order of the hook's arguments.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ArgHeader {
    /// The integer, sign-extended; or a file's mode.
    pub value: u64,
    /// Length of the text that follows, padded to 8 bytes; or `NO_TEXT`, `INTEGER`.
    pub len: u32,
    /// Not used.
    pub pad: u32,
}

/// The argument is a text that could not be had: a pipe, a bad pointer.
pub const NO_TEXT: u32 = u32::MAX;
/// The argument is an integer.
pub const INTEGER: u32 = u32::MAX - 1;

const _: () = assert!(size_of::<Header>() == 32);
const _: () = assert!(size_of::<Call>() == 64);
const _: () = assert!(size_of::<Fork>() == 56);
const _: () = assert!(size_of::<Exit>() == 40);
const _: () = assert!(size_of::<Credentials>() == 104);
const _: () = assert!(size_of::<Exec>() == 216);
const _: () = assert!(size_of::<CgroupChange>() == 48);
const _: () = assert!(size_of::<ArgHeader>() == 16);
