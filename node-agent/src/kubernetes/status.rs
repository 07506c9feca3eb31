//! The node's status from what is known; no client, and no clock but what is given.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use tetragon_api::plan::FORMAT;
use tetragon_api::status::{NodeCapabilities, NodePolicy, NodePolicyState, PolicyCounts, TetragonNodeStatus};
use tetragon_engine::Facts;

use super::local::Row;
use super::plans::Why;
use super::reason;
use crate::counters::{Counters, get};
use crate::pods::store::Store;

/// The one condition of a node.
const READY: &str = "Ready";

/// Bytes of a status that an API server surely takes: an object has at most 1.5 MiB.
const MAX_BYTES: usize = 1 << 20;

/// What does not change while the agent runs.
pub fn fixed(facts: &Facts, version: &str) -> TetragonNodeStatus {
    TetragonNodeStatus {
        agent_version: version.to_owned(),
        plan_format: FORMAT.try_into().unwrap_or(i32::MAX),
        kernel: facts.release.clone(),
        architecture: std::env::consts::ARCH.to_owned(),
        capabilities: NodeCapabilities {
            // The engine does not start without.
            btf: true,
            kprobes: facts.kprobes,
            fentry: facts.fentry,
            lsm: facts.lsm,
            // The one way to make a call fail on a stock kernel.
            override_return: facts.lsm,
            pinned_kprobes: facts.pinned_kprobes,
            preemptible: facts.preemptible,
            cgroup_v2: std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
        },
        ..TetragonNodeStatus::default()
    }
}

/// Puts the policies and their numbers in.
pub fn put_policies(status: &mut TetragonNodeStatus, rows: Vec<Row>, counters: &Counters, pods: &Store) {
    let kernel = counters.kernel();
    let lost = lost_on_the_way(&rows, counters);
    let sink = counters.elasticsearch.get().map(|c| c.lost_by_policy()).unwrap_or_default();
    let counts = counters.events();
    status.policies = rows
        .into_iter()
        .map(|Row { number, status: policy, choice }| {
            let selected = choice.map(|c| pods.count(&c));
            let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
            let done = number.and_then(|n| counts.policies.get(&n)).cloned().unwrap_or_default();
            let of = |(name, namespace, _): &&(String, Option<String>, String)| {
                *name == policy.name && *namespace == policy.namespace
            };
            let ring: u64 = kernel.losses.by_policy.iter().filter(|(k, _)| of(k)).map(|(_, n)| n).sum();
            let missed = ring + lost.get(&policy.name).copied().unwrap_or(0);
            NodePolicy {
                events: signed(done.events),
                actions: signed(done.actions),
                missed: signed(missed),
                pods: selected.map(|(pods, _)| count(pods)),
                containers: selected.map(|(_, containers)| count(containers)),
                ..policy
            }
        })
        .collect();
    status.policy_counts = count(&status.policies);
    let l = &kernel.losses;
    let missed = l.events()
        + l.scratch
        + l.skipped
        + get(&counters.overflowed)
        + get(&counters.unwritten)
        + get(&counters.limited)
        + sink.values().sum::<u64>();
    status.missed_events = signed(missed);
}

/// Events lost after they were made, by the name of their policy, which is all that an event says of it. Of a name that
/// several policies of this node have it is not known whose they were: those are in the node's number alone.
fn lost_on_the_way(rows: &[Row], counters: &Counters) -> BTreeMap<String, u64> {
    let mut lost = counters.elasticsearch.get().map(|c| c.lost_by_policy()).unwrap_or_default();
    for ((_, policy), n) in counters.lost_of_policies() {
        *lost.entry(policy).or_default() += n;
    }
    let mut policies: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.number.is_some()) {
        *policies.entry(&row.status.name).or_default() += 1;
    }
    lost.retain(|name, _| policies.get(name.as_str()) == Some(&1));
    lost
}

fn count(policies: &[NodePolicy]) -> PolicyCounts {
    let is = |state| policies.iter().filter(|p| p.state == state).count();
    let (loaded, failed) = (is(NodePolicyState::Loaded), is(NodePolicyState::Failed));
    let wanted = policies.len() - is(NodePolicyState::Skipped);
    let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    PolicyCounts {
        wanted: number(wanted),
        loaded: number(loaded),
        failed: number(failed),
        summary: format!("{loaded}/{wanted}"),
    }
}

/// The agent takes everything down: nothing runs.
pub fn put_released(status: &mut TetragonNodeStatus) {
    for policy in status.policies.iter_mut().filter(|p| p.state == NodePolicyState::Loaded) {
        policy.state = NodePolicyState::Pending;
        policy.reason = reason::AGENT_STOPPED.to_owned();
    }
    for policy in &mut status.policies {
        policy.mode.clear();
        policy.running = None;
        policy.kernel_memory = 0;
        policy.hooks.iter_mut().for_each(|hook| hook.backend.clear());
    }
    status.policy_counts = count(&status.policies);
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Says whether the node is ready; `Err`: why not. The time of the last transition is that of `before`
/// unless this is one.
pub fn put_ready(
    status: &mut TetragonNodeStatus,
    ready: Result<(), &Why>,
    before: Option<&TetragonNodeStatus>,
    now: Time,
) {
    let (word, reason, message) = match ready {
        Ok(()) => ("True", reason::RUNNING, "the agent runs, has its plans and knows the node's labels"),
        Err(why) => ("False", why.reason, why.message.as_str()),
    };
    let old = before.and_then(|b| b.conditions.iter().find(|c| c.type_ == READY));
    let since = old.filter(|c| c.status == word).map(|c| c.last_transition_time.clone());
    status.conditions = vec![Condition {
        type_: READY.to_owned(),
        status: word.to_owned(),
        reason: reason.to_owned(),
        message: super::local::cut(message),
        last_transition_time: since.unwrap_or(now),
        observed_generation: None,
    }];
}

/// With hundreds of policies, those that run as wanted are told in short; with thousands, how each of the others'
/// hooks is attached is left out where all is well.
pub fn shrink(status: &mut TetragonNodeStatus) {
    status.fit();
    // A status is made of strings, numbers and lists of them: it always serialises.
    let bytes = serde_json::to_vec(status).map_or(0, |text| text.len());
    if bytes > MAX_BYTES {
        let well = |p: &&mut NodePolicy| p.state == NodePolicyState::Loaded;
        status.policies.iter_mut().filter(well).for_each(|p| p.hooks.clear());
    }
}

/// A status without its numbers, which change all the time: what is left is told at once. In short whatever can be,
/// so that what was told in full before is not taken for something else.
pub fn without_numbers(status: &TetragonNodeStatus) -> TetragonNodeStatus {
    let mut status = status.clone();
    status.missed_events = 0;
    for policy in &mut status.policies {
        (policy.events, policy.actions, policy.missed, policy.kernel_memory) = (0, 0, 0, 0);
        (policy.pods, policy.containers) = (None, None);
    }
    status.shorten();
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::kubernetes::local::Row;

    fn row(name: &str, state: NodePolicyState) -> Row {
        let mode = "enforce".to_owned();
        Row {
            number: Some(1),
            status: NodePolicy { name: name.into(), state, mode, ..NodePolicy::default() },
            choice: None,
        }
    }

    fn time(text: &str) -> Time {
        Time(text.parse().unwrap())
    }

    #[test]
    fn override_works_where_bpf_lsm_runs() {
        for lsm in [false, true] {
            let status = fixed(&Facts { lsm, ..Facts::default() }, "v");
            assert_eq!((status.capabilities.lsm, status.capabilities.override_return), (lsm, lsm));
        }
    }

    #[test]
    fn policies_are_counted_and_have_their_numbers() {
        use NodePolicyState::{Failed, Loaded, Pending, Skipped};
        let counters = Counters::default();
        counters.set_kernel(crate::counters::Kernel {
            losses: tetragon_engine::KernelLosses {
                by_policy: [(("a".to_owned(), None, "f".to_owned()), 5)].into(),
                exec: 2,
                ..Default::default()
            },
            ..Default::default()
        });
        let mut status = TetragonNodeStatus::default();
        let rows = [("a", Loaded), ("b", Loaded), ("c", Failed), ("d", Skipped), ("e", Pending)];
        put_policies(
            &mut status,
            rows.map(|(n, s)| row(n, s)).into(),
            &counters,
            &Store::new(0, Arc::default()),
        );
        let counts = &status.policy_counts;
        assert_eq!((counts.wanted, counts.loaded, counts.failed, counts.summary.as_str()), (4, 2, 1, "2/4"));
        assert_eq!((status.policies[0].missed, status.policies[1].missed, status.missed_events), (5, 0, 7));
        let mut released = status.clone();
        put_released(&mut released);
        let counts = &released.policy_counts;
        assert_eq!((counts.wanted, counts.loaded, counts.failed, counts.summary.as_str()), (4, 0, 1, "0/4"));
        let (a, c) = (&released.policies[0], &released.policies[2]);
        assert_eq!(
            (a.state, a.reason.as_str(), a.mode.as_str(), c.state),
            (Pending, "AgentStopped", "", Failed)
        );
        let quiet = without_numbers(&status);
        assert_eq!(quiet.missed_events, 0);
        let (loaded, rest): (Vec<_>, Vec<_>) =
            (quiet.loaded["enforce"].keys().collect(), quiet.policies.iter().map(|p| p.state).collect());
        assert_eq!(
            (loaded.iter().map(|l| l.as_str()).collect::<Vec<_>>(), rest),
            (vec!["a", "b"], vec![Failed, Skipped, Pending])
        );
        // Told in short or in full, it is the same.
        status.policies[0].missed = 0;
        let mut short = status.clone();
        short.shorten();
        assert_ne!(short, status);
        assert_eq!(without_numbers(&short), quiet);
    }

    #[test]
    fn a_policy_has_what_was_lost_of_it_at_every_stage() {
        use crate::counters::Stage;
        use crate::elasticsearch::counts::{Counts, Loss};
        use tetragon_api::event::get_events_response::Event;
        use tetragon_api::event::{GetEventsResponse, ProcessKprobe};
        let event = |policy: &str| GetEventsResponse {
            event: Some(Event::ProcessKprobe(ProcessKprobe {
                policy_name: policy.into(),
                ..ProcessKprobe::default()
            })),
            ..GetEventsResponse::default()
        };
        let counters = Counters::default();
        let sink = Arc::new(Counts::default());
        counters.elasticsearch.set(sink.clone()).unwrap();
        for name in ["one", "two"] {
            for stage in Stage::ALL {
                counters.lose(stage, &event(name));
            }
            sink.lose(Loss::Rejected, name, 10);
        }
        counters.lose(Stage::Export, &GetEventsResponse::default());
        let kernel =
            |namespace: Option<&str>| ("two".to_owned(), namespace.map(str::to_owned), "f".to_owned());
        counters.set_kernel(crate::counters::Kernel {
            losses: tetragon_engine::KernelLosses {
                by_policy: [(kernel(None), 100), (kernel(Some("shop")), 200)].into(),
                ..Default::default()
            },
            ..Default::default()
        });
        let loaded = |name| row(name, NodePolicyState::Loaded);
        let mut of_namespace = loaded("two");
        of_namespace.status.namespace = Some("shop".into());
        let mut status = TetragonNodeStatus::default();
        let rows = vec![loaded("one"), loaded("two"), of_namespace];
        put_policies(&mut status, rows, &counters, &Store::new(0, Arc::default()));
        let missed: Vec<i64> = status.policies.iter().map(|p| p.missed).collect();
        // What the kernel lost is known to a namespace. An event has the name alone, which two policies have.
        assert_eq!(missed, [3 + 10, 100, 200]);
        assert_eq!(status.missed_events, 300 + 2 * (3 + 10) + 1);
    }

    #[test]
    fn a_status_that_is_too_large_says_less_of_what_is_well() {
        let mut status = TetragonNodeStatus::default();
        let mut rows = Vec::new();
        for n in 0..5000 {
            let state = if n % 100 == 0 { NodePolicyState::Failed } else { NodePolicyState::Loaded };
            let mut row = row(&format!("policy-{n}"), state);
            row.status.hooks = vec![Default::default(); 10];
            // One of which there is more to say than that it runs.
            row.status.message = "a message".into();
            rows.push(row);
        }
        put_policies(&mut status, rows[..50].to_vec(), &Counters::default(), &Store::new(0, Arc::default()));
        let before = status.clone();
        shrink(&mut status);
        assert_eq!(status, before);
        put_policies(&mut status, rows, &Counters::default(), &Store::new(0, Arc::default()));
        shrink(&mut status);
        assert!(serde_json::to_vec(&status).unwrap().len() < MAX_BYTES);
        assert!(status.loaded.is_empty());
        assert!(status.policies.iter().all(|p| p.hooks.is_empty() == (p.state == NodePolicyState::Loaded)));
    }

    #[test]
    fn a_transition_has_its_time() {
        let mut first = TetragonNodeStatus::default();
        put_ready(&mut first, Ok(()), None, time("2026-01-01T00:00:00Z"));
        let mut same = TetragonNodeStatus::default();
        put_ready(&mut same, Ok(()), Some(&first), time("2026-01-02T00:00:00Z"));
        assert_eq!(same, first);
        let why = Why { reason: reason::AGENT_STOPPED, message: "x".repeat(5000) };
        let mut last = TetragonNodeStatus::default();
        put_ready(&mut last, Err(&why), Some(&same), time("2026-01-03T00:00:00Z"));
        let c = &last.conditions[0];
        assert_eq!((c.status.as_str(), c.reason.as_str()), ("False", "AgentStopped"));
        assert_eq!(c.last_transition_time, time("2026-01-03T00:00:00Z"));
        assert!(c.message.len() <= tetragon_api::status::MAX_MESSAGE);
    }
}
