//! What is known of the nodes: their labels, their agents, and what became of each policy there.
//!
//! Events go in, counts come out. No I/O and no clock here: [`watch`](super::watch) feeds it. Each
//! TetragonNode is taken apart when it arrives and dropped: what nodes say is repetitive, so every policy
//! has one number per node that points to a shared [`Report`].

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch as channel;

use super::changes::{Changed, Changes};
use super::model::{Agent, Entry, Gone, Labels, Node, Pod, PolicyKey, Said, Scope, Source, State};
use super::reports::Report;
use super::tally::{self, Tally, Wanted};

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

#[cfg(test)]
mod tests;
