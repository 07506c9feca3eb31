//! Counts what the nodes say about one policy.

use std::collections::{BTreeMap, BTreeSet};

use tetragon_api::plan::Mode;
use tetragon_api::policy::LabelSelector;
use tetragon_api::published::{bucket, mode_name};
use tetragon_api::reason;
use tetragon_api::status::{MAX_SAMPLES, NodePolicyState};

use super::model::{Agent, Entry, PolicyKey, State};
use super::reports::{Report, Selected};

/// What the nodes should do about a policy.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The policy.
    pub key: &'a PolicyKey,
    /// Its uid.
    pub uid: &'a str,
    /// ConfigMap of the plan.
    pub plan: &'a str,
    /// The nodes that it is for; `None`: all.
    pub selector: Option<&'a LabelSelector>,
    /// Share of them that may load it.
    pub percent: u8,
    /// The mode that it should run in; `None`: it has none.
    pub mode: Option<Mode>,
}

/// How many nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Run the plan.
    pub loaded: usize,
    /// Have not said yet, or cannot.
    pub pending: usize,
    /// Said that they cannot run it.
    pub failed: usize,
}

impl Part {
    /// All of them.
    pub fn total(&self) -> usize {
        self.loaded + self.pending + self.failed
    }
}

/// Nodes that fail, or wait, for the same reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// The reason.
    pub reason: String,
    /// They failed; otherwise they are pending.
    pub failed: bool,
    /// How many.
    pub nodes: usize,
    /// What the first of them says.
    pub message: String,
    /// The first of them.
    pub samples: Vec<String>,
}

/// What the nodes say about a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The nodes that the policy is for.
    pub matched: Part,
    /// Of them, those that the rollout has reached.
    pub reached: Part,
    /// The others.
    pub skipped: usize,
    /// Why nodes fail or wait: the largest group first.
    pub groups: Vec<Group>,
    /// ConfigMaps that some node names.
    pub in_use: BTreeSet<String>,
    /// What the policy selects on the nodes that run it.
    pub selected: Sum,
}

/// What a policy selects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Nodes that run the policy, and say what it selects there.
    pub nodes: usize,
    /// Pods.
    pub pods: u64,
    /// Containers in them.
    pub containers: u64,
}

impl Sum {
    fn add(&mut self, selected: Selected) {
        self.nodes += 1;
        self.pods += u64::from(selected.pods);
        self.containers += u64::from(selected.containers);
    }
}

impl Tally {
    /// Nodes that failed for this reason.
    pub fn failed_for(&self, reason: &str) -> Option<&Group> {
        self.groups.iter().find(|g| g.failed && g.reason == reason)
    }
}

pub(super) fn tally(state: &State, wanted: &Wanted<'_>) -> Tally {
    let mut tally = Tally::default();
    let mut groups: BTreeMap<(String, bool), Group> = BTreeMap::new();
    let column = state.policies.get(wanted.key);
    for (name, entry) in &state.nodes {
        let report = column.and_then(|c| state.reports.get(c.get(entry.place)));
        if let Some(report) = report {
            name_plans(&mut tally.in_use, report);
        }
        let Some(labels) = entry.labels.as_deref().filter(|_| entry.counts()) else { continue };
        if wanted.selector.is_some_and(|s| !s.matches(labels)) {
            tally.skipped += 1;
            continue;
        }
        let reached = wanted.percent >= 100 || bucket(wanted.uid, name) < wanted.percent;
        let outcome = if reached { outcome(entry, report, wanted) } else { Outcome::waiting() };
        for part in std::iter::once(&mut tally.matched).chain(reached.then_some(&mut tally.reached)) {
            match &outcome {
                Outcome::Loaded => part.loaded += 1,
                Outcome::Not { failed: true, .. } => part.failed += 1,
                Outcome::Not { failed: false, .. } => part.pending += 1,
            }
        }
        if let (Outcome::Loaded, Some(selected)) = (&outcome, report.and_then(|r| r.selected)) {
            tally.selected.add(selected);
        }
        if let Outcome::Not { failed, reason, message } = outcome {
            // What comes first in a map of its own is looked up with a reason that is owned: reasons
            // are short, and only nodes that do not run the policy come here.
            let group = groups.entry((reason.to_owned(), failed)).or_insert_with(|| Group {
                reason: reason.to_owned(),
                failed,
                message: message.to_owned(),
                ..Group::default()
            });
            group.nodes += 1;
            if group.samples.len() < MAX_SAMPLES {
                group.samples.push(name.to_string());
            }
        }
    }
    tally.groups = groups.into_values().collect();
    // A stable sort: equal groups stay in the order of their reasons.
    tally.groups.sort_by_key(|g| std::cmp::Reverse(g.nodes));
    tally
}

fn name_plans(in_use: &mut BTreeSet<String>, report: &Report) {
    for plan in std::iter::once(&report.plan).chain(&report.running) {
        if !plan.is_empty() && !in_use.contains(plan) {
            in_use.insert(plan.clone());
        }
    }
}

/// What became of the plan on a node that should run it.
enum Outcome<'a> {
    Loaded,
    Not { failed: bool, reason: &'a str, message: &'a str },
}

impl<'a> Outcome<'a> {
    fn pending(reason: &'a str, message: &'a str) -> Self {
        Outcome::Not { failed: false, reason, message }
    }

    fn waiting() -> Self {
        Outcome::pending(reason::ROLLOUT_WAITING, "the rollout has not reached the node")
    }

    /// The agent was told, and has not answered.
    fn not_reported(agent: Option<&'a Agent>) -> Self {
        match agent.filter(|a| !a.reason.is_empty()) {
            Some(agent) => Outcome::pending(&agent.reason, &agent.message),
            None => Outcome::pending(reason::NOT_REPORTED, "the agent has not said what became of it"),
        }
    }
}

fn outcome<'a>(entry: &'a Entry, report: Option<&'a Report>, wanted: &Wanted<'_>) -> Outcome<'a> {
    if !entry.alive() {
        return Outcome::pending(reason::AGENT_NOT_READY, "the agent does not run, or is not ready");
    }
    let agent = entry.agent.as_deref();
    // What it says of another version says nothing of this one.
    let Some(report) = report.filter(|r| r.plan == wanted.plan) else { return Outcome::not_reported(agent) };
    match report.state {
        NodePolicyState::Loaded if other_mode(report, wanted.mode) => Outcome::not_reported(agent),
        NodePolicyState::Loaded => Outcome::Loaded,
        NodePolicyState::Failed => Outcome::Not {
            failed: true,
            reason: or(&report.reason, reason::LOAD_FAILED),
            message: &report.message,
        },
        NodePolicyState::Pending if report.reason.is_empty() => Outcome::not_reported(agent),
        NodePolicyState::Pending => Outcome::pending(&report.reason, &report.message),
        // The node's labels say otherwise here: one of the two has not heard of a change yet.
        NodePolicyState::Skipped => {
            Outcome::pending(or(&report.reason, reason::NODE_SELECTOR), &report.message)
        }
    }
}

/// The node has not followed a change of the mode yet.
fn other_mode(report: &Report, mode: Option<Mode>) -> bool {
    let other = match mode {
        None => return false,
        Some(Mode::Enforce) => Mode::Monitor,
        Some(Mode::Monitor) => Mode::Enforce,
    };
    report.mode == mode_name(other)
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}
