//! What the engine must know of the running kernel: offsets, features, which backends it has.

use tetragon_abi::config::Offsets;
use tetragon_api::plan::NamespaceKind;

use super::btf::Btf;
use super::cgroups::Hierarchy;
use crate::policy::Facts;
use crate::sys;

/// Facts of the node's kernel.
#[derive(Debug)]
pub struct Kernel {
    /// `uname -r`.
    pub release: String,
    /// Offsets of its structures.
    pub offsets: Offsets,
    /// BPF LSM runs.
    pub lsm: bool,
    /// The kernel has kprobes.
    pub kprobes: bool,
    /// Tasks are never preempted inside the kernel: fentry programs miss nothing then.
    pub not_preemptible: bool,
    /// Programs get the current task as a typed pointer (5.11).
    pub typed_task: bool,
    /// Hash maps must be preallocated for tracing programs (before 6.1 the kernel warns).
    pub prealloc: bool,
    /// Perf events have links, which can be pinned (5.15).
    pub perf_links: bool,
    /// `host_ns`, by kind.
    pub host_ns: [u32; 10],
    /// The cgroups that containers are told apart by; `None`: there are none.
    pub cgroups: Option<Hierarchy>,
}

/// The base sensor cannot work without this.
#[derive(Debug, thiserror::Error)]
#[error("the kernel's BTF has no {structure}.{member}: this kernel is not supported")]
pub struct MissingMember {
    structure: &'static str,
    member: &'static str,
}

const MISSING: u32 = u32::MAX;

impl Kernel {
    /// Looks at the running kernel; `procfs` is the host's /proc.
    pub fn detect(btf: &Btf, procfs: &str) -> Result<Kernel, MissingMember> {
        let read = |p: &str| std::fs::read_to_string(p).unwrap_or_default();
        let release = read("/proc/sys/kernel/osrelease").trim().to_owned();
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0u32));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Ok(Kernel {
            offsets: offsets(btf)?,
            lsm: read("/sys/kernel/security/lsm").split(',').any(|l| l.trim() == "bpf"),
            kprobes: std::path::Path::new("/sys/bus/event_source/devices/kprobe/type").exists(),
            not_preemptible: !read("/proc/sys/kernel/version").contains("PREEMPT"),
            typed_task: version >= (5, 11),
            prealloc: version < (6, 1),
            perf_links: version >= (5, 15),
            host_ns: NamespaceKind::ALL.map(|k| host_namespace(procfs, k)),
            cgroups: Hierarchy::find(procfs, &|name| btf.constant(name)),
            release,
        })
    }
}

/// What is told of the kernel. It may have a thing and not let the agent use it (lockdown, missing
/// capabilities), so that each kind of program is tried.
pub fn facts(kernel: &Kernel, btf: &Btf) -> Facts {
    let takes = |kind, attach, function| {
        btf.function(function).is_some_and(|btf_id| sys::takes(kind, attach, btf_id))
    };
    Facts {
        release: kernel.release.clone(),
        lsm: kernel.lsm && takes(sys::PROG_LSM, sys::ATTACH_LSM, "bpf_lsm_file_open"),
        kprobes: kernel.kprobes && sys::takes(sys::PROG_KPROBE, 0, 0),
        fentry: takes(sys::PROG_TRACING, sys::ATTACH_FENTRY, "wake_up_new_task"),
        preemptible: !kernel.not_preemptible,
        pinned_kprobes: kernel.perf_links,
    }
}

/// Inode number of the first process's namespace.
fn host_namespace(procfs: &str, kind: NamespaceKind) -> u32 {
    let file = match kind {
        NamespaceKind::Uts => "uts",
        NamespaceKind::Ipc => "ipc",
        NamespaceKind::Mnt => "mnt",
        NamespaceKind::Pid => "pid",
        NamespaceKind::PidForChildren => "pid_for_children",
        NamespaceKind::Net => "net",
        NamespaceKind::Time => "time",
        NamespaceKind::TimeForChildren => "time_for_children",
        NamespaceKind::Cgroup => "cgroup",
        NamespaceKind::User => "user",
    };
    let link = std::fs::read_link(std::path::Path::new(procfs).join("1/ns").join(file));
    let text = link.map(|l| l.to_string_lossy().into_owned()).unwrap_or_default();
    text.split(['[', ']']).nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn offsets(btf: &Btf) -> Result<Offsets, MissingMember> {
    let may = |structure: &str, member: &str| btf.offset(structure, member).unwrap_or(MISSING);
    let must = |structure: &'static str, member: &'static str| {
        btf.offset(structure, member).ok_or(MissingMember { structure, member })
    };
    let task = |m| must("task_struct", m);
    Ok(Offsets {
        file_f_path: must("file", "f_path")?,
        file_f_inode: must("file", "f_inode")?,
        bprm_file: must("linux_binprm", "file")?,
        bprm_filename: must("linux_binprm", "filename")?,
        dentry_d_parent: adjacent(btf)?,
        dentry_d_name: must("dentry", "d_name")?,
        dentry_d_inode: must("dentry", "d_inode")?,
        // Called d_shortname from 6.14. Without it names are read one by one.
        dentry_d_iname: btf
            .offset("dentry", "d_iname")
            .or_else(|| btf.offset("dentry", "d_shortname"))
            .unwrap_or(MISSING),
        inode_i_mode: must("inode", "i_mode")?,
        inode_i_ino: must("inode", "i_ino")?,
        inode_i_nlink: must("inode", "i_nlink")?,
        inode_i_uid: must("inode", "i_uid")?,
        inode_i_gid: must("inode", "i_gid")?,
        vfsmount_mnt_root: must("vfsmount", "mnt_root")?,
        mount_mnt: must("mount", "mnt")?,
        mount_mnt_parent: must("mount", "mnt_parent")?,
        mount_mnt_mountpoint: must("mount", "mnt_mountpoint")?,
        mount_mnt_ns: must("mount", "mnt_ns")?,
        task_pid: task("pid")?,
        task_tgid: task("tgid")?,
        task_fs: task("fs")?,
        task_files: task("files")?,
        task_mm: task("mm")?,
        task_cred: task("cred")?,
        task_nsproxy: task("nsproxy")?,
        task_signal: task("signal")?,
        task_exit_code: task("exit_code")?,
        task_real_parent: task("real_parent")?,
        task_group_leader: task("group_leader")?,
        task_thread_pid: task("thread_pid")?,
        task_loginuid: may("task_struct", "loginuid"),
        task_cgroups: task("cgroups")?,
        signal_live: must("signal_struct", "live")?,
        fs_root: must("fs_struct", "root")?,
        fs_pwd: must("fs_struct", "pwd")?,
        files_fdt: must("files_struct", "fdt")?,
        fdt_max_fds: must("fdtable", "max_fds")?,
        fdt_fd: must("fdtable", "fd")?,
        mm_arg_start: must("mm_struct", "arg_start")?,
        mm_arg_end: must("mm_struct", "arg_end")?,
        mm_env_start: must("mm_struct", "env_start")?,
        mm_env_end: must("mm_struct", "env_end")?,
        cred_uid: must("cred", "uid")?,
        cred_cap_inheritable: must("cred", "cap_inheritable")?,
        cred_cap_permitted: must("cred", "cap_permitted")?,
        cred_cap_effective: must("cred", "cap_effective")?,
        cred_securebits: must("cred", "securebits")?,
        cred_user_ns: must("cred", "user_ns")?,
        pid_level: must("pid", "level")?,
        pid_numbers: must("pid", "numbers")?,
        upid_size: btf.size("upid").ok_or(MissingMember { structure: "upid", member: "nr" })?,
        upid_nr: must("upid", "nr")?,
        upid_ns: must("upid", "ns")?,
        css_set_dfl_cgrp: must("css_set", "dfl_cgrp")?,
        css_set_subsys: must("css_set", "subsys")?,
        css_cgroup: must("cgroup_subsys_state", "cgroup")?,
        css_parent: must("cgroup_subsys_state", "parent")?,
        cgroup_self: must("cgroup", "self")?,
        cgroup_root: must("cgroup", "root")?,
        cgroup_kn: must("cgroup", "kn")?,
        cgroup_root_hierarchy_id: must("cgroup_root", "hierarchy_id")?,
        kernfs_node_name: must("kernfs_node", "name")?,
        kernfs_node_id: must("kernfs_node", "id")?,
        nsproxy_ns: NamespaceKind::ALL.map(|k| namespace(k).0.map_or(MISSING, |m| may("nsproxy", m))),
        ns_inum: NamespaceKind::ALL.map(|k| {
            let (member, of) = namespace(k);
            // A kernel without the namespace has the struct, but no pointer to one.
            if member.is_some_and(|m| may("nsproxy", m) == MISSING) { MISSING } else { may(of, "ns.inum") }
        }),
    })
}

/// A dentry's parent and name are read at once, so they must lie side by side.
fn adjacent(btf: &Btf) -> Result<u32, MissingMember> {
    let missing = MissingMember { structure: "dentry", member: "d_parent" };
    match (btf.offset("dentry", "d_parent"), btf.offset("dentry", "d_name")) {
        (Some(parent), Some(name)) if name == parent + 8 => Ok(parent),
        _ => Err(missing),
    }
}

/// Member of `struct nsproxy` (if it is there) and the namespace's struct.
fn namespace(kind: NamespaceKind) -> (Option<&'static str>, &'static str) {
    match kind {
        NamespaceKind::Uts => (Some("uts_ns"), "uts_namespace"),
        NamespaceKind::Ipc => (Some("ipc_ns"), "ipc_namespace"),
        NamespaceKind::Mnt => (Some("mnt_ns"), "mnt_namespace"),
        NamespaceKind::Pid => (None, "pid_namespace"),
        NamespaceKind::PidForChildren => (Some("pid_ns_for_children"), "pid_namespace"),
        NamespaceKind::Net => (Some("net_ns"), "net"),
        NamespaceKind::Time => (Some("time_ns"), "time_namespace"),
        NamespaceKind::TimeForChildren => (Some("time_ns_for_children"), "time_namespace"),
        NamespaceKind::Cgroup => (Some("cgroup_ns"), "cgroup_namespace"),
        NamespaceKind::User => (None, "user_namespace"),
    }
}
