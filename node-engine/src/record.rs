//! Records of the kernel, decoded.

use std::sync::Arc;

use tetragon_abi::record;
use tetragon_api::plan::ArgType;

use crate::policy::PolicyInput;

/// Something that the kernel told, decoded and owned.
#[derive(Clone, Debug)]
pub enum Record {
    /// A process was made.
    Fork(record::Fork),
    /// A program was executed.
    Exec(Box<ExecRecord>),
    /// A process ended.
    Exit(record::Exit),
    /// Selectors of some policies matched a call.
    Call(Box<CallRecord>),
    /// A pod's cgroup was made, and no process is in it yet; or it was removed.
    Cgroup(CgroupRecord),
}

/// A cgroup of a pod, or in one.
#[derive(Clone, Debug)]
pub struct CgroupRecord {
    /// Its id.
    pub id: u64,
    /// Its path in the hierarchy.
    pub path: String,
    /// It was removed.
    pub gone: bool,
}

/// A program was executed.
#[derive(Clone, Debug, Default)]
pub struct ExecRecord {
    /// The fixed part.
    pub fixed: record::Exec,
    /// As given to execve.
    pub filename: String,
    /// argv, argv[0] first.
    pub args: Vec<String>,
    /// Working directory.
    pub cwd: String,
    /// Path of the executable, resolved: what matchBinaries compares.
    pub exe: String,
    /// Name of the cgroup (the last component of its path).
    pub cgroup: String,
    /// `NAME=VALUE`, if it is asked for ([`EngineOptions::environment`](crate::EngineOptions::environment)).
    pub environment: Vec<String>,
}

/// Selectors matched a call.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// About the caller: time, ids.
    pub header: record::Header,
    /// The caller's cgroup, in the hierarchy that containers are told apart by.
    pub cgroup: u64,
    /// Which; policy by policy, the first of its selectors that matched and reports.
    pub matches: Vec<Match>,
    /// The hook's arguments, those of all its policies.
    pub args: Vec<ArgValue>,
}

/// A selector of a policy that matched.
#[derive(Clone, Debug)]
pub struct Match {
    /// The policy, as it was given.
    pub policy: Arc<PolicyInput>,
    /// Index in `plan.hooks`.
    pub hook: usize,
    /// Index in that hook's selectors.
    pub selector: usize,
    /// For each of the plan hook's arguments, where it is.
    pub args: Arc<[Reading]>,
}

/// Where the value of a plan's argument is, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Index in [`CallRecord::args`].
    pub index: usize,
    /// Its type; `auto` is resolved.
    pub ty: ArgType,
}

/// The value of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgValue {
    /// An integer; unsigned 64-bit ones are reinterpreted.
    Int(i64),
    /// A string or a path; `mode` is the file's (0: not a file).
    Text {
        /// Without its NUL; invalid UTF-8 is replaced.
        text: String,
        /// `st_mode`.
        mode: u32,
    },
    /// It could not be read, or has no text.
    None,
}
