//! What nodes say about policies, each different saying once.

use std::collections::HashMap;
use std::sync::Arc;

use tetragon_api::status::NodePolicyState;

/// What a node says about a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Report {
    /// ConfigMap of the plan that is wanted there.
    pub plan: String,
    /// What became of it.
    pub state: NodePolicyState,
    /// enforce, monitor or observe.
    pub mode: String,
    /// Why it failed or is skipped: a word.
    pub reason: String,
    /// And a sentence.
    pub message: String,
    /// ConfigMap of another version that still runs.
    pub running: Option<String>,
    /// What the policy selects there; `None`: it chooses no pods, or the agent does not say.
    pub selected: Option<Selected>,
}

/// How many pods and containers of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selected {
    /// Pods.
    pub pods: u32,
    /// Containers in them.
    pub containers: u32,
}

/// Bytes of all messages together. Beyond it reports are kept without theirs: nodes that each say
/// something else about each policy do not fill the memory.
const MESSAGES_MAX: usize = 16 << 20;

/// Reports with the number of their users.
#[derive(Default)]
pub(super) struct Reports {
    ids: HashMap<Arc<Report>, u32>,
    entries: Vec<Option<(Arc<Report>, u32)>>,
    free: Vec<u32>,
    message_bytes: usize,
}

impl Reports {
    /// No report.
    pub(super) const NONE: u32 = u32::MAX;

    pub(super) fn get(&self, id: u32) -> Option<&Report> {
        self.entries.get(id as usize)?.as_ref().map(|(report, _)| &**report)
    }

    /// The report's id; it has one user more.
    pub(super) fn add(&mut self, mut report: Report) -> u32 {
        if !self.ids.contains_key(&report) && self.message_bytes + report.message.len() > MESSAGES_MAX {
            report.message.clear();
        }
        if let Some(id) = self.ids.get(&report) {
            if let Some((_, users)) = &mut self.entries[*id as usize] {
                *users += 1;
            }
            return *id;
        }
        self.message_bytes += report.message.len();
        let report = Arc::new(report);
        let entry = Some((report.clone(), 1));
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        self.ids.insert(report, id);
        id
    }

    /// The report has one user less.
    pub(super) fn release(&mut self, id: u32) {
        let Some(slot) = self.entries.get_mut(id as usize) else { return };
        let Some((report, users)) = slot else { return };
        *users -= 1;
        if *users == 0 {
            self.message_bytes -= report.message.len();
            self.ids.remove(report);
            *slot = None;
            self.free.push(id);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_a_bound() {
        let mut reports = Reports::default();
        let report =
            |i: usize| Report { reason: format!("R{i}"), message: format!("{i:01024}"), ..Report::default() };
        let ids: Vec<u32> = (0..MESSAGES_MAX / 1024 + 10).map(|i| reports.add(report(i))).collect();
        assert!(reports.message_bytes <= MESSAGES_MAX);
        assert_eq!(reports.get(ids[0]), Some(&report(0)));
        let last = reports.get(*ids.last().unwrap()).unwrap();
        assert!(last.message.is_empty() && last.reason == format!("R{}", ids.len() - 1));
        ids.into_iter().for_each(|id| reports.release(id));
        assert_eq!((reports.len(), reports.message_bytes), (0, 0));
    }
}
