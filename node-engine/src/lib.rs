//! The engine: everything between Plans and the kernel. It links the plans of this node into one
//! image, loads it (one program per hook, whatever the number of policies), and reads records back.
//!
//! ```text
//! Plans --link--> hook images --load--> slot of each hook --state word--> judged calls --> Records
//! ```

mod engine;
mod face;
mod link;
mod load;
mod node;
mod records;
mod sys;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tetragon_abi::record;
use tetragon_api::plan::{ArgType, Plan};

pub use engine::{Classified, Engine, EngineError, EngineOptions, function_name};
pub use face::{Kernel, Records};
pub use load::base::ProcSeed;
pub use node::cgroups::{Found, Hierarchy, walk};
pub use records::read::{Reader, strings};

/// One policy as the engine is asked to run it.
#[derive(Clone, Debug)]
pub struct PolicyInput {
    /// The caller's number for this version of the policy; a changed policy has a new one.
    pub id: u64,
    /// The caller's number for the policy, the same in all its versions.
    pub policy: u64,
    /// What it says.
    pub plan: Arc<Plan>,
    /// False: enforcing actions are reported, not taken (monitor mode).
    pub enforce: bool,
}

/// What became of a call of [`Engine::apply`].
#[derive(Clone, Debug, Default)]
pub struct ApplyReport {
    /// The state word now in force.
    pub state: u64,
    /// By policy id: those of which there is something new to be told. Others run as before.
    pub policies: BTreeMap<u64, PolicyReport>,
    /// [`PolicyInput::policy`] of those that ran and of which no version does any more.
    pub stopped: BTreeSet<u64>,
}

/// One policy on this node.
#[derive(Clone, Debug, Default)]
pub struct PolicyReport {
    /// By hook of the plan.
    pub hooks: Vec<HookReport>,
    /// Kernel memory in bytes that the policy's entries take (an estimate from sizes of map
    /// elements; what it shares with others is not counted).
    pub kernel_memory: u64,
}

impl PolicyReport {
    /// All errors, one a line; `None`: every hook runs (or is allowed to be missing).
    pub fn error(&self) -> Option<String> {
        let all: Vec<_> = self.hooks.iter().filter_map(|h| h.error.clone()).collect();
        (!all.is_empty()).then(|| all.join("\n"))
    }
}

/// One hook of a policy on this node.
#[derive(Clone, Debug, Default)]
pub struct HookReport {
    /// `spec.kprobes[0]`.
    pub field: String,
    /// The function, LSM hook or tracepoint.
    pub function: String,
    /// How it is attached; `None` with no error: not on this kernel, and the policy allows that.
    pub backend: Option<Backend>,
    /// Why it does not run, and what would be right.
    pub error: Option<String>,
    /// What kind of error that is.
    pub cause: Option<Cause>,
    /// Which of the hook's arguments it is about.
    pub arg: Option<usize>,
}

impl HookReport {
    /// The field that an error is about, and the error without that field's name.
    pub fn place_of<'e>(&self, error: &'e str) -> (String, &'e str) {
        let Some(arg) = self.arg else { return (self.field.clone(), error) };
        let rest = error.strip_prefix(&format!("args[{arg}]: ")).unwrap_or(error);
        (format!("{}.args[{arg}]", self.field), rest)
    }
}

/// What kind of thing keeps a hook from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The policy names what does not exist on this kernel.
    Mistaken,
    /// The kernel is not able to do it, or does not allow it.
    Unable,
    /// It should work: the verifier or memory is against it.
    Refused,
    /// There is no room for it beside the others on its hook.
    Full,
}

/// What the kernel lets the engine do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `uname -r`.
    pub release: String,
    /// BPF LSM runs.
    pub lsm: bool,
    /// There are kprobes.
    pub kprobes: bool,
    /// fentry programs load.
    pub fentry: bool,
    /// The kernel may be preempted inside a hook.
    pub preemptible: bool,
    /// Links of kprobes and tracepoints can be pinned.
    pub pinned_kprobes: bool,
}

/// How a hook is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Backend {
    /// BPF LSM program.
    Lsm,
    /// kprobe.
    Kprobe,
    /// fentry program (trampoline).
    Fentry,
    /// Tracepoint by its format.
    Tracepoint,
    /// Raw tracepoint.
    RawTracepoint,
}

impl Backend {
    /// As logs, status and metrics say it.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Lsm => "lsm",
            Backend::Kprobe => "kprobe",
            Backend::Fentry => "fentry",
            Backend::Tracepoint => "tracepoint",
            Backend::RawTracepoint => "raw_tracepoint",
        }
    }
}

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
    /// `NAME=VALUE`, if it is asked for ([`EngineOptions::environment`]).
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

/// Losses in the kernel since the programs were loaded.
#[derive(Clone, Debug, Default)]
pub struct KernelLosses {
    /// Records that were put into the ring.
    pub sent: u64,
    /// Records of hooks that found the ring full.
    pub call: u64,
    /// Exec records.
    pub exec: u64,
    /// Fork records.
    pub fork: u64,
    /// Exit records.
    pub exit: u64,
    /// Calls that found no scratch memory and were not judged.
    pub scratch: u64,
    /// Calls of which the loss could not be counted by policy.
    pub uncounted: u64,
    /// Processes that did not fit in the process table.
    pub process: u64,
    /// Executables that did not fit in their table.
    pub exe: u64,
    /// Paths too deep or too long to read.
    pub path: u64,
    /// Cgroups that did not fit in their table.
    pub cgroup: u64,
    /// Records of cgroups that found the ring full.
    pub cgroup_record: u64,
    /// Runs of a hook's program that the kernel skipped (recursion_misses), all hooks.
    pub skipped: u64,
    /// By policy name, namespace and hook function: events lost because the ring was full.
    pub by_policy: BTreeMap<(String, Option<String>, String), u64>,
}

impl KernelLosses {
    /// Events that are missing in the stream.
    pub fn events(&self) -> u64 {
        // A record may stand for events of several policies, and not all of them may be known.
        let calls = self.by_policy.values().sum::<u64>() + self.uncounted;
        calls.max(self.call) + self.exec + self.exit
    }
}

/// One loaded program and what the kernel counts of it (times need `kernel.bpf_stats_enabled`).
#[derive(Clone, Debug, Default)]
pub struct ProgramStats {
    /// The program's name in the kernel.
    pub name: String,
    /// The hook it serves, or the base sensor's tracepoint.
    pub hook: String,
    /// How it is attached.
    pub attach: String,
    /// Times it ran.
    pub run_count: u64,
    /// Time it took, in ns.
    pub run_time_ns: u64,
    /// Runs that were skipped.
    pub recursion_misses: u64,
    /// Locked memory of the program.
    pub memlock: u64,
}
