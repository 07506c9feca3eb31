//! Simulated agents: real Nodes and TetragonNodes, written as an agent writes them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tetragon_api::plan::Plan;
use tetragon_api::published::{OBJECT_LABEL, OBJECT_PLAN, PlanMeta, decode, mode_name};
use tetragon_api::status::{NodePolicy, NodePolicyState, TetragonNode};
use tokio::task::JoinSet;

use crate::bed::{Bed, MARK, NAMESPACE, Policy, eventually};

/// What a node makes of a plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It loads it.
    Load,
    /// It says nothing new.
    Silence,
    /// It cannot.
    Fail(&'static str),
    /// Too many actions; until the revision or the limit changes.
    Limit(Option<(i64, Option<u32>)>),
}

/// The nodes of a scenario.
pub struct Agents {
    bed: &'static Bed,
    pub nodes: Vec<String>,
    state: Arc<State>,
    /// Follows plans while this lives.
    _task: JoinSet<()>,
}

struct State {
    client: Client,
    /// Of the policies; the nodes' label, too.
    scenario: String,
    answers: Mutex<HashMap<String, Answer>>,
    plans: Mutex<BTreeMap<String, PlanMeta>>,
    said: Mutex<HashMap<String, Vec<NodePolicy>>>,
    /// Pods and containers that every policy for pods selects on a node.
    selected: Mutex<HashMap<String, (i32, i32)>>,
    /// Everything is told again, whatever was said.
    changed: tokio::sync::Notify,
}

impl Agents {
    /// Makes `count` nodes for a policy.
    pub async fn of(bed: &'static Bed, policy: &Policy, count: usize) -> Agents {
        let state = Arc::new(State {
            client: bed.client.clone(),
            scenario: policy.name.clone(),
            answers: Mutex::default(),
            plans: Mutex::default(),
            said: Mutex::default(),
            selected: Mutex::default(),
            changed: tokio::sync::Notify::new(),
        });
        let nodes: Vec<String> = (0..count).map(|i| format!("{}-{i:02}", policy.name)).collect();
        for node in &nodes {
            state.answers.lock().unwrap().insert(node.clone(), Answer::Load);
            state.make(node).await;
        }
        let mut task = JoinSet::new();
        task.spawn(follow(state.clone()));
        Agents { bed, nodes, state, _task: task }
    }

    /// The node answers so from now on.
    pub fn answer(&self, node: usize, answer: Answer) {
        self.state.answers.lock().unwrap().insert(self.nodes[node].clone(), answer);
        self.state.changed.notify_one();
    }

    /// So much is what policies for pods select on a node.
    pub fn select(&self, node: usize, pods: i32, containers: i32) {
        self.state.selected.lock().unwrap().insert(self.nodes[node].clone(), (pods, containers));
        self.state.changed.notify_one();
    }

    /// The Node is deleted, and its agent with it.
    pub async fn remove(&self, node: usize) {
        let name = &self.nodes[node];
        self.state.answers.lock().unwrap().remove(name);
        self.bed.nodes().delete(name, &DeleteParams::background()).await.unwrap();
    }

    /// Sets a label of a Node.
    pub async fn label(&self, node: usize, key: &str, value: &str) {
        let patch = json!({"metadata": {"labels": {key: value}}});
        self.bed
            .nodes()
            .patch(&self.nodes[node], &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    /// The agent says whether it is ready.
    pub async fn ready(&self, node: usize, ready: bool, reason: &str, time: &str) {
        let conditions = json!([{
            "type": "Ready", "status": if ready { "True" } else { "False" }, "reason": reason, "message": "simulated",
            "lastTransitionTime": time,
        }]);
        let patch = json!({"status": {"conditions": conditions}});
        let api: Api<TetragonNode> = Api::all(self.state.client.clone());
        api.patch_status(&self.nodes[node], &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }
}

impl Bed {
    pub fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }
}

async fn follow(state: Arc<State>) {
    let api: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(state.client.clone(), NAMESPACE);
    let config = watcher::Config::default().labels(&format!("{OBJECT_LABEL}={OBJECT_PLAN}"));
    let mut events = watcher(api, config).default_backoff().boxed();
    loop {
        tokio::select! {
            event = events.next() => state.note(event.unwrap()),
            () = state.changed.notified() => {}
        }
        // One write of a node that fails is made up for by the next.
        if let Err(error) = state.tell().await {
            tracing::debug!(%error, "a simulated agent could not write");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            state.changed.notify_one();
        }
    }
}

impl State {
    async fn make(&self, name: &str) {
        let labels = json!({MARK: "true", "scenario": self.scenario});
        let nodes: Api<Node> = Api::all(self.client.clone());
        let params = PatchParams::apply("policies-test").force();
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
        let made = nodes.patch(name, &params, &Patch::Apply(&node)).await.unwrap();
        let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": name, "uid": made.uid().unwrap()}]);
        let object = json!({
            "apiVersion": "tetragon-rs.dev/v1alpha1",
            "kind": "TetragonNode",
            "metadata": {"name": name, "labels": {MARK: "true"}, "ownerReferences": owner},
            "spec": {},
        });
        let api: Api<TetragonNode> = Api::all(self.client.clone());
        api.patch(name, &PatchParams::apply("tetragon-agent").force(), &Patch::Apply(&object)).await.unwrap();
        self.write(name, &[]).await.unwrap();
    }

    fn note(&self, event: watcher::Result<watcher::Event<PartialObjectMeta<ConfigMap>>>) {
        let mut plans = self.plans.lock().unwrap();
        match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                let meta = PlanMeta::from_meta(&object.metadata).ok();
                if let Some(meta) = meta.filter(|m| m.policy.name == self.scenario) {
                    plans.insert(object.name_any(), meta);
                }
            }
            Ok(watcher::Event::Delete(object)) => drop(plans.remove(&object.name_any())),
            Ok(watcher::Event::Init) => plans.clear(),
            Ok(watcher::Event::InitDone) | Err(_) => {}
        }
    }

    async fn tell(&self) -> kube::Result<()> {
        let nodes: Vec<String> = self.answers.lock().unwrap().keys().cloned().collect();
        for node in nodes {
            let Some(policies) = self.policies(&node).await? else { continue };
            if self.said.lock().unwrap().get(&node) != Some(&policies) {
                self.write(&node, &policies).await?;
                self.said.lock().unwrap().insert(node, policies);
            }
        }
        Ok(())
    }

    /// `None`: it says nothing new.
    async fn policies(&self, node: &str) -> kube::Result<Option<Vec<NodePolicy>>> {
        // A policy in each namespace may have the name.
        let mut newest: BTreeMap<Option<String>, (String, PlanMeta)> = BTreeMap::new();
        for (name, meta) in self.plans.lock().unwrap().iter().filter(|(_, m)| m.is_for(node)) {
            let there = newest.get(&meta.policy.namespace);
            if there.is_none_or(|(_, there)| there.revision <= meta.revision) {
                newest.insert(meta.policy.namespace.clone(), (name.clone(), meta.clone()));
            }
        }
        let mut policies = Vec::new();
        for (name, meta) in newest.values() {
            let Some(policy) = self.policy(node, name, meta).await? else { return Ok(None) };
            policies.push(policy);
        }
        Ok(Some(policies))
    }

    /// `None`: it says nothing new.
    async fn policy(&self, node: &str, plan: &str, meta: &PlanMeta) -> kube::Result<Option<NodePolicy>> {
        let base = NodePolicy {
            name: meta.policy.name.clone(),
            namespace: meta.policy.namespace.clone(),
            plan: plan.into(),
            ..NodePolicy::default()
        };
        let failed = |reason: &str, message: String| {
            let (reason, state) = (reason.to_owned(), NodePolicyState::Failed);
            Some(NodePolicy { state, reason, message, ..base.clone() })
        };
        let Some(answer) = self.answers.lock().unwrap().get(node).cloned() else { return Ok(None) };
        let limits = Some((meta.revision, meta.max_actions));
        match answer {
            Answer::Silence => return Ok(None),
            Answer::Fail(reason) => return Ok(failed(reason, format!("{reason}: simulated"))),
            Answer::Limit(None) => {
                self.answers.lock().unwrap().insert(node.into(), Answer::Limit(limits));
                return Ok(failed("ActionLimit", "more actions than allowed".into()));
            }
            Answer::Limit(at) if at == limits => {
                return Ok(failed("ActionLimit", "more actions than allowed".into()));
            }
            Answer::Load | Answer::Limit(_) => {}
        }
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        let body: Plan = match api.get_opt(plan).await?.map(|object| decode(&object, meta)) {
            None => return Ok(None),
            Some(Err(error)) => return Ok(failed(error.reason(), error.to_string())),
            Some(Ok(plan)) => plan,
        };
        let mode = if body.enforces() { mode_name(meta.mode.unwrap_or(body.mode)) } else { "observe" };
        let for_pods = body.workloads.is_some_and(|w| w.pods.is_some());
        let selected = self.selected.lock().unwrap().get(node).copied().filter(|_| for_pods);
        let (pods, containers) = (selected.map(|s| s.0), selected.map(|s| s.1));
        Ok(Some(NodePolicy { state: NodePolicyState::Loaded, mode: mode.into(), pods, containers, ..base }))
    }

    async fn write(&self, node: &str, policies: &[NodePolicy]) -> kube::Result<()> {
        let capabilities: Value =
            json!({"btf": true, "kprobes": true, "fentry": true, "lsm": true, "overrideReturn": true});
        let object = json!({
            "apiVersion": "tetragon-rs.dev/v1alpha1",
            "kind": "TetragonNode",
            "metadata": {"name": node},
            "status": {"agentVersion": "0.1.0", "kernel": "6.12.0", "capabilities": capabilities, "policies": policies},
        });
        let api: Api<TetragonNode> = Api::all(self.client.clone());
        api.patch_status(node, &PatchParams::apply("tetragon-agent").force(), &Patch::Apply(&object))
            .await
            .map(drop)
    }
}

/// Waits until a TetragonNode is gone.
pub async fn until_gone(bed: &Bed, node: &str) {
    let api: Api<TetragonNode> = Api::all(bed.client.clone());
    eventually(&format!("{node} is gone"), || async {
        match api.get_opt(node).await.unwrap() {
            None => Ok(()),
            Some(object) => Err(object.name_any()),
        }
    })
    .await;
}
