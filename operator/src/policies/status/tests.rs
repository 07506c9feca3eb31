use std::fmt::Write as _;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use tetragon_api::plan::{Actions, Hook, Plan, Selector, Target};
use tetragon_api::policy::LabelSelector;
use tetragon_api::published::PolicyRef;
use tetragon_api::workload::{Pods, Workloads};

use super::*;
use crate::nodes::{Part, Sum};

fn time(seconds: i64) -> Time {
    Time(Timestamp::from_second(1_800_000_000 + seconds).unwrap())
}

fn version(revision: i64, enforces: bool) -> Version {
    let actions = Actions { deny: enforces.then_some(1), ..Actions::default() };
    let hook = Hook::new("spec.kprobes[0]", Target::Function("security_file_open".into()));
    let selectors = vec![Selector { actions, ..Selector::default() }];
    let plan = Plan::new("p", vec![Hook { selectors, ..hook }]);
    let policy = PolicyRef::cluster_wide("p", "u");
    Version::new(plan, &policy, revision).unwrap()
}

fn good(version: &Version) -> Compiled {
    Compiled { version: Ok(Arc::new(version.clone())), rollout: Ok(None), warnings: vec![] }
}

fn bad(reason: &'static str) -> Compiled {
    let fault = Fault { reason, message: "error[bad-call] spec.kprobes[0].call: no".into() };
    Compiled { version: Err(fault), rollout: Ok(None), warnings: vec![] }
}

fn group(reason: &str, failed: bool, nodes: usize) -> Group {
    Group {
        reason: reason.into(),
        failed,
        nodes,
        message: format!("{reason}, says the first"),
        samples: (0..nodes.min(MAX_SAMPLES)).map(|i| format!("node-{i}")).collect(),
    }
}

fn tally(loaded: usize, groups: Vec<Group>) -> Tally {
    let sum = |failed: bool| groups.iter().filter(|g| g.failed == failed).map(|g| g.nodes).sum();
    let matched = Part { loaded, pending: sum(false), failed: sum(true) };
    Tally { matched, reached: matched, skipped: 0, groups, ..Tally::default() }
}

struct Case<'a> {
    compiled: &'a Compiled,
    version: Option<&'a Version>,
    tally: Tally,
    rollout: Option<RolloutStatus>,
    unpublished: Option<Fault>,
}

impl Case<'_> {
    fn status(&self) -> TracingPolicyStatus {
        aggregate(&Known {
            generation: 7,
            compiled: self.compiled,
            version: self.version,
            unpublished: self.unpublished.as_ref(),
            tally: &self.tally,
            rollout: self.rollout.as_ref(),
            warnings: &[],
            previous: &TracingPolicyStatus::default(),
            time: &time(0),
        })
    }
}

/// What kstatus makes of the conditions.
fn kstatus(status: &TracingPolicyStatus) -> &'static str {
    let is = |ty: &str, value: &str| status.conditions.iter().any(|c| c.type_ == ty && c.status == value);
    match () {
        () if status.observed_generation != 7 => "InProgress",
        () if is(RECONCILING, "True") => "InProgress",
        () if is(STALLED, "True") => "Failed",
        () if is(READY, "True") => "Current",
        () => "InProgress",
    }
}

fn show(name: &str, case: &Case<'_>, out: &mut String) {
    let status = case.status();
    let nodes = status.nodes.as_ref().map_or("", |n| &n.summary);
    writeln!(out, "{name}: {} (mode {:?}, nodes {nodes:?})", kstatus(&status), status.mode).unwrap();
    for c in &status.conditions {
        writeln!(out, "  {}={} {}: {}", c.type_, c.status, c.reason, c.message).unwrap();
    }
    for f in &status.failures {
        writeln!(out, "  {} {}: {} {:?}", f.nodes, f.reason, f.message, f.sample_nodes).unwrap();
    }
}

#[test]
fn what_a_person_reads() {
    let new = version(7, true);
    let old = version(5, true);
    let (good, invalid, large) = (good(&new), bad(reason::INVALID), bad("PlanTooLarge"));
    let mut asked = good.clone();
    asked.rollout = Err(Fault { reason: reason::ROLLOUT_INVALID, message: "soak=5: it has no unit".into() });
    let rollout = |phase: &str, percent: i32, message: &str| {
        Some(RolloutStatus {
            phase: phase.into(),
            percent,
            message: message.into(),
            ..RolloutStatus::default()
        })
    };
    let wait = |n: usize| group(reason::NOT_REPORTED, false, n);
    let of = |compiled, version, tally| Case { compiled, version, tally, rollout: None, unpublished: None };
    let none = || tally(0, vec![]);
    let elsewhere = Tally { skipped: 3, ..none() };
    let mixed = tally(8, vec![wait(3), group("HookNotAvailable", true, 2), group("AgentNotReady", false, 1)]);
    let half = || tally(6, vec![group("RolloutWaiting", false, 6)]);
    let forbidden = Fault { reason: "Forbidden", message: "the plan could not be published: quota".into() };
    let cases = [
        ("loaded", of(&good, Some(&new), tally(12, vec![]))),
        ("no agent yet", of(&good, Some(&new), none())),
        ("no node matches", of(&good, Some(&new), elsewhere)),
        ("just published", of(&good, Some(&new), tally(0, vec![wait(12)]))),
        ("some wait, some failed", of(&good, Some(&new), mixed)),
        ("failed", of(&good, Some(&new), tally(10, vec![group("LoadFailed", true, 7), group("X", true, 2)]))),
        ("an agent is away", of(&good, Some(&new), tally(11, vec![group("AgentNotReady", false, 1)]))),
        ("invalid from the start", of(&invalid, None, none())),
        ("edited to something invalid", of(&invalid, Some(&old), tally(12, vec![]))),
        ("edited to something too large", of(&large, Some(&old), tally(12, vec![]))),
        ("a wrong annotation", of(&asked, Some(&old), tally(12, vec![]))),
        (
            "cannot be published",
            Case { unpublished: Some(forbidden), ..of(&good, Some(&new), tally(0, vec![wait(2)])) },
        ),
        (
            "rolling out",
            Case { rollout: rollout(PROGRESSING, 50, "100 % after 5m"), ..of(&good, Some(&new), half()) },
        ),
        (
            "rolled out, last soak",
            Case { rollout: rollout(PROGRESSING, 100, ""), ..of(&good, Some(&new), tally(12, vec![])) },
        ),
        (
            "stopped",
            Case { rollout: rollout(STOPPED, 50, "ActionLimit on a"), ..of(&good, Some(&new), half()) },
        ),
    ];
    let mut out = String::new();
    for (name, case) in &cases {
        show(name, case, &mut out);
    }
    insta::assert_snapshot!(out);
}

#[test]
fn times_change_with_the_status_alone() {
    let v = version(7, false);
    let compiled = good(&v);
    let at = |seconds: i64, tally: &Tally, previous: &TracingPolicyStatus| {
        aggregate(&Known {
            generation: 7,
            compiled: &compiled,
            version: Some(&v),
            unpublished: None,
            tally,
            rollout: None,
            warnings: &[],
            previous,
            time: &time(seconds),
        })
    };
    let since = |s: &TracingPolicyStatus, ty: &str| {
        s.conditions.iter().find(|c| c.type_ == ty).map(|c| c.last_transition_time.clone())
    };
    let wait = |n| tally(2 - n, if n > 0 { vec![group(reason::NOT_REPORTED, false, n)] } else { vec![] });
    let first = at(0, &wait(2), &TracingPolicyStatus::default());
    let second = at(10, &wait(1), &first);
    assert_eq!(since(&second, READY), Some(time(0)));
    assert!(first != second && is_progress(&first, &second));
    let third = at(20, &wait(0), &second);
    assert_eq!((since(&third, READY), since(&third, ACCEPTED)), (Some(time(20)), Some(time(0))));
    assert_eq!(since(&third, RECONCILING), None);
    assert!(!is_progress(&second, &third));
    assert_eq!(at(30, &wait(0), &third), third, "nothing new, nothing to write");
}

/// A plan for pods; of which, the number says.
fn for_pods(number: u32) -> Version {
    let mut plan = version(7, true).plan;
    let labels = [("app".to_owned(), format!("web-{number}"))].into();
    let labels = Some(LabelSelector { match_labels: labels, ..LabelSelector::default() });
    let pods = Some(Pods { labels, ..Pods::default() });
    plan.workloads = Some(Workloads { host: false, pods });
    Version::new(plan, &PolicyRef::cluster_wide("p", "u"), 7).unwrap()
}

/// What two nodes say: of those that say something, it is this.
fn selecting(nodes: usize, pods: u64) -> Tally {
    Tally { selected: Sum { nodes, pods, containers: 2 * pods }, ..tally(2, vec![]) }
}

#[test]
fn a_policy_that_selects_nothing_is_warned_of_after_a_while() {
    let at = |seconds: i64, version: &Version, tally: &Tally, previous: &TracingPolicyStatus| {
        aggregate(&Known {
            generation: 7,
            compiled: &good(version),
            version: Some(version),
            unpublished: None,
            tally,
            rollout: None,
            warnings: &[],
            previous,
            time: &time(seconds),
        })
    };
    let warned = |s: &TracingPolicyStatus| s.conditions.iter().any(|c| c.type_ == SELECTS_NOTHING);
    let since = |s: &TracingPolicyStatus| s.workloads.as_ref().and_then(|w| w.empty_since.clone());
    let (of_pods, none) = (for_pods(1), TracingPolicyStatus::default());

    let some = at(0, &of_pods, &selecting(2, 3), &none);
    let expected = WorkloadCounts { pods: 3, containers: 6, empty_since: None };
    assert_eq!((some.workloads.as_ref(), warned(&some)), (Some(&expected), false));
    assert_eq!(until_selects_nothing(&some, &time(0)), None);

    let empty = at(10, &of_pods, &selecting(2, 0), &some);
    assert_eq!((since(&empty), warned(&empty)), (Some(time(10)), false));
    assert!(is_progress(&some, &empty));
    assert_eq!(until_selects_nothing(&empty, &time(110)), Some(Duration::from_secs(500)));
    assert_eq!(
        until_selects_nothing(&empty, &time(0)),
        Some(Duration::from_secs(600)),
        "another's clock is ahead"
    );
    let still = at(609, &of_pods, &selecting(2, 0), &empty);
    assert_eq!((since(&still), warned(&still)), (Some(time(10)), false));
    let long = at(610, &of_pods, &selecting(2, 0), &still);
    assert!(warned(&long) && !is_progress(&still, &long));
    let condition = long.conditions.last().unwrap();
    insta::assert_snapshot!(condition.message, @"it selects no pod on 2 nodes since 2027-01-15T08:00:10Z: look at podSelector, containerSelector and the namespace");
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("True", "NoPods"));
    assert_eq!(kstatus(&long), "Current", "a policy may be there before its pods");
    assert_eq!(until_selects_nothing(&long, &time(610)), None);
    assert_eq!(at(700, &of_pods, &selecting(2, 0), &long), long, "nothing new, nothing to write");
    assert!(!warned(&at(700, &of_pods, &selecting(2, 1), &long)));

    let edited = at(700, &for_pods(2), &selecting(2, 0), &long);
    assert_eq!((since(&edited), warned(&edited)), (Some(time(700)), false), "it selects something else");
    let silent = at(700, &of_pods, &selecting(1, 0), &long);
    assert_eq!((since(&silent), warned(&silent)), (None, false), "one node does not say");
    assert_eq!(at(700, &of_pods, &selecting(0, 0), &long).workloads, None);
    let everywhere = at(700, &version(7, true), &selecting(2, 0), &long);
    assert_eq!((&everywhere.workloads, warned(&everywhere)), (&None, false), "it chooses no pods");
}

#[test]
fn conditions_of_others_do_not_count() {
    let v = version(7, false);
    let compiled = good(&v);
    let case = Case {
        compiled: &compiled,
        version: Some(&v),
        tally: tally(1, vec![]),
        rollout: None,
        unpublished: None,
    };
    let status = case.status();
    let mut read = status.clone();
    let other = Condition { type_: "Reviewed".into(), ..read.conditions[0].clone() };
    read.conditions.insert(0, other);
    read.conditions.reverse();
    own_conditions(&mut read);
    assert_eq!(read, status);
}

#[test]
fn a_status_has_a_bound() {
    let v = version(7, false);
    let long = |c: char| c.to_string().repeat(4096);
    // What JSON writes with more bytes than it has, and names as long as they may be.
    for c in ['x', '"', '\u{1}', '€'] {
        let mut compiled = good(&v);
        compiled.warnings = (0..50).map(|_| long(c)).collect();
        compiled.rollout = Err(Fault { reason: reason::ROLLOUT_INVALID, message: long(c) });
        let groups = (0..40)
            .map(|i| Group {
                reason: format!("Reason{i:058}"),
                failed: true,
                nodes: 100,
                message: long(c),
                samples: (0..5).map(|_| "n".repeat(253)).collect(),
            })
            .collect();
        let rollout = RolloutStatus {
            phase: STOPPED.into(),
            message: long(c),
            annotation: long(c),
            ..RolloutStatus::default()
        };
        let case = Case {
            compiled: &compiled,
            version: Some(&v),
            tally: tally(0, groups),
            rollout: Some(rollout),
            unpublished: None,
        };
        let status = case.status();
        let size = serde_json::to_vec(&status).unwrap().len();
        assert!(size <= MAX_STATUS, "{c:?}: {size}");
        assert_eq!(status.failures.iter().map(|f| f.nodes).sum::<i32>(), 4000, "nodes are all counted");
        assert_eq!(status.failures.len(), MAX_FAILURES);
        assert!(status.warnings.last().unwrap().starts_with("(and "));
    }
    // Usual texts are not cut.
    let mut compiled = good(&v);
    compiled.warnings = vec!["w".repeat(300); 5];
    let case = Case {
        compiled: &compiled,
        version: Some(&v),
        tally: tally(1, vec![]),
        rollout: None,
        unpublished: None,
    };
    assert_eq!(case.status().warnings, compiled.warnings);
}
