//! What is known of policies and nodes: the status of the custom resources.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Group of the project's own kinds. Tetragon's kinds are in `cilium.io`.
pub const GROUP: &str = "tetragon-rs.dev";

/// Most sample nodes of a failure.
pub const MAX_SAMPLES: usize = 5;
/// Most groups of failures in a status; the rest is counted in the last one.
pub const MAX_FAILURES: usize = 10;
/// Most warnings in a status.
pub const MAX_WARNINGS: usize = 20;
/// Bytes at which a message in a status is cut.
pub const MAX_MESSAGE: usize = 1024;

/// `status` of a TracingPolicy or TracingPolicyNamespaced: written by the operator alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TracingPolicyStatus {
    /// The generation of the policy that this status is about.
    pub observed_generation: i64,
    /// Accepted, Compiled, Ready; and Reconciling, Stalled or SelectsNothing while they are true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// enforce: enforcing actions are taken; monitor: they are reported only; observe: the policy
    /// has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// The compiled policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,
    /// The nodes of the cluster that run an agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodeCounts>,
    /// What the policy's podSelector and containerSelector select, if it chooses pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workloads: Option<WorkloadCounts>,
    /// What keeps nodes from running the policy, the most frequent first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailureGroup>,
    /// What the compiler warns of, one finding each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The staged rollout, if the policy asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
}

/// The compiled policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// ConfigMap in the operator's namespace.
    pub name: String,
    /// SHA-256 of the plan in hex: policies that mean the same have the same.
    pub digest: String,
    /// Bytes of the plan.
    pub size: i64,
    /// Functions, LSM hooks and tracepoints that it watches.
    pub hooks: i32,
}

/// How many nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeCounts {
    /// Nodes that the policy is for.
    pub matched: i32,
    /// Of them: run this version.
    pub loaded: i32,
    /// Of them: have not said yet what became of it, or wait for the rollout.
    pub pending: i32,
    /// Of them: cannot run it.
    pub failed: i32,
    /// Nodes that the policy's nodeSelector leaves out.
    pub skipped: i32,
    /// `loaded/matched`, for the table of kubectl.
    pub summary: String,
}

/// What a policy selects, over all nodes that run it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadCounts {
    /// Pods.
    pub pods: i32,
    /// Containers in them.
    pub containers: i32,
    /// Since when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty_since: Option<Time>,
}

/// Nodes that fail, or wait, for the same reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FailureGroup {
    /// A word, as in conditions and metrics.
    pub reason: String,
    /// What one of them says.
    pub message: String,
    /// How many nodes.
    pub nodes: i32,
    /// At most five of them.
    pub sample_nodes: Vec<String>,
}

/// Progress of a staged rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutStatus {
    /// Progressing, Complete, or Stopped: monitor mode until the policy or the annotation changes.
    pub phase: String,
    /// Share of the nodes that may load this version.
    pub percent: i32,
    /// The policy's annotation that it follows: a rollout that was stopped goes on when it changes.
    pub annotation: String,
    /// When this percentage was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// What comes next, or why it stopped.
    pub message: String,
}

/// Made by the agent of a node, one for each node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "tetragon-rs.dev",
    version = "v1alpha1",
    kind = "TetragonNode",
    plural = "tetragonnodes",
    shortname = "tgn",
    category = "tetragon",
    status = "TetragonNodeStatus",
    doc = "What the agent of one node can do and does. Its name is the node's.",
    printcolumn = r#"{"name":"Kernel","type":"string","jsonPath":".status.kernel"}"#,
    printcolumn = r#"{"name":"Agent","type":"string","jsonPath":".status.agentVersion"}"#,
    printcolumn = r#"{"name":"Policies","type":"string","jsonPath":".status.policyCounts.summary","description":"loaded/wanted"}"#,
    printcolumn = r#"{"name":"Failed","type":"integer","jsonPath":".status.policyCounts.failed"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
pub struct TetragonNodeSpec {}

/// What the agent says of its node. Written by the agent, when something changed; the operator sets Ready to
/// Unknown when the agent is gone and cannot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TetragonNodeStatus {
    /// Version of the agent.
    pub agent_version: String,
    /// The format of plans that it reads.
    pub plan_format: i32,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub architecture: String,
    /// What the kernel lets the agent do.
    pub capabilities: NodeCapabilities,
    /// Ready: the agent runs, has its plans and knows the node's labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Numbers of the policies below.
    pub policy_counts: PolicyCounts,
    /// Policies from Kubernetes, sorted by namespace and name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<NodePolicy>,
    /// The other policies, of a node that has hundreds: the wanted plan runs, and nothing else is to be said. By
    /// their mode, name or namespace/name: ConfigMap of the plan.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub loaded: BTreeMap<String, BTreeMap<String, String>>,
    /// Events that could not be delivered, of all policies and of the base sensor.
    pub missed_events: i64,
}

/// Bytes of a status from which policies that run as wanted are told in short: some hundreds of them.
pub const SHORT_FROM: usize = 64 << 10;

impl TetragonNodeStatus {
    /// Tells in short what can be, if all of it is long: API servers of large clusters take the status of every
    /// node with every change.
    pub fn fit(&mut self) {
        // A status is made of strings, numbers and lists of them: it always serialises.
        if serde_json::to_vec(self).map_or(0, |text| text.len()) > SHORT_FROM {
            self.shorten();
        }
    }

    /// Tells in short what can be: policies of which no more is to be said than that the wanted plan runs.
    pub fn shorten(&mut self) {
        let (short, rest) = std::mem::take(&mut self.policies).into_iter().partition(NodePolicy::is_plain);
        self.policies = rest;
        for NodePolicy { name, namespace, plan, mode, .. } in short {
            let key = namespace.map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}"));
            self.loaded.entry(mode).or_default().insert(key, plan);
        }
    }
}

impl NodePolicy {
    /// It runs as wanted, chooses no pods and has done nothing yet. How its hooks are attached and what they cost
    /// can be asked of the node.
    fn is_plain(&self) -> bool {
        self.state == NodePolicyState::Loaded
            && (self.events, self.actions, self.missed) == (0, 0, 0)
            && (self.reason.is_empty() && self.message.is_empty() && self.running.is_none())
            && (self.pods.is_none() && self.containers.is_none())
    }
}

/// What the kernel lets the agent do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeCapabilities {
    /// /sys/kernel/btf/vmlinux is there.
    pub btf: bool,
    /// kprobes can be made: `kprobes:` on functions that are no LSM hooks.
    pub kprobes: bool,
    /// fentry programs load.
    pub fentry: bool,
    /// BPF LSM runs: `lsmhooks:`, and Override on security_ functions.
    pub lsm: bool,
    /// Override works, on LSM hooks and on security_ functions; BPF LSM does it.
    pub override_return: bool,
    /// Links of kprobes and tracepoints can be pinned: such hooks outlive the agent.
    pub pinned_kprobes: bool,
    /// The kernel may be preempted inside a hook.
    pub preemptible: bool,
    /// Tasks are in cgroup v2.
    pub cgroup_v2: bool,
}

/// Numbers of a node's policies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyCounts {
    /// Policies whose nodeSelector matches.
    pub wanted: i32,
    /// Of them: run in the wanted version.
    pub loaded: i32,
    /// Of them: do not.
    pub failed: i32,
    /// `loaded/wanted`, for the table of kubectl.
    pub summary: String,
}

/// What became of a policy on a node.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum NodePolicyState {
    /// Known, and not tried yet.
    #[default]
    Pending,
    /// Runs in this version.
    Loaded,
    /// This version does not run; one before it may.
    Failed,
    /// Not for this node.
    Skipped,
}

/// One policy on the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodePolicy {
    /// Its name.
    pub name: String,
    /// Its namespace, of a TracingPolicyNamespaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// ConfigMap of the plan that is wanted here.
    pub plan: String,
    /// What became of that plan.
    pub state: NodePolicyState,
    /// enforce, monitor or observe: what runs. Empty: nothing runs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// Why it failed or is skipped: a word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// And a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// ConfigMap of another version that still runs, when `plan` does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<String>,
    /// How each hook is attached, or why it is not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<NodeHook>,
    /// Kernel memory of the policy's own entries, in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub kernel_memory: i64,
    /// Pods of the node that the policy's podSelector and containerSelector select; of a policy that
    /// chooses none it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<i32>,
    /// Containers in them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<i32>,
    /// Events reported.
    #[serde(skip_serializing_if = "is_zero")]
    pub events: i64,
    /// Enforcing actions taken.
    #[serde(skip_serializing_if = "is_zero")]
    pub actions: i64,
    /// Events that could not be delivered.
    #[serde(skip_serializing_if = "is_zero")]
    pub missed: i64,
}

/// One hook of a policy on the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeHook {
    /// Function, LSM hook or tracepoint.
    pub function: String,
    /// lsm, kprobe, fentry, tracepoint or raw_tracepoint; empty: not attached.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub backend: String,
    /// Why it is not attached.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// Pods by address, for readers of events. Tetragon's kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodInfoSpec {
    /// The pod uses the node's network.
    pub host_network: bool,
    /// Where it runs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node_name: String,
}

/// `status` of PodInfo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodInfoStatus {
    /// The pod's first address.
    #[serde(rename = "podIP", skip_serializing_if = "String::is_empty")]
    pub pod_ip: String,
    /// All of them.
    #[serde(rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pub pod_ips: Vec<PodIp>,
}

/// An address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PodIp {
    /// IPv4 or IPv6.
    #[serde(rename = "IP", default)]
    pub ip: String,
}

/// The object that made a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadObject {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// Its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadType {
    /// `apps/v1`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// `Deployment`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policies(count: usize) -> TetragonNodeStatus {
        let policy = |i: usize| NodePolicy {
            name: format!("policy-{i:04}"),
            plan: format!("tetragon-plan-{i:010x}-43b763918d03b9bf"),
            state: NodePolicyState::Loaded,
            mode: "enforce".into(),
            hooks: vec![NodeHook {
                function: "security_file_open".into(),
                backend: "lsm".into(),
                error: String::new(),
            }],
            kernel_memory: 120,
            ..NodePolicy::default()
        };
        TetragonNodeStatus { policies: (0..count).map(policy).collect(), ..TetragonNodeStatus::default() }
    }

    #[test]
    fn a_node_with_few_policies_tells_all_of_each() {
        let mut status = policies(300);
        status.fit();
        assert_eq!(status, policies(300));
    }

    #[test]
    fn a_node_with_many_tells_in_short_what_runs_as_wanted() {
        let mut status = policies(1000);
        status.policies[0].namespace = Some("shop".into());
        status.policies[1].events = 1;
        status.policies[2].state = NodePolicyState::Failed;
        status.policies[3].pods = Some(0);
        status.policies[4].running = Some("another".into());
        status.policies[5].mode = "monitor".into();
        let (full, told) = (bytes(&status), status.policies[1..5].to_vec());
        status.fit();
        assert_eq!(status.policies, told);
        assert_eq!(status.loaded["enforce"].len(), 995);
        assert_eq!(status.loaded["enforce"]["shop/policy-0000"], "tetragon-plan-0000000000-43b763918d03b9bf");
        assert_eq!(status.loaded["monitor"].len(), 1);
        let short = bytes(&status);
        println!("1,000 policies: {full} bytes in full, {short} in short");
        assert!(short * 3 < full, "{short} of {full} bytes");
        let again: TetragonNodeStatus =
            serde_json::from_value(serde_json::to_value(&status).unwrap()).unwrap();
        assert_eq!(again, status);
    }

    fn bytes(status: &TetragonNodeStatus) -> usize {
        serde_json::to_vec(status).unwrap().len()
    }
}
