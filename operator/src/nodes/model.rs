//! The data of the index: nodes, their agents and pods, and the reports about each policy.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tetragon_api::status::NodeCapabilities;

use super::reports::{Report, Reports};

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

/// The two kinds of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// TracingPolicy.
    Cluster,
    /// TracingPolicyNamespaced.
    Namespaced,
}

impl Scope {
    /// Both.
    pub const ALL: [Scope; 2] = [Scope::Cluster, Scope::Namespaced];
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

#[derive(Default)]
pub(super) struct State {
    /// In the order of names: samples are stable.
    pub(super) nodes: BTreeMap<Arc<str>, Entry>,
    pub(super) policies: HashMap<PolicyKey, Column>,
    pub(super) reports: Reports,
    pub(super) pods: HashMap<String, Pod>,
    /// Places in columns that no node has.
    pub(super) free: Vec<usize>,
    pub(super) places: usize,
    /// Counts changes of what the nodes are and can do.
    pub(super) fleet: u64,
}

/// What is known of one node.
pub(super) struct Entry {
    /// Its place in every column.
    pub(super) place: usize,
    /// Of its Node; `None`: there is none.
    pub(super) labels: Option<Arc<Labels>>,
    /// Of its TetragonNode; `None`: there is none.
    pub(super) agent: Option<Arc<Agent>>,
    pub(super) said: Said,
    pub(super) pods: usize,
    pub(super) ready_pods: usize,
    /// A pod was seen here since the process began: without one the agent is gone.
    pub(super) pod_seen: bool,
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
    pub(super) fn gone(&self) -> Option<&'static str> {
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

impl State {
    pub(super) fn entry(&mut self, name: &str) -> &mut Entry {
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
    pub(super) fn forget(&mut self, name: &str) {
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
    pub(super) fn uncount(&mut self, pod: &Pod) -> bool {
        let Some(entry) = self.nodes.get_mut(pod.node.as_str()) else { return false };
        let was = (entry.counts(), entry.alive());
        entry.pods -= 1;
        entry.ready_pods -= usize::from(pod.ready);
        let changed = was != (entry.counts(), entry.alive());
        self.forget(&pod.node);
        changed
    }

    /// Replaces all that the node at `place` says; gives the policies for which that is new.
    pub(super) fn take(&mut self, place: usize, policies: Vec<(PolicyKey, Report)>) -> Vec<PolicyKey> {
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
