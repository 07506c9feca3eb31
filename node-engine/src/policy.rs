//! Policies as the engine is asked to run them, and its answers about them and about the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tetragon_api::plan::Plan;

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

/// What became of a call of [`Engine::apply`](crate::Engine::apply).
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
