//! What is known of the nodes: their labels, their agents, and what became of each policy there.
//!
//! Events go in, counts come out. No I/O and no clock here: [`watch`](super::watch) feeds it. Each
//! TetragonNode is taken apart when it arrives and dropped: what nodes say is repetitive, so every policy
//! has one number per node that points to a shared [`Report`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use tetragon_api::status::NodeCapabilities;
use tokio::sync::watch as channel;

use super::changes::{Changed, Changes, Scope};
use super::reports::{Report, Reports};
use super::tally::{self, Tally, Wanted};

/// A policy, as nodes name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// `metadata.namespace` of a TracingPolicyNamespaced.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

impl PolicyKey {
    /// Which kind it is.
    pub fn scope(&self) -> Scope {
        if self.namespace.is_some() { Scope::Namespaced } else { Scope::Cluster }
    }
}

/// Labels of a Node.
pub type Labels = BTreeMap<String, String>;

/// What an agent says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// `uname -r`.
    pub kernel: String,
    /// What the kernel lets it do.
    pub capabilities: NodeCapabilities,
    /// It said that it stops.
    pub stopped: bool,
    /// Why it is not ready: a word; empty when it is.
    pub reason: String,
    /// And a sentence.
    pub message: String,
}

/// What a TetragonNode says of its agent's life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// `metadata.resourceVersion`: with another one somebody has written.
    pub version: String,
    /// Ready is False because the agent was stopped: that it is gone is as it should be.
    pub stopped: bool,
    /// It is Unknown: an operator has taken the agent for gone.
    pub lost: bool,
}

/// A node whose agent is gone, as far as its pods tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its name.
    pub node: Arc<str>,
    /// What its TetragonNode says.
    pub said: Said,
    /// How it is known: a part of a sentence.
    pub why: &'static str,
}

/// A node that runs an agent.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Arc<Labels>,
    /// Its agent.
    pub agent: Arc<Agent>,
}

/// A pod of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `spec.nodeName`; empty until it is scheduled.
    pub node: String,
    /// Its condition Ready is true, and it is not being deleted.
    pub ready: bool,
}

/// The watches that must have listed everything once, before counts mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Node objects.
    Nodes = 1,
    /// TetragonNode objects.
    Reports = 2,
    /// Pods of the agent.
    Pods = 4,
}

const ALL_SOURCES: u8 = 7;

/// What is known of the nodes; shared by the controller and the webhook.
pub struct Index {
    state: Mutex<State>,
    changes: Changes,
    synced: channel::Sender<u8>,
}

impl Default for Index {
    fn default() -> Self {
        Index { state: Mutex::default(), changes: Changes::default(), synced: channel::Sender::new(0) }
    }
}

#[derive(Default)]
pub(super) struct State {
    /// In the order of names: samples are stable.
    pub(super) nodes: BTreeMap<Arc<str>, Entry>,
    pub(super) policies: HashMap<PolicyKey, Column>,
    pub(super) reports: Reports,
    pods: HashMap<String, Pod>,
    /// Places in columns that no node has.
    free: Vec<usize>,
    places: usize,
    /// Counts changes of what the nodes are and can do.
    fleet: u64,
}

/// What is known of one node.
pub(super) struct Entry {
    /// Its place in every column.
    pub(super) place: usize,
    /// Of its Node; `None`: there is none.
    pub(super) labels: Option<Arc<Labels>>,
    /// Of its TetragonNode; `None`: there is none.
    pub(super) agent: Option<Arc<Agent>>,
    said: Said,
    pods: usize,
    ready_pods: usize,
    /// A pod was seen here since the process began: without one the agent is gone.
    pod_seen: bool,
}

impl Entry {
    /// The node exists and is meant to run an agent.
    pub(super) fn counts(&self) -> bool {
        self.labels.is_some() && (self.agent.is_some() || self.pods > 0)
    }

    /// Nothing says that the agent does not run.
    pub(super) fn alive(&self) -> bool {
        // What an operator before this one has seen of the pods stands in the TetragonNode.
        let pod = if self.pod_seen { self.ready_pods > 0 } else { !self.said.lost };
        pod && self.agent.as_ref().is_none_or(|a| !a.stopped)
    }

    /// Why the agent is taken for gone, whatever its TetragonNode says.
    fn gone(&self) -> Option<&'static str> {
        if self.labels.is_none() {
            return Some("there is no Node of this name");
        }
        (self.pod_seen && self.ready_pods == 0).then_some("no pod of the agent is ready on the node")
    }
}

/// What the nodes say of one policy.
#[derive(Default)]
pub(super) struct Column {
    /// By the node's place; [`Reports::NONE`]: nothing.
    reports: Vec<u32>,
    used: usize,
}

impl Column {
    pub(super) fn get(&self, place: usize) -> u32 {
        self.reports.get(place).copied().unwrap_or(Reports::NONE)
    }
}

impl Index {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the index panics")
    }

    /// A Node was made or changed.
    pub fn apply_node(&self, name: &str, labels: Labels) {
        let mut state = self.lock();
        let entry = state.entry(name);
        if entry.labels.as_deref() != Some(&labels) {
            let before = entry.labels.replace(Arc::new(labels));
            state.fleet += 1;
            match before {
                Some(_) => self.changes.labels(),
                None => self.changes.all(),
            }
        }
    }

    /// A Node is gone: so is all that is known of its agent.
    pub fn delete_node(&self, name: &str) {
        self.change(name, |entry| entry.labels = None);
    }

    /// A TetragonNode was made or changed. `policies` is all that it says.
    pub fn apply_report(&self, name: &str, said: Said, agent: Agent, policies: Vec<(PolicyKey, Report)>) {
        let mut state = self.lock();
        let entry = state.entry(name);
        let place = entry.place;
        let was = entry.alive();
        entry.said = said;
        if was != entry.alive() {
            self.changes.all();
        }
        if entry.agent.as_deref() != Some(&agent) {
            let agent = Arc::new(agent);
            let before = entry.agent.replace(agent.clone());
            if before.is_none_or(|b| b.capabilities != agent.capabilities) {
                state.fleet += 1;
            }
            self.changes.all();
        }
        for key in state.take(place, policies) {
            self.changes.touch(&key);
        }
    }

    /// A TetragonNode is gone.
    pub fn delete_report(&self, name: &str) {
        let mut state = self.lock();
        if let Some(place) = state.nodes.get(name).map(|e| e.place) {
            state.take(place, Vec::new()).iter().for_each(|key| self.changes.touch(key));
        }
        drop(state);
        self.change(name, |entry| (entry.agent, entry.said) = (None, Said::default()));
    }

    /// A pod of the agent was made or changed.
    pub fn apply_pod(&self, name: &str, pod: &Pod) {
        let mut state = self.lock();
        let before = state.pods.insert(name.to_owned(), pod.clone());
        if before.as_ref() == Some(pod) {
            return;
        }
        let mut changed = before.is_some_and(|pod| state.uncount(&pod));
        if !pod.node.is_empty() {
            let entry = state.entry(&pod.node);
            let was = (entry.counts(), entry.alive());
            entry.pods += 1;
            entry.ready_pods += usize::from(pod.ready);
            entry.pod_seen = true;
            changed |= was != (entry.counts(), entry.alive());
        }
        if changed {
            self.changes.all();
        }
    }

    /// A pod of the agent is gone.
    pub fn delete_pod(&self, name: &str) {
        let mut state = self.lock();
        if let Some(pod) = state.pods.remove(name)
            && state.uncount(&pod)
        {
            self.changes.all();
        }
    }

    /// A source was listed anew: what is not among `names` is gone.
    pub fn retain(&self, source: Source, names: &HashSet<String>) {
        let state = self.lock();
        let known = |has: &dyn Fn(&Entry) -> bool| -> Vec<String> {
            let all = state.nodes.iter().filter(|(_, e)| has(e)).map(|(name, _)| name.to_string());
            all.filter(|n| !names.contains(n)).collect()
        };
        let gone = match source {
            Source::Nodes => known(&|e| e.labels.is_some()),
            Source::Reports => known(&|e| e.agent.is_some()),
            Source::Pods => state.pods.keys().filter(|n| !names.contains(*n)).cloned().collect(),
        };
        drop(state);
        for name in gone {
            match source {
                Source::Nodes => self.delete_node(&name),
                Source::Reports => self.delete_report(&name),
                Source::Pods => self.delete_pod(&name),
            }
        }
        self.synced.send_modify(|done| *done |= source as u8);
    }

    /// Waits until everything was listed once.
    pub async fn synced(&self) {
        // The sender lives as long as `self`.
        let _ = self.synced.subscribe().wait_for(|done| *done == ALL_SOURCES).await;
    }

    /// The nodes whose agents have written what they can do, sorted by name.
    pub fn nodes(&self) -> Vec<Node> {
        let state = self.lock();
        let node = |(name, e): (&Arc<str>, &Entry)| {
            Some(Node { name: name.clone(), labels: e.labels.clone()?, agent: e.agent.clone()? })
        };
        state.nodes.iter().filter_map(node).collect()
    }

    /// Differs whenever [`Index::nodes`] does, and not when only what runs there does.
    pub fn fleet(&self) -> u64 {
        self.lock().fleet
    }

    /// How many nodes count, and how many of them have an agent that runs.
    pub fn node_counts(&self) -> (usize, usize) {
        let state = self.lock();
        let counted = state.nodes.values().filter(|e| e.counts());
        let alive = counted.clone().filter(|e| e.alive() && e.agent.is_some()).count();
        (counted.count(), alive)
    }

    /// The TetragonNodes whose agents are gone.
    pub fn gone(&self) -> Vec<Gone> {
        let state = self.lock();
        let written = state.nodes.iter().filter(|(_, e)| e.agent.is_some());
        let gone = |(name, e): (&Arc<str>, &Entry)| {
            Some(Gone { node: name.clone(), said: e.said.clone(), why: e.gone()? })
        };
        written.filter_map(gone).collect()
    }

    /// Counts what the nodes say about a policy.
    pub fn tally(&self, wanted: &Wanted<'_>) -> Tally {
        tally::tally(&self.lock(), wanted)
    }

    /// Something else about a policy changed: it is worth a look.
    pub fn touch(&self, key: &PolicyKey) {
        self.changes.touch(key);
    }

    /// Something changed that concerns all policies.
    pub fn touch_all(&self) {
        self.changes.all();
    }

    /// Waits for changes that concern policies of a kind, and takes them.
    pub async fn changed(&self, scope: Scope) -> Changed {
        self.changes.next(scope).await
    }

    fn change(&self, name: &str, f: impl FnOnce(&mut Entry)) {
        let mut state = self.lock();
        let Some(entry) = state.nodes.get_mut(name) else { return };
        let was = (entry.counts(), entry.alive());
        f(entry);
        if was != (entry.counts(), entry.alive()) {
            self.changes.all();
        }
        state.fleet += 1;
        state.forget(name);
    }
}

impl State {
    fn entry(&mut self, name: &str) -> &mut Entry {
        if !self.nodes.contains_key(name) {
            let place = self.free.pop().unwrap_or_else(|| {
                self.places += 1;
                self.places - 1
            });
            let entry = Entry {
                place,
                labels: None,
                agent: None,
                said: Said::default(),
                pods: 0,
                ready_pods: 0,
                pod_seen: false,
            };
            self.nodes.insert(name.into(), entry);
        }
        self.nodes.get_mut(name).expect("it was just made")
    }

    /// Drops a node that no source knows any more.
    fn forget(&mut self, name: &str) {
        if let Some(entry) = self.nodes.get(name)
            && entry.labels.is_none()
            && entry.agent.is_none()
            && entry.pods == 0
        {
            self.free.push(entry.place);
            self.nodes.remove(name);
        }
    }

    /// A pod leaves its node. True: that changed what is known of the node.
    fn uncount(&mut self, pod: &Pod) -> bool {
        let Some(entry) = self.nodes.get_mut(pod.node.as_str()) else { return false };
        let was = (entry.counts(), entry.alive());
        entry.pods -= 1;
        entry.ready_pods -= usize::from(pod.ready);
        let changed = was != (entry.counts(), entry.alive());
        self.forget(&pod.node);
        changed
    }

    /// Replaces all that the node at `place` says; gives the policies for which that is new.
    fn take(&mut self, place: usize, policies: Vec<(PolicyKey, Report)>) -> Vec<PolicyKey> {
        let mut new: HashMap<PolicyKey, Report> = policies.into_iter().collect();
        let mut changed = Vec::new();
        let reports = &mut self.reports;
        self.policies.retain(|key, column| {
            let old = column.get(place);
            let report = new.remove(key);
            if report.as_ref() == reports.get(old) {
                return true;
            }
            changed.push(key.clone());
            column.set(place, report.map_or(Reports::NONE, |r| reports.add(r)));
            reports.release(old);
            column.used > 0
        });
        for (key, report) in new {
            changed.push(key.clone());
            let id = reports.add(report);
            self.policies.entry(key).or_default().set(place, id);
        }
        changed
    }
}

impl Column {
    fn set(&mut self, place: usize, id: u32) {
        if self.reports.len() <= place {
            self.reports.resize(place + 1, Reports::NONE);
        }
        let old = std::mem::replace(&mut self.reports[place], id);
        self.used += usize::from(id != Reports::NONE);
        self.used -= usize::from(old != Reports::NONE);
    }
}

#[cfg(test)]
mod tests;
