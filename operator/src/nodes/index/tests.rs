//! The index against a recount that keeps everything.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use proptest::prelude::*;
use tetragon_api::plan::Mode;
use tetragon_api::policy::LabelSelector;
use tetragon_api::published::bucket;
use tetragon_api::status::NodePolicyState;

use super::*;
use crate::nodes::reports::Selected;
use crate::nodes::tally::Part;

#[derive(Clone, Debug)]
enum Step {
    Node(u8, bool),
    NodeGone(u8),
    Report(u8, bool, Agent, Vec<(PolicyKey, Report)>),
    ReportGone(u8),
    Pod(u8, Pod),
    PodGone(u8),
    Relist(Source, u8),
}

fn node_name(i: u8) -> String {
    format!("node-{i}")
}

fn labels(zone: bool) -> Labels {
    [("zone".to_owned(), if zone { "a" } else { "b" }.to_owned())].into()
}

fn key(i: u8) -> PolicyKey {
    PolicyKey { namespace: (i % 2 == 1).then(|| "ns".into()), name: format!("policy-{i}") }
}

fn report() -> impl Strategy<Value = Report> {
    let state = prop_oneof![
        Just(NodePolicyState::Loaded),
        Just(NodePolicyState::Loaded),
        Just(NodePolicyState::Failed),
        Just(NodePolicyState::Pending),
        Just(NodePolicyState::Skipped),
    ];
    let reason = prop_oneof![Just(""), Just("LoadFailed"), Just("ActionLimit")];
    let mode = prop_oneof![Just("enforce"), Just("monitor")];
    let selected = prop::option::of((0..4u32, 0..9u32));
    (state, reason, mode, 0..3u8, prop::option::of(0..3u8), selected).prop_map(
        |(state, reason, mode, plan, running, selected)| Report {
            plan: format!("plan-{plan}"),
            state,
            mode: mode.into(),
            reason: reason.into(),
            message: format!("it is {reason}"),
            running: running.map(|i| format!("plan-{i}")),
            selected: selected.map(|(pods, containers)| Selected { pods, containers }),
        },
    )
}

fn agent() -> impl Strategy<Value = Agent> {
    prop_oneof![4 => Just(false), 1 => Just(true)].prop_map(|stopped| Agent {
        stopped,
        reason: if stopped { "AgentStopped".into() } else { String::new() },
        ..Agent::default()
    })
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..6u8;
    let reports = prop::collection::vec((0..4u8, report()), 0..4).prop_map(|list| {
        let each: BTreeMap<PolicyKey, Report> = list.into_iter().map(|(i, r)| (key(i), r)).collect();
        each.into_iter().collect::<Vec<_>>()
    });
    let pod = (0..6u8, any::<bool>(), any::<bool>()).prop_map(|(node, scheduled, ready)| Pod {
        node: if scheduled { node_name(node) } else { String::new() },
        ready,
    });
    let source = prop_oneof![Just(Source::Nodes), Just(Source::Reports), Just(Source::Pods)];
    prop_oneof![
        3 => (node.clone(), any::<bool>()).prop_map(|(i, zone)| Step::Node(i, zone)),
        1 => node.clone().prop_map(Step::NodeGone),
        5 => (node.clone(), any::<bool>(), agent(), reports).prop_map(|(i, l, a, r)| Step::Report(i, l, a, r)),
        1 => node.clone().prop_map(Step::ReportGone),
        1 => (node.clone(), pod).prop_map(|(i, pod)| Step::Pod(i, pod)),
        1 => node.prop_map(Step::PodGone),
        1 => (source, any::<u8>()).prop_map(|(source, keep)| Step::Relist(source, keep)),
    ]
}

/// Everything that was said last.
#[derive(Default)]
struct Plain {
    nodes: BTreeMap<String, Labels>,
    reports: BTreeMap<String, (Agent, HashMap<PolicyKey, Report>)>,
    /// TetragonNodes that an operator has written to, as the agent was gone.
    lost: BTreeSet<String>,
    pods: BTreeMap<String, Pod>,
    /// Nodes that had a pod since anything was known of them.
    seen: BTreeSet<String>,
}

impl Plain {
    fn apply(&mut self, step: &Step) {
        match step {
            Step::Node(i, zone) => drop(self.nodes.insert(node_name(*i), labels(*zone))),
            Step::NodeGone(i) => drop(self.nodes.remove(&node_name(*i))),
            Step::Report(i, lost, agent, reports) => {
                self.lost.remove(&node_name(*i));
                self.lost.extend(lost.then(|| node_name(*i)));
                self.reports.insert(node_name(*i), (agent.clone(), reports.iter().cloned().collect()));
            }
            Step::ReportGone(i) => drop(self.reports.remove(&node_name(*i))),
            Step::Pod(i, pod) => {
                self.pods.insert(format!("pod-{i}"), pod.clone());
                self.seen.insert(pod.node.clone());
            }
            Step::PodGone(i) => drop(self.pods.remove(&format!("pod-{i}"))),
            Step::Relist(source, keep) => {
                let keep = kept(*source, *keep);
                match source {
                    Source::Nodes => self.nodes.retain(|n, _| keep.contains(n)),
                    Source::Reports => self.reports.retain(|n, _| keep.contains(n)),
                    Source::Pods => self.pods.retain(|n, _| keep.contains(n)),
                }
            }
        }
        // What nobody knows any more is forgotten.
        let (nodes, reports, pods) = (&self.nodes, &self.reports, &self.pods);
        self.seen.retain(|n| {
            nodes.contains_key(n) || reports.contains_key(n) || pods.values().any(|p| p.node == *n)
        });
    }

    fn outcome(&self, node: &str, wanted: &Wanted<'_>) -> Option<(&'static str, String)> {
        let pods: Vec<&Pod> = self.pods.values().filter(|p| p.node == node).collect();
        let said = self.reports.get(node);
        let labels = self.nodes.get(node).filter(|_| said.is_some() || !pods.is_empty())?;
        if wanted.selector.is_some_and(|s| !s.matches(labels)) {
            return Some(("skipped", String::new()));
        }
        let pending = |reason: &str| Some(("pending", reason.to_owned()));
        if bucket(wanted.uid, node) >= wanted.percent {
            return pending("RolloutWaiting");
        }
        let lost = said.is_some() && self.lost.contains(node);
        let gone = if self.seen.contains(node) { !pods.iter().any(|p| p.ready) } else { lost };
        if gone || said.is_some_and(|(agent, _)| agent.stopped) {
            return pending("AgentNotReady");
        }
        let Some(report) = said.and_then(|(_, r)| r.get(wanted.key)).filter(|r| r.plan == wanted.plan) else {
            return pending("NotReported");
        };
        let or =
            |other: &str| if report.reason.is_empty() { other.to_owned() } else { report.reason.clone() };
        match report.state {
            NodePolicyState::Loaded if report.mode == "monitor" => pending("NotReported"),
            NodePolicyState::Loaded => Some(("loaded", String::new())),
            NodePolicyState::Failed => Some(("failed", or("LoadFailed"))),
            NodePolicyState::Pending => pending(&or("NotReported")),
            NodePolicyState::Skipped => pending(&or("NodeSelector")),
        }
    }

    fn tally(&self, wanted: &Wanted<'_>) -> Counts {
        let mut counts = Counts::default();
        for i in 0..6 {
            let name = node_name(i);
            let Some((what, reason)) = self.outcome(&name, wanted) else { continue };
            *counts.states.entry(what.to_owned()).or_default() += 1;
            let report = self.reports.get(&name).and_then(|(_, reports)| reports.get(wanted.key));
            if let Some(selected) = report.and_then(|r| r.selected).filter(|_| what == "loaded") {
                let (nodes, pods, containers) = counts.selected;
                counts.selected =
                    (nodes + 1, pods + u64::from(selected.pods), containers + u64::from(selected.containers));
            }
            if !reason.is_empty() {
                counts.groups.entry((reason, what == "failed")).or_default().push(name);
            }
        }
        for (_, reports) in self.reports.values() {
            if let Some(report) = reports.get(wanted.key) {
                counts.in_use.insert(report.plan.clone());
                counts.in_use.extend(report.running.clone());
            }
        }
        counts
    }
}

#[derive(Debug, Default, PartialEq)]
struct Counts {
    states: BTreeMap<String, usize>,
    groups: BTreeMap<(String, bool), Vec<String>>,
    in_use: BTreeSet<String>,
    selected: (usize, u64, u64),
}

impl From<Tally> for Counts {
    fn from(tally: Tally) -> Self {
        let Part { loaded, pending, failed } = tally.matched;
        let states =
            [("loaded", loaded), ("pending", pending), ("failed", failed), ("skipped", tally.skipped)];
        let groups = tally.groups.into_iter().map(|g| {
            assert_eq!(g.nodes.min(5), g.samples.len());
            // The last of six nodes is not among five samples.
            ((g.reason, g.failed), g.samples)
        });
        Counts {
            states: states.into_iter().filter(|(_, n)| *n > 0).map(|(s, n)| (s.to_owned(), n)).collect(),
            groups: groups.collect(),
            in_use: tally.in_use,
            selected: (tally.selected.nodes, tally.selected.pods, tally.selected.containers),
        }
    }
}

fn kept(source: Source, bits: u8) -> HashSet<String> {
    let name = |i: u8| if source == Source::Pods { format!("pod-{i}") } else { node_name(i) };
    (0..6).filter(|i| bits & (1 << i) != 0).map(name).collect()
}

fn apply(index: &Index, step: &Step) {
    match step {
        Step::Node(i, zone) => index.apply_node(&node_name(*i), labels(*zone)),
        Step::NodeGone(i) => index.delete_node(&node_name(*i)),
        Step::Report(i, lost, agent, reports) => {
            let said = Said { lost: *lost, ..Said::default() };
            index.apply_report(&node_name(*i), said, agent.clone(), reports.clone());
        }
        Step::ReportGone(i) => index.delete_report(&node_name(*i)),
        Step::Pod(i, pod) => index.apply_pod(&format!("pod-{i}"), pod),
        Step::PodGone(i) => index.delete_pod(&format!("pod-{i}")),
        Step::Relist(source, keep) => index.retain(*source, &kept(*source, *keep)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn counts_are_those_of_a_recount(
        steps in prop::collection::vec(step(), 1..80),
        percent in prop_oneof![Just(100u8), 0..100u8],
        zone in any::<bool>(),
    ) {
        let (index, mut plain) = (Index::default(), Plain::default());
        let selector = LabelSelector { match_labels: labels(true), ..LabelSelector::default() };
        for step in &steps {
            apply(&index, step);
            plain.apply(step);
        }
        for i in 0..4 {
            let wanted = Wanted {
                key: &key(i),
                uid: "u",
                plan: "plan-1",
                selector: zone.then_some(&selector),
                percent,
                mode: Some(Mode::Enforce),
            };
            let mut expected = plain.tally(&wanted);
            expected.groups.values_mut().for_each(|nodes| nodes.truncate(5));
            prop_assert_eq!(Counts::from(index.tally(&wanted)), expected);
        }
    }

    /// What changed is told: who looks only at what was touched sees what everybody sees.
    #[test]
    fn every_change_is_told(steps in prop::collection::vec(step(), 1..60)) {
        let index = Index::default();
        let selector = LabelSelector { match_labels: labels(true), ..LabelSelector::default() };
        let keys: Vec<PolicyKey> = (0..4).map(key).collect();
        let all: Vec<_> = keys.iter().flat_map(|key| [(key, None), (key, Some(&selector))]).collect();
        let tally = |(key, selector): &(&PolicyKey, Option<&LabelSelector>)| index.tally(&Wanted {
            key, uid: "u", plan: "plan-1", selector: *selector, percent: 100, mode: None,
        });
        let mut seen: Vec<Tally> = all.iter().map(tally).collect();
        for step in &steps {
            apply(&index, step);
            for (policy, seen) in all.iter().zip(&mut seen) {
                let changed = index.changes.peek(policy.0.scope());
                if changed.all || changed.labels && policy.1.is_some() || changed.keys.contains(policy.0) {
                    *seen = tally(policy);
                }
                prop_assert_eq!(&*seen, &tally(policy), "{:?}", step);
            }
            for scope in Scope::ALL {
                index.changes.take(scope);
            }
        }
    }

    #[test]
    fn nothing_is_left_of_what_is_gone(steps in prop::collection::vec(step(), 1..60)) {
        let index = Index::default();
        steps.iter().for_each(|step| apply(&index, step));
        for source in [Source::Nodes, Source::Reports, Source::Pods] {
            index.retain(source, &HashSet::new());
        }
        let state = index.lock();
        prop_assert_eq!((state.nodes.len(), state.policies.len(), state.reports.len()), (0, 0, 0));
        prop_assert_eq!(state.free.len(), state.places);
    }
}

#[test]
fn only_what_changed_is_told() {
    let index = Index::default();
    let said = |plan: &str| Report { plan: plan.into(), ..Report::default() };
    index.apply_node("a", Labels::new());
    index.apply_report(
        "a",
        Said::default(),
        Agent::default(),
        vec![(key(0), said("x")), (key(2), said("y"))],
    );
    index.changes.take(Scope::Cluster);
    index.apply_report(
        "a",
        Said::default(),
        Agent::default(),
        vec![(key(0), said("x")), (key(2), said("z"))],
    );
    let changed = index.changes.take(Scope::Cluster);
    assert_eq!(changed, Changed { keys: [key(2)].into(), ..Changed::default() });
    index.apply_report(
        "a",
        Said::default(),
        Agent::default(),
        vec![(key(0), said("x")), (key(2), said("z"))],
    );
    index.apply_node("a", Labels::new());
    assert_eq!(index.changes.take(Scope::Cluster), Changed::default(), "the same once more is no change");
    index.apply_node("a", labels(true));
    assert_eq!(index.changes.take(Scope::Cluster), Changed { labels: true, ..Changed::default() });
    index.apply_report("a", Said::default(), Agent::default(), vec![(key(2), said("z"))]);
    assert_eq!(index.changes.take(Scope::Cluster).keys, [key(0)].into(), "what is left out is gone");
}

#[test]
fn samples_are_the_first_nodes() {
    let index = Index::default();
    for i in (0..20).rev() {
        let name = format!("node-{i:02}");
        index.apply_node(&name, Labels::new());
        let failed = Report {
            plan: "p".into(),
            state: NodePolicyState::Failed,
            reason: "LoadFailed".into(),
            message: format!("no luck on {name}"),
            ..Report::default()
        };
        index.apply_report(&name, Said::default(), Agent::default(), vec![(key(0), failed)]);
    }
    let wanted = Wanted { key: &key(0), uid: "u", plan: "p", selector: None, percent: 100, mode: None };
    let tally = index.tally(&wanted);
    assert_eq!(tally.matched, Part { failed: 20, ..Part::default() });
    let group = tally.failed_for("LoadFailed").unwrap();
    assert_eq!(group.samples, ["node-00", "node-01", "node-02", "node-03", "node-04"]);
    assert_eq!(group.message, "no luck on node-00");
}

#[test]
fn an_agent_is_gone_without_a_ready_pod_or_without_a_node() {
    let index = Index::default();
    let said = Said { version: "7".into(), stopped: false, lost: false };
    index.apply_node("a", Labels::new());
    index.apply_report("a", said.clone(), Agent::default(), Vec::new());
    assert_eq!(index.gone(), [], "it may run outside of pods");
    index.apply_pod("pod", &Pod { node: "a".into(), ready: true });
    assert_eq!(index.gone(), []);
    index.apply_pod("pod", &Pod { node: "a".into(), ready: false });
    let gone = |why| Gone { node: "a".into(), said: said.clone(), why };
    assert_eq!(index.gone(), [gone("no pod of the agent is ready on the node")]);
    index.delete_pod("pod");
    assert_eq!(index.gone(), [gone("no pod of the agent is ready on the node")]);
    index.delete_node("a");
    assert_eq!(index.gone(), [gone("there is no Node of this name")]);
    index.delete_report("a");
    assert_eq!(index.gone(), []);
}

/// What an operator before this one has seen.
#[test]
fn an_agent_that_was_taken_for_gone_is_not_alive_until_something_says_so() {
    let index = Index::default();
    let say = |lost| index.apply_report("a", Said { lost, ..Said::default() }, Agent::default(), Vec::new());
    index.apply_node("a", Labels::new());
    say(true);
    assert_eq!(index.node_counts(), (1, 0));
    index.apply_pod("pod", &Pod { node: "a".into(), ready: true });
    assert_eq!(index.node_counts(), (1, 1));
    index.delete_pod("pod");
    say(false);
    assert_eq!(index.node_counts(), (1, 0), "its pod was seen to go");
}
