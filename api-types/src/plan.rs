//! The Plan: one policy, compiled. It is to a TracingPolicy what an object file is to a source file:
//! checked, typed and normalised, but not bound to a kernel. The agent links all plans of its node
//! into one image.
//!
//! A plan is normalised: lists are sorted and free of duplicates where their order means nothing,
//! defaults are filled in, macros and lists are expanded, values are parsed. Two policies that mean
//! the same have the same [`Plan::digest`].

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::policy::LabelSelector;
use crate::workload::{Choice, Workloads};

/// The plan format that this build writes and reads. An agent refuses any other.
pub const FORMAT: u32 = 1;

/// A compiled policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Always [`FORMAT`].
    pub format: u32,
    /// `metadata.name` of the policy.
    pub name: String,
    /// `metadata.namespace`; `None` for a cluster-wide TracingPolicy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What the policy's author asked for.
    pub mode: Mode,
    /// `nodeSelector`: the nodes that load it; `None`: all. Its lists are sorted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<LabelSelector>,
    /// `podSelector`, `containerSelector`, `hostSelector` and the policy's namespace: the processes that
    /// it is for; `None`: all. It holds for every selector of every hook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workloads: Option<Workloads>,
    /// What becomes of processes whose container is not known yet.
    #[serde(default, skip_serializing_if = "UnknownContainers::is_default")]
    pub unknown_containers: UnknownContainers,
    /// The hooks, in the order of the policy.
    pub hooks: Vec<Hook>,
}

impl Plan {
    /// A cluster-wide plan for all nodes, as its author asked for nothing else.
    pub fn new(name: &str, hooks: Vec<Hook>) -> Plan {
        let name = name.to_owned();
        Plan {
            format: FORMAT,
            name,
            namespace: None,
            mode: Mode::default(),
            node_selector: None,
            workloads: None,
            unknown_containers: UnknownContainers::default(),
            hooks,
        }
    }

    /// What it chooses among pods, if it does: by itself, or by its selectors.
    pub fn choice(&self) -> Option<Choice> {
        let mut alternatives: Vec<Vec<Workloads>> = Vec::new();
        for selector in self.hooks.iter().flat_map(|h| &h.selectors) {
            let own = selector.matchers.iter().filter_map(|m| match m {
                Matcher::Workload(w) => Some(w),
                _ => None,
            });
            let all: Vec<Workloads> = self.workloads.iter().chain(own).cloned().collect();
            if all.is_empty() {
                return None;
            }
            // The host alone is no choice among pods.
            if all.iter().all(|w| w.pods.is_some()) && !alternatives.contains(&all) {
                alternatives.push(all);
            }
        }
        (!alternatives.is_empty()).then_some(Choice(alternatives))
    }

    /// SHA-256 over the canonical form (compact JSON, fields in the order of this file), as 64
    /// lower-case hex digits.
    pub fn digest(&self) -> String {
        // A Plan holds only strings, numbers and lists of them: it always serialises.
        let bytes = serde_json::to_vec(self).expect("a plan serialises");
        Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect()
    }

    /// True if some selector has an action that does more than report.
    pub fn enforces(&self) -> bool {
        self.hooks.iter().flat_map(|h| &h.selectors).any(|s| s.actions.enforces())
    }
}

/// `policy-mode` of a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Actions are taken.
    #[default]
    Enforce,
    /// Enforcing actions are reported, not taken.
    Monitor,
}

/// Option `unknown-containers` of a policy: what becomes of a process whose container is not known yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownContainers {
    /// No question about its workload holds, as in Tetragon: `fail-open`.
    #[default]
    FailOpen,
    /// Every one that asks for pods does: `fail-closed`.
    FailClosed,
}

impl UnknownContainers {
    fn is_default(&self) -> bool {
        *self == UnknownContainers::default()
    }
}

/// One entry of `kprobes`, `lsmhooks` or `tracepoints`, for one function (a `list:` is expanded).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Where it stands in the policy: `spec.kprobes[0]`.
    pub field: String,
    /// What is watched.
    pub target: Target,
    /// `ignore.callNotFound`: a kernel without the function is no error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_missing: bool,
    /// Text for the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Labels for the event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The arguments to read, in the policy's order.
    pub args: Vec<Arg>,
    /// At most [`MAX_SELECTORS`], at least one: a policy without selectors has one that matches all.
    pub selectors: Vec<Selector>,
}

impl Hook {
    /// A hook that reads no argument and whose one selector matches every call.
    pub fn new(field: &str, target: Target) -> Hook {
        Hook {
            field: field.to_owned(),
            target,
            ignore_missing: false,
            message: None,
            tags: Vec::new(),
            args: Vec::new(),
            selectors: vec![Selector::default()],
        }
    }
}

/// Most selectors of one hook of one policy (they share a 64-bit word in the kernel).
pub const MAX_SELECTORS: usize = 64;

/// What a hook watches. Each kind has its own event: `process_kprobe`, `process_lsm`,
/// `process_tracepoint`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A kernel function (`kprobes` with `syscall: false`), by symbol: `security_file_open`.
    Function(String),
    /// A system call (`kprobes` with `syscall: true`), by name without prefix: `setns`. Its symbol is
    /// the node's: `__x64_sys_setns`, `__arm64_sys_setns`.
    Syscall(String),
    /// An LSM hook (`lsmhooks`), without `bpf_lsm_`: `file_open`.
    Lsm(String),
    /// A tracepoint by subsystem and event; arguments are numbered as in its format file.
    Tracepoint(String, String),
    /// A raw tracepoint by subsystem and event; arguments are those of its TP_PROTO.
    RawTracepoint(String, String),
}

/// One entry of `args`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arg {
    /// Position in the function's signature, from 0.
    pub index: u32,
    /// How it is read.
    #[serde(rename = "type")]
    pub ty: ArgType,
    /// Name in the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// How an argument is read, filtered and shown. Names that mean the same (`int`, `sint32`, `int32`)
/// are one type here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArgType {
    /// Signed 8-bit integer.
    Int8,
    /// Unsigned 8-bit integer.
    Uint8,
    /// Signed 16-bit integer.
    Int16,
    /// Unsigned 16-bit integer.
    Uint16,
    /// Signed 32-bit integer: `int`, `sint32`, `int32`. Shown as `int_arg`.
    Int32,
    /// Unsigned 32-bit integer. Shown as `uint_arg`.
    Uint32,
    /// Signed 64-bit integer: `long`, `sint64`, `int64`. Shown as `long_arg`.
    Int64,
    /// Unsigned 64-bit integer: `ulong`, `uint64`. Shown as `size_arg`.
    Uint64,
    /// `size_t`. Shown as `size_arg`.
    Size,
    /// NUL-terminated string. Shown as `string_arg`.
    String,
    /// `struct file *`, as its path. Shown as `file_arg`.
    File,
    /// `struct path *`. Shown as `path_arg`.
    Path,
    /// `struct dentry *`: the path within its own mount. Shown as `path_arg`.
    Dentry,
    /// A file descriptor, as the path of its file. Shown as `file_arg`.
    Fd,
    /// `struct linux_binprm *`, as the path of the program. Shown as `linux_binprm_arg`.
    LinuxBinprm,
    /// A capability number. Shown as `capability_arg`. Not filterable.
    Capability,
    /// Taken from the format file of a tracepoint.
    Auto,
    /// Nothing is read.
    Nop,
}

impl ArgType {
    /// The type is compared as an integer.
    pub fn is_int(self) -> bool {
        use ArgType::*;
        matches!(self, Int8 | Uint8 | Int16 | Uint16 | Int32 | Uint32 | Int64 | Uint64 | Size | Auto)
    }
    /// The type is compared as text.
    pub fn is_text(self) -> bool {
        use ArgType::*;
        matches!(self, String | File | Path | Dentry | Fd | LinuxBinprm)
    }
    /// The type's values may be below zero.
    pub fn is_signed(self) -> bool {
        matches!(self, ArgType::Int8 | ArgType::Int16 | ArgType::Int32 | ArgType::Int64)
    }
    /// Its name in messages, as policies write it.
    pub fn name(self) -> &'static str {
        match self {
            ArgType::Int8 => "int8",
            ArgType::Uint8 => "uint8",
            ArgType::Int16 => "int16",
            ArgType::Uint16 => "uint16",
            ArgType::Int32 => "int",
            ArgType::Uint32 => "uint32",
            ArgType::Int64 => "int64",
            ArgType::Uint64 => "uint64",
            ArgType::Size => "size_t",
            ArgType::String => "string",
            ArgType::File => "file",
            ArgType::Path => "path",
            ArgType::Dentry => "dentry",
            ArgType::Fd => "fd",
            ArgType::LinuxBinprm => "linux_binprm",
            ArgType::Capability => "capability",
            ArgType::Auto => "auto",
            ArgType::Nop => "nop",
        }
    }
}

/// One selector: its matchers are ANDed. The first selector of a hook that matches decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// Name for metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Sorted; none: matches everything.
    pub matchers: Vec<Matcher>,
    /// What to do.
    pub actions: Actions,
}

/// One condition. `not` negates the whole: `NotIn`, `NotEqual`, `NotPrefix`, `NotPostfix`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Matcher {
    /// `matchBinaries`: the executable of the process that makes the call, as its path was at exec.
    Binary {
        /// How values are compared (`In` is [`TextOp::Equal`]).
        op: TextOp,
        /// Negated.
        not: bool,
        /// Paths; ORed.
        values: Vec<String>,
    },
    /// `matchParentBinaries`.
    ParentBinary {
        /// How values are compared.
        op: TextOp,
        /// Negated.
        not: bool,
        /// Paths; ORed.
        values: Vec<String>,
    },
    /// `matchPIDs`.
    Pid {
        /// Negated.
        not: bool,
        /// `followForks`: descendants too.
        follow_forks: bool,
        /// `isNamespacePID`: the PID as seen in the innermost PID namespace.
        namespace_pid: bool,
        /// Process (thread group) ids; ORed.
        values: Vec<u32>,
    },
    /// `matchNamespaces`: a namespace of the calling task.
    Namespace {
        /// Which.
        namespace: NamespaceKind,
        /// Negated.
        not: bool,
        /// ORed.
        values: Vec<NamespaceValue>,
    },
    /// `matchArgs` on a text argument. An argument that has no text (a pipe, an unreadable
    /// pointer) never matches, negated or not.
    Text {
        /// Position in [`Hook::args`].
        arg: usize,
        /// How values are compared.
        op: TextOp,
        /// Negated.
        not: bool,
        /// ORed.
        values: Vec<String>,
    },
    /// `matchArgs` on an integer argument: Equal, NotEqual, In, GT, LT, InRange, InMap.
    Int {
        /// Position in [`Hook::args`].
        arg: usize,
        /// Negated.
        not: bool,
        /// ORed; sorted, not overlapping, not adjacent.
        ranges: Vec<IntRange>,
    },
    /// `matchArgs` with `Mask`: some bit of `mask` is set in the argument. Values are merged.
    Mask {
        /// Position in [`Hook::args`].
        arg: usize,
        /// The union of the values.
        mask: u64,
    },
    /// `matchWorkloads`, in addition to [`Plan::workloads`].
    Workload(Workloads),
}

/// Comparison of texts, byte by byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextOp {
    /// The whole text.
    Equal,
    /// Its first bytes.
    Prefix,
    /// Its last bytes.
    Postfix,
}

/// A closed range of integers; `min <= max`, both within the argument's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IntRange {
    /// Smallest value.
    pub min: i128,
    /// Largest value.
    pub max: i128,
}

/// A kind of Linux namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
#[expect(missing_docs, reason = "each is named after its namespace")]
pub enum NamespaceKind {
    Uts = 0,
    Ipc = 1,
    Mnt = 2,
    Pid = 3,
    PidForChildren = 4,
    Net = 5,
    Time = 6,
    TimeForChildren = 7,
    Cgroup = 8,
    User = 9,
}

impl NamespaceKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [NamespaceKind; 10] = {
        use NamespaceKind::*;
        [Uts, Ipc, Mnt, Pid, PidForChildren, Net, Time, TimeForChildren, Cgroup, User]
    };
}

/// A value of `matchNamespaces`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceValue {
    /// `host_ns`: the namespace of the node's first process; the agent puts its number in.
    Host,
    /// An inode number.
    Inum(u32),
}

/// What a matching selector does, from its `matchActions`. No action listed is `post`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actions {
    /// An event is made (false: `NoPost` is listed).
    pub post: bool,
    /// Sends SIGKILL (`Sigkill`) or another signal (`Signal` with `argSig`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<u8>,
    /// Makes the call fail with this errno (positive), from `argError` (negative there).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny: Option<u16>,
    /// The last action listed: what the event's `action` says.
    pub shown: ShownAction,
    /// `rateLimit`: at most one equal event in this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
}

/// `rateLimit` and `rateLimitScope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Length of the window, in milliseconds.
    pub window_ms: u32,
    /// Whose events count as equal.
    pub scope: RateScope,
}

/// `rateLimitScope`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateScope {
    /// Of one thread.
    #[default]
    Thread,
    /// Of one process.
    Process,
    /// Of all.
    Global,
}

impl Default for Actions {
    fn default() -> Self {
        Actions { post: true, signal: None, deny: None, shown: ShownAction::Post, rate_limit: None }
    }
}

impl Actions {
    /// Does more than report.
    pub fn enforces(&self) -> bool {
        self.signal.is_some() || self.deny.is_some()
    }
}

/// The value of an event's `action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShownAction {
    /// KPROBE_ACTION_POST
    Post,
    /// KPROBE_ACTION_NOPOST
    NoPost,
    /// KPROBE_ACTION_SIGKILL
    Sigkill,
    /// KPROBE_ACTION_SIGNAL
    Signal,
    /// KPROBE_ACTION_OVERRIDE
    Override,
}
