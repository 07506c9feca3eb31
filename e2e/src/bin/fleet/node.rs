//! One simulated node: what its agent would say.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::Result;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tetragon_api::published::PlanMeta;
use tetragon_api::status::{
    NodeCapabilities, NodeHook, NodePolicy, NodePolicyState, PolicyCounts, TetragonNode, TetragonNodeStatus,
};

/// The agents' field manager.
const MANAGER: &str = "tetragon-agent";

/// A node without a machine.
pub(crate) struct Simulated {
    name: String,
    /// `metadata.uid` of its Node.
    uid: String,
    /// Its kernel has none of the hooks.
    failing: bool,
    /// What it said last.
    said: Mutex<Vec<NodePolicy>>,
}

impl Simulated {
    pub(crate) fn new(name: String, uid: String, failing: bool) -> Self {
        Simulated { name, uid, failing, said: Mutex::default() }
    }

    /// Makes the object, as an agent does when it starts.
    pub(crate) async fn create(&self, client: &Client) -> Result<()> {
        let object = json!({
            "apiVersion": "tetragon-rs.dev/v1alpha1",
            "kind": "TetragonNode",
            "metadata": {
                "name": self.name,
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": self.name, "uid": self.uid}],
            },
            "spec": {},
        });
        let api: Api<TetragonNode> = Api::all(client.clone());
        api.patch(&self.name, &params(), &Patch::Apply(&object)).await?;
        self.write(client, &[]).await
    }

    /// Takes the plans that are for this node, and says so if that is new.
    pub(crate) async fn take(&self, client: &Client, known: &BTreeMap<String, PlanMeta>) -> Result<bool> {
        let policies = self.policies(known);
        if *self.said.lock().expect("no holder panics") == policies {
            return Ok(false);
        }
        self.write(client, &policies).await?;
        *self.said.lock().expect("no holder panics") = policies;
        Ok(true)
    }

    fn policies(&self, known: &BTreeMap<String, PlanMeta>) -> Vec<NodePolicy> {
        let mut newest: BTreeMap<&str, (&String, &PlanMeta)> = BTreeMap::new();
        for (name, meta) in known.iter().filter(|(_, m)| m.is_for(&self.name)) {
            let entry = newest.entry(&meta.policy.uid).or_insert((name, meta));
            if meta.revision > entry.1.revision {
                *entry = (name, meta);
            }
        }
        let mut policies: Vec<_> = newest.values().map(|(name, meta)| self.policy(name, meta)).collect();
        policies.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        policies
    }

    fn policy(&self, plan: &str, meta: &PlanMeta) -> NodePolicy {
        let base = NodePolicy {
            name: meta.policy.name.clone(),
            namespace: meta.policy.namespace.clone(),
            plan: plan.to_owned(),
            ..NodePolicy::default()
        };
        let function = "security_file_open".to_owned();
        if self.failing {
            let error = "this kernel has neither BPF LSM nor kprobes".to_owned();
            return NodePolicy {
                state: NodePolicyState::Failed,
                reason: "HookNotAvailable".into(),
                message: format!("spec.kprobes[0]: {error}"),
                hooks: vec![NodeHook { function, backend: String::new(), error }],
                ..base
            };
        }
        NodePolicy {
            state: NodePolicyState::Loaded,
            mode: "observe".into(),
            hooks: vec![NodeHook { function, backend: "lsm".into(), error: String::new() }],
            kernel_memory: 3949,
            ..base
        }
    }

    async fn write(&self, client: &Client, policies: &[NodePolicy]) -> Result<()> {
        let failed = policies.iter().filter(|p| p.state == NodePolicyState::Failed).count();
        let (wanted, failed) = (policies.len() as i32, failed as i32);
        let loaded = wanted - failed;
        let mut status = TetragonNodeStatus {
            agent_version: env!("CARGO_PKG_VERSION").into(),
            plan_format: 1,
            kernel: if self.failing { "6.18.5" } else { "6.12.118+deb13-cloud-amd64" }.into(),
            architecture: "x86_64".into(),
            capabilities: NodeCapabilities {
                btf: true,
                kprobes: !self.failing,
                fentry: !self.failing,
                lsm: !self.failing,
                cgroup_v2: true,
                ..NodeCapabilities::default()
            },
            policy_counts: PolicyCounts { wanted, loaded, failed, summary: format!("{loaded}/{wanted}") },
            policies: policies.to_vec(),
            ..TetragonNodeStatus::default()
        };
        status.fit();
        let mut status = serde_json::to_value(status)?;
        status["conditions"] = condition();
        let object = json!({
            "apiVersion": "tetragon-rs.dev/v1alpha1",
            "kind": "TetragonNode",
            "metadata": {"name": self.name},
            "status": status,
        });
        let api: Api<TetragonNode> = Api::all(client.clone());
        api.patch_status(&self.name, &params(), &Patch::Apply(&object)).await?;
        Ok(())
    }
}

fn params() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}

/// Ready, since the beginning of the simulation.
fn condition() -> Value {
    json!([{
        "type": "Ready", "status": "True", "reason": "Running", "message": "simulated",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }])
}
