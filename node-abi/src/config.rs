//! What a program is told at load, in its frozen `.rodata`: the verifier knows these values and
//! drops what they switch off.

use crate::engine::{MAX_ARGS, MAX_DIMS};

/// Most namespaces of a task that can be read (see `NamespaceKind` in the plan).
pub const NAMESPACES: usize = 10;

/// Offsets of kernel structures, in bytes, from the node's own BTF. Read as `struct.member`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "each field is named struct_member after what it is the offset of")]
pub struct Offsets {
    pub file_f_path: u32,
    pub file_f_inode: u32,
    pub bprm_file: u32,
    pub bprm_filename: u32,
    pub dentry_d_parent: u32,
    pub dentry_d_name: u32,
    pub dentry_d_inode: u32,
    /// Of the short name that lies in the dentry itself.
    pub dentry_d_iname: u32,
    pub inode_i_mode: u32,
    pub inode_i_ino: u32,
    pub inode_i_nlink: u32,
    pub inode_i_uid: u32,
    pub inode_i_gid: u32,
    pub vfsmount_mnt_root: u32,
    pub mount_mnt: u32,
    pub mount_mnt_parent: u32,
    pub mount_mnt_mountpoint: u32,
    pub mount_mnt_ns: u32,
    pub task_pid: u32,
    pub task_tgid: u32,
    pub task_fs: u32,
    pub task_files: u32,
    pub task_mm: u32,
    pub task_cred: u32,
    pub task_nsproxy: u32,
    pub task_signal: u32,
    pub task_exit_code: u32,
    pub task_real_parent: u32,
    pub task_group_leader: u32,
    pub task_thread_pid: u32,
    pub task_loginuid: u32,
    pub task_cgroups: u32,
    pub signal_live: u32,
    pub fs_root: u32,
    pub fs_pwd: u32,
    pub files_fdt: u32,
    pub fdt_max_fds: u32,
    pub fdt_fd: u32,
    pub mm_arg_start: u32,
    pub mm_arg_end: u32,
    pub mm_env_start: u32,
    pub mm_env_end: u32,
    pub cred_uid: u32,
    pub cred_cap_inheritable: u32,
    pub cred_cap_permitted: u32,
    pub cred_cap_effective: u32,
    pub cred_securebits: u32,
    pub cred_user_ns: u32,
    pub pid_level: u32,
    pub pid_numbers: u32,
    /// sizeof(struct upid).
    pub upid_size: u32,
    pub upid_nr: u32,
    pub upid_ns: u32,
    pub css_set_dfl_cgrp: u32,
    pub css_set_subsys: u32,
    pub css_cgroup: u32,
    pub css_parent: u32,
    pub cgroup_self: u32,
    pub cgroup_root: u32,
    pub cgroup_kn: u32,
    pub cgroup_root_hierarchy_id: u32,
    pub kernfs_node_name: u32,
    pub kernfs_node_id: u32,
    /// In `struct nsproxy`, by namespace kind; `u32::MAX`: not there (Pid and User are elsewhere).
    pub nsproxy_ns: [u32; NAMESPACES],
    /// Of `ns.inum` in the namespace's struct, by kind; `u32::MAX`: this kernel has none.
    pub ns_inum: [u32; NAMESPACES],
}

/// How an argument is read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArgSpec {
    /// One of `ARG_*`.
    pub kind: u8,
    /// Position in the hooked function.
    pub raw: u8,
    /// Its text buffer, if it is a text.
    pub text: u8,
    /// `FROM_*` for a string, and `LATE`: flags.
    pub from: u8,
}

/// Nothing is read.
pub const ARG_NONE: u8 = 0;
/// Signed integer of 1, 2, 4 or 8 bytes: the size is `kind - ARG_SIGNED`.
pub const ARG_SIGNED: u8 = 0x10;
/// Unsigned integer of 1, 2, 4 or 8 bytes: the size is `kind - ARG_UNSIGNED`.
pub const ARG_UNSIGNED: u8 = 0x20;
/// A string; kinds from here on are texts.
pub const ARG_STRING: u8 = 0x40;
/// `struct file *`.
pub const ARG_FILE: u8 = 0x41;
/// `struct path *`.
pub const ARG_PATH: u8 = 0x42;
/// `struct dentry *`.
pub const ARG_DENTRY: u8 = 0x43;
/// A file descriptor of the caller.
pub const ARG_FD: u8 = 0x44;
/// `struct linux_binprm *`.
pub const ARG_BINPRM: u8 = 0x45;

/// A string in the caller's memory.
pub const FROM_USER: u8 = 0;
/// A string in the kernel's memory.
pub const FROM_KERNEL: u8 = 1;
/// No dimension needs the text: it is read only for a record.
pub const LATE: u8 = 2;

/// Flag of a string: the text is in the tracepoint's event itself, see [`FIELD_CHARS`].
pub const FROM_FIELD: u8 = 4;

/// A field of a tracepoint's event.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSpec {
    /// Bytes from the event's beginning.
    pub offset: u16,
    /// Bytes that it takes.
    pub size: u16,
    /// One of `FIELD_*`.
    pub kind: u8,
    /// Not used.
    pub pad: [u8; 3],
}

/// An integer of up to 8 bytes, zeros before it.
pub const FIELD_UNSIGNED: u8 = 0;
/// An integer of up to 8 bytes, its sign before it.
pub const FIELD_SIGNED: u8 = 1;
/// Text. Its argument is where it lies: its offset, and above 16 bits its size.
pub const FIELD_CHARS: u8 = 2;
/// Where text lies, likewise: `__data_loc`.
pub const FIELD_LOCATED: u8 = 3;

/// One dimension of a hook: what is looked up and where.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DimSpec {
    /// One of `DIM_*`.
    pub kind: u8,
    /// The argument (argument kinds), or the namespace kind (`DIM_NAMESPACE`).
    pub arg: u8,
    /// Which index group it belongs to; see [`crate::engine::Head::group`].
    pub group: u8,
    /// `LAST`, `READ`.
    pub flags: u8,
    /// The entry that holds when the argument has no text; or, for predicates, when it holds.
    pub entry: u32,
    /// `DIM_MASK`: the mask.
    pub param: u64,
}

/// The last dimension of its group.
pub const LAST: u8 = 1;
/// The first dimension that needs its argument's text.
pub const READ: u8 = 2;

/// The caller's binary, whole.
pub const DIM_BINARY: u8 = 1;
/// The caller's binary, its beginning.
pub const DIM_BINARY_PREFIX: u8 = 2;
/// The caller's binary, its end.
pub const DIM_BINARY_POSTFIX: u8 = 3;
/// The parent's binary, whole.
pub const DIM_PARENT: u8 = 4;
/// The parent's binary, its beginning.
pub const DIM_PARENT_PREFIX: u8 = 5;
/// The parent's binary, its end.
pub const DIM_PARENT_POSTFIX: u8 = 6;
/// The process id.
pub const DIM_PID: u8 = 7;
/// The process id in the innermost PID namespace, outside the host's.
pub const DIM_NSPID: u8 = 8;
/// Predicate: the process or an ancestor is listed.
pub const DIM_PID_FOLLOW: u8 = 9;
/// Predicate: the process or an ancestor is listed by its id in its PID namespace.
pub const DIM_NSPID_FOLLOW: u8 = 10;
/// A namespace's inode number.
pub const DIM_NAMESPACE: u8 = 11;
/// An integer, exact.
pub const DIM_INT: u8 = 12;
/// An integer, by range (in the prefix index, as 8 bytes that sort like the number).
pub const DIM_INT_RANGE: u8 = 13;
/// Predicate: the integer has a bit of the mask.
pub const DIM_MASK: u8 = 14;
/// A text, whole.
pub const DIM_TEXT: u8 = 15;
/// A text, its beginning.
pub const DIM_TEXT_PREFIX: u8 = 16;
/// A text, its end.
pub const DIM_TEXT_POSTFIX: u8 = 17;

/// The caller's workload, by number (see [`crate::cgroup`]).
pub const DIM_WORKLOAD: u8 = 18;

/// What one engine (one slot of one hook) is told.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HookConfig {
    /// Number of the hook in records.
    pub hook: u32,
    /// Arguments that the program's context has (LSM and fentry: others must not be touched).
    pub raw_args: u32,
    /// Arguments read.
    pub args: u32,
    /// Dimensions.
    pub dims: u32,
    /// 1: arguments of a system call, behind a pt_regs.
    pub syscall: u32,
    /// Bytes of a key of the prefix index after its length word: a tag and up to 255 more.
    pub lpm_bytes: u32,
    /// 1: the hook's program may deny the call.
    pub deny: u32,
    /// 1: some dimension asks about the calling process.
    pub process: u32,
    /// 1: some dimension asks about the caller's workload.
    pub workload: u32,
    /// 1: some selector has a rate limit.
    pub limits: u32,
    /// Words of the Bloom filter over the binaries that are listed, less one (they are a power of two);
    /// 0: there is none.
    pub bloom: u32,
    /// 1: the kernel can switch preemption off for a program (`bpf_preempt_disable`).
    pub preempt: u32,
    /// 1: the kernel gives programs the current task as a typed pointer (5.11).
    pub typed_task: u32,
    /// The cgroup hierarchy that containers are told apart by: its number, 0 is the unified one.
    pub hierarchy: u32,
    /// A subsystem of that hierarchy: its index in the kernel and 1; 0: the unified hierarchy.
    pub subsystem: u32,
    /// 1: exec records have the environment.
    pub environment: u32,
    /// How each argument is read.
    pub arg: [ArgSpec; MAX_ARGS],
    /// The dimensions, in order of evaluation.
    pub dim: [DimSpec; MAX_DIMS],
    /// For tracepoints: the field of each raw argument.
    pub field: [FieldSpec; MAX_ARGS],
}

impl HookConfig {
    /// All zero: no argument, no dimension.
    pub const ZERO: HookConfig = HookConfig {
        hook: 0,
        raw_args: 0,
        args: 0,
        dims: 0,
        syscall: 0,
        lpm_bytes: 0,
        deny: 0,
        process: 0,
        workload: 0,
        limits: 0,
        bloom: 0,
        preempt: 0,
        typed_task: 0,
        hierarchy: 0,
        subsystem: 0,
        environment: 0,
        arg: [ArgSpec { kind: 0, raw: 0, text: 0, from: 0 }; MAX_ARGS],
        dim: [DimSpec { kind: 0, arg: 0, group: 0, flags: 0, entry: 0, param: 0 }; MAX_DIMS],
        field: [FieldSpec { offset: 0, size: 0, kind: 0, pad: [0; 3] }; MAX_ARGS],
    };
}
