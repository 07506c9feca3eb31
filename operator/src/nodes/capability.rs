//! What a node's kernel cannot do of what a plan asks: told before the node tries. A pure function of
//! the plan and of what the agent says of its kernel.
//!
//! It says no more than is sure, as the agent decides it (`node-engine/src/node/resolve.rs`): whether
//! a kernel has a certain function is not known here.

use std::collections::BTreeMap;

use tetragon_api::plan::{Hook, Plan, Target};
use tetragon_api::reason;
use tetragon_api::status::NodeCapabilities;

use super::model::Node;

/// Why a kernel cannot do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// It has no types.
    NoBtf,
    /// It does not run BPF LSM.
    NoLsm,
    /// It cannot make system calls fail.
    NoOverride,
    /// It has neither kprobes nor fentry programs, or does not let anybody use them.
    NoProbes,
}

impl Why {
    /// For a person.
    pub fn text(self) -> &'static str {
        match self {
            Why::NoBtf => "their kernels have no BTF (CONFIG_DEBUG_INFO_BTF)",
            Why::NoLsm => "BPF LSM is not switched on there (boot with lsm=...,bpf)",
            Why::NoOverride => "their kernels cannot override system calls",
            Why::NoProbes => "their kernels allow neither kprobes nor fentry programs",
        }
    }
}

/// One hook that a node cannot have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cannot {
    /// Index in `plan.hooks`.
    pub hook: usize,
    /// What is asked: `Override on security_file_open`.
    pub what: String,
    /// Why it cannot be had.
    pub why: Why,
}

impl Cannot {
    /// The word that the node's own report will have.
    pub fn reason(&self) -> &'static str {
        reason::HOOK_NOT_AVAILABLE
    }

    /// One line for a status, with the kernel's release.
    pub fn message(&self, kernel: &str) -> String {
        format!("{}: kernel {kernel} cannot: {}", self.what, self.why.text())
    }
}

/// What the kernel cannot do of the plan; empty: nothing is known to be in the way.
pub fn cannot(plan: &Plan, kernel: &NodeCapabilities) -> Vec<Cannot> {
    let each = plan.hooks.iter().enumerate();
    each.filter_map(|(i, hook)| {
        let why = why(hook, kernel)?;
        let verb = if denies(hook) && why != Why::NoBtf { "Override on " } else { "" };
        Some(Cannot { hook: i, what: format!("{verb}{}", name(&hook.target)), why })
    })
    .collect()
}

fn denies(hook: &Hook) -> bool {
    hook.selectors.iter().any(|s| s.actions.deny.is_some())
}

fn why(hook: &Hook, kernel: &NodeCapabilities) -> Option<Why> {
    let denies = denies(hook);
    let probes = kernel.kprobes || kernel.fentry;
    match &hook.target {
        _ if !kernel.btf => Some(Why::NoBtf),
        Target::Lsm(_) => (!kernel.lsm).then_some(Why::NoLsm),
        Target::Function(_) if denies => (!kernel.lsm).then_some(Why::NoLsm),
        // No stock kernel can, so the compiler refuses it. (`overrideReturn` says the same as `lsm`; agents of earlier
        // versions always said false.)
        Target::Syscall(_) if denies => Some(Why::NoOverride),
        // With BPF LSM it may be one of its hooks.
        Target::Function(name) if kernel.lsm && name.starts_with("security_") => None,
        Target::Function(_) | Target::Syscall(_) => (!probes).then_some(Why::NoProbes),
        Target::Tracepoint(..) | Target::RawTracepoint(..) => None,
    }
}

/// As people say it.
fn name(target: &Target) -> String {
    match target {
        Target::Function(name) => name.clone(),
        Target::Syscall(name) => format!("sys_{name}"),
        Target::Lsm(name) => format!("LSM hook {name}"),
        Target::Tracepoint(subsystem, event) | Target::RawTracepoint(subsystem, event) => {
            format!("{subsystem}/{event}")
        }
    }
}

/// Warnings about the nodes that the plan is for, the one about most nodes first.
pub fn warnings(plan: &Plan, nodes: &[Node]) -> Vec<String> {
    // An object without a kernel is new: its agent has not written what it can do.
    let nodes: Vec<&Node> = nodes.iter().filter(|n| !n.agent.kernel.is_empty()).collect();
    let selected = |n: &&&Node| plan.node_selector.as_ref().is_none_or(|s| s.matches(&n.labels));
    let mut matched = 0usize;
    // Kernels are few, nodes are many.
    let mut kernels: Vec<(&NodeCapabilities, Vec<&str>)> = Vec::new();
    for node in nodes.iter().filter(selected) {
        matched += 1;
        match kernels.iter_mut().find(|(k, _)| **k == node.agent.capabilities) {
            Some((_, names)) => names.push(&node.name),
            None => kernels.push((&node.agent.capabilities, vec![&node.name])),
        }
    }
    if matched == 0 && !nodes.is_empty() {
        return vec![format!(
            "spec.nodeSelector matches none of {} nodes: nothing loads the policy",
            nodes.len()
        )];
    }
    // (why, what) by the kernels that cannot.
    let mut groups: BTreeMap<(Why, String), Vec<&str>> = BTreeMap::new();
    for (kernel, names) in &kernels {
        for cannot in cannot(plan, kernel) {
            groups.entry((cannot.why, cannot.what)).or_default().extend(names);
        }
    }
    lines(groups, matched)
}

fn lines(groups: BTreeMap<(Why, String), Vec<&str>>, matched: usize) -> Vec<String> {
    // Hooks that the same nodes cannot have for the same reason are one line.
    let mut merged: BTreeMap<(Why, Vec<&str>), Vec<String>> = BTreeMap::new();
    for ((why, what), mut names) in groups {
        names.sort_unstable();
        names.dedup();
        merged.entry((why, names)).or_default().push(what);
    }
    let mut merged: Vec<_> = merged.into_iter().collect();
    merged.sort_by_key(|((_, names), _)| std::cmp::Reverse(names.len()));
    let line = |((why, names), whats): ((Why, Vec<&str>), Vec<String>)| {
        let (what, cannot) = (some_of(&whats), some_of(&names));
        format!("{what}: {} of {matched} nodes cannot: {cannot}; {}", names.len(), why.text())
    };
    merged.into_iter().map(line).collect()
}

/// Most names in a line.
const NAMES: usize = 3;

/// `a, b, c and 2 more`.
fn some_of<S: AsRef<str>>(all: &[S]) -> String {
    let first: Vec<&str> = all.iter().take(NAMES).map(AsRef::as_ref).collect();
    let first = first.join(", ");
    if all.len() > NAMES { format!("{first} and {} more", all.len() - NAMES) } else { first }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::nodes::model::Agent;

    #[expect(clippy::needless_pass_by_value, reason = "a json! stands in the call")]
    fn plan(spec: serde_json::Value) -> Plan {
        let object = json!({"apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy", "metadata": {"name": "p"}, "spec": spec});
        let mut compiled = tetragon_compiler::compile_value(&object);
        let errors: Vec<_> = compiled.diagnostics.iter().map(|d| d.one_line()).collect();
        compiled.policies.remove(0).plan.unwrap_or_else(|| panic!("{errors:?}"))
    }

    fn node(name: &str, capabilities: NodeCapabilities) -> Node {
        let agent = Agent { kernel: "6.1.0".into(), capabilities, ..Agent::default() };
        let labels = [("pool".to_owned(), name.split('-').next().unwrap_or_default().to_owned())];
        Node { name: name.into(), labels: Arc::new(labels.into()), agent: Arc::new(agent) }
    }

    fn all() -> NodeCapabilities {
        NodeCapabilities { btf: true, kprobes: true, fentry: true, lsm: true, ..NodeCapabilities::default() }
    }

    fn denying() -> serde_json::Value {
        json!({"kprobes": [{
            "call": "security_file_open", "syscall": false,
            "selectors": [{"matchActions": [{"action": "Override", "argError": -1}]}],
        }]})
    }

    #[test]
    fn each_kind_of_hook_on_each_kind_of_kernel() {
        let kernels = [
            ("all", all()),
            ("no lsm", NodeCapabilities { lsm: false, ..all() }),
            ("no kprobes", NodeCapabilities { kprobes: false, ..all() }),
            ("no fentry", NodeCapabilities { fentry: false, ..all() }),
            ("lsm alone", NodeCapabilities { kprobes: false, fentry: false, ..all() }),
            ("tracepoints alone", NodeCapabilities { btf: true, ..NodeCapabilities::default() }),
            ("no btf", NodeCapabilities::default()),
        ];
        let hooks = [
            json!({"lsmhooks": [{"hook": "file_open"}]}),
            json!({"kprobes": [{"call": "security_file_open", "syscall": false}]}),
            denying(),
            json!({"kprobes": [{"call": "vfs_read", "syscall": false}]}),
            json!({"kprobes": [{"call": "sys_setns"}]}),
            json!({"tracepoints": [{"subsystem": "sched", "event": "sched_process_exec", "raw": true}]}),
        ];
        let mut table = String::new();
        for (name, kernel) in &kernels {
            for spec in &hooks {
                for c in cannot(&plan(spec.clone()), kernel) {
                    table.push_str(&format!("{name}: {}: {:?}\n", c.what, c.why));
                }
            }
        }
        insta::assert_snapshot!(table, @r"
        no lsm: LSM hook file_open: NoLsm
        no lsm: Override on security_file_open: NoLsm
        lsm alone: vfs_read: NoProbes
        lsm alone: sys_setns: NoProbes
        tracepoints alone: LSM hook file_open: NoLsm
        tracepoints alone: security_file_open: NoProbes
        tracepoints alone: Override on security_file_open: NoLsm
        tracepoints alone: vfs_read: NoProbes
        tracepoints alone: sys_setns: NoProbes
        no btf: LSM hook file_open: NoBtf
        no btf: security_file_open: NoBtf
        no btf: security_file_open: NoBtf
        no btf: vfs_read: NoBtf
        no btf: sys_setns: NoBtf
        no btf: sched/sched_process_exec: NoBtf
        ");
    }

    #[test]
    fn nodes_are_named_at_most_three() {
        let no_lsm = || NodeCapabilities { lsm: false, ..all() };
        let mut nodes: Vec<Node> = (0..9).map(|i| node(&format!("new-{i}"), all())).collect();
        nodes.extend(["b", "c", "a"].map(|n| node(&format!("old-{n}"), no_lsm())));
        insta::assert_snapshot!(warnings(&plan(denying()), &nodes).join("\n"), @"Override on security_file_open: 3 of 12 nodes cannot: old-a, old-b, old-c; BPF LSM is not switched on there (boot with lsm=...,bpf)");
        nodes.extend(["e", "d"].map(|n| node(&format!("old-{n}"), NodeCapabilities::default())));
        let mut spec = denying();
        spec["kprobes"].as_array_mut().unwrap().extend(
            ["vfs_read", "vfs_write", "vfs_open"].map(|call| json!({"call": call, "syscall": false})),
        );
        insta::assert_snapshot!(warnings(&plan(spec.clone()), &nodes).join("\n"), @r"
        Override on security_file_open: 3 of 14 nodes cannot: old-a, old-b, old-c; BPF LSM is not switched on there (boot with lsm=...,bpf)
        security_file_open, vfs_open, vfs_read and 1 more: 2 of 14 nodes cannot: old-d, old-e; their kernels have no BTF (CONFIG_DEBUG_INFO_BTF)
        ");
        spec["nodeSelector"] = json!({"matchLabels": {"pool": "new"}});
        assert_eq!(warnings(&plan(spec.clone()), &nodes), Vec::<String>::new());
        spec["nodeSelector"] = json!({"matchLabels": {"pool": "none"}});
        assert_eq!(
            warnings(&plan(spec.clone()), &nodes),
            ["spec.nodeSelector matches none of 14 nodes: nothing loads the policy"]
        );
        assert_eq!(warnings(&plan(spec), &[]), Vec::<String>::new());
        let mut new = node("new", NodeCapabilities::default());
        new.agent = Arc::default();
        assert_eq!(warnings(&plan(denying()), &[new]), Vec::<String>::new());
    }

    #[test]
    fn a_line_for_status() {
        let found = cannot(&plan(denying()), &NodeCapabilities { lsm: false, ..all() });
        assert_eq!(found[0].reason(), "HookNotAvailable");
        assert_eq!(
            found[0].message("5.10.0-46"),
            "Override on security_file_open: kernel 5.10.0-46 cannot: BPF LSM is not switched on there (boot with lsm=...,bpf)"
        );
    }
}
