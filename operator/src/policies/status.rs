//! What a policy's status says. Pure: what is known goes in, the status comes out.
//!
//! Conditions follow kstatus: Ready tells whether all nodes run the policy as it stands; Reconciling is
//! there only while waiting helps, Stalled only while it does not: an edit or a repair is needed.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use tetragon_api::published::mode_name;
use tetragon_api::reason;
use tetragon_api::status::{
    FailureGroup, MAX_FAILURES, MAX_MESSAGE, MAX_SAMPLES, MAX_WARNINGS, NodeCounts, RolloutStatus,
    TracingPolicyStatus, WorkloadCounts,
};

use super::compile::{Compiled, Fault, Version};
use super::rollout::{PROGRESSING, STOPPED};
use crate::nodes::{Group, Tally};
use crate::text;

/// The policy is free of errors.
pub const ACCEPTED: &str = "Accepted";
/// There is a plan of it.
pub const COMPILED: &str = "Compiled";
/// All nodes that it is for run it.
pub const READY: &str = "Ready";
/// Waiting helps.
pub const RECONCILING: &str = "Reconciling";
/// Waiting does not help.
pub const STALLED: &str = "Stalled";

/// The policy chooses pods, and there has been none on any node for a while.
pub const SELECTS_NOTHING: &str = "SelectsNothing";

/// The order in which they stand.
const CONDITIONS: [&str; 6] = [ACCEPTED, COMPILED, READY, RECONCILING, STALLED, SELECTS_NOTHING];

/// For so long a policy may be there before its pods, without a warning.
pub const EMPTY_FOR: Duration = Duration::from_secs(600);

/// Bytes of a status as JSON, at most.
pub const MAX_STATUS: usize = 16 << 10;

/// What is known of a policy.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// `metadata.generation`.
    pub generation: i64,
    /// What the compiler says.
    pub compiled: &'a Compiled,
    /// The version that is published: of this generation or, while this one has errors, the last one
    /// that had none.
    pub version: Option<&'a Version>,
    /// Why it could not be published.
    pub unpublished: Option<&'a Fault>,
    /// What the nodes say of it.
    pub tally: &'a Tally,
    /// Where its rollout stands.
    pub rollout: Option<&'a RolloutStatus>,
    /// What some nodes cannot do for it, one finding each.
    pub warnings: &'a [String],
    /// What the status said last.
    pub previous: &'a TracingPolicyStatus,
    /// Now.
    pub time: &'a Time,
}

/// Sums it up.
pub fn aggregate(known: &Known<'_>) -> TracingPolicyStatus {
    let tally = known.tally;
    let mut status = TracingPolicyStatus {
        observed_generation: known.generation,
        mode: mode(known),
        plan: known.version.map(|v| v.status.clone()),
        nodes: known.version.map(|_| counts(tally)),
        failures: if known.version.is_some() { failures(&tally.groups) } else { Vec::new() },
        workloads: workloads(known),
        warnings: warnings(known),
        rollout: known.rollout.cloned().map(|r| RolloutStatus {
            message: text::cut(&r.message, MAX_MESSAGE),
            annotation: text::cut(&r.annotation, MAX_MESSAGE),
            ..r
        }),
        ..TracingPolicyStatus::default()
    };
    let stalled = stalled(known);
    let conditions = [
        Some(accepted(known)),
        Some(compiled(known)),
        Some(ready(known)),
        reconciling(known, stalled.is_some()),
        stalled,
        selects_nothing(known, status.workloads.as_ref()),
    ];
    status.conditions = conditions.into_iter().flatten().map(|draft| draft.finish(known)).collect();
    fit(&mut status);
    status
}

/// The conditions of a status that are the operator's, in order: what others add does not count.
pub fn own_conditions(status: &mut TracingPolicyStatus) {
    let place = |c: &Condition| CONDITIONS.iter().position(|t| *t == c.type_);
    status.conditions.retain(|c| place(c).is_some());
    status.conditions.sort_by_key(place);
}

/// Only numbers and texts differ: nobody waits for that.
pub fn is_progress(old: &TracingPolicyStatus, new: &TracingPolicyStatus) -> bool {
    let words = |s: &TracingPolicyStatus| -> Vec<(String, String, String)> {
        let word = |c: &Condition| (c.type_.clone(), c.status.clone(), c.reason.clone());
        s.conditions.iter().map(word).collect()
    };
    let step = |s: &TracingPolicyStatus| s.rollout.as_ref().map(|r| (r.phase.clone(), r.percent));
    old.observed_generation == new.observed_generation
        && old.plan == new.plan
        && old.mode == new.mode
        && words(old) == words(new)
        && step(old) == step(new)
}

/// A condition, but for what all have.
struct Draft {
    ty: &'static str,
    is: bool,
    reason: String,
    message: String,
}

impl Draft {
    fn new(ty: &'static str, is: bool, reason: &str, message: impl Into<String>) -> Draft {
        Draft { ty, is, reason: reason.to_owned(), message: message.into() }
    }

    fn finish(self, known: &Known<'_>) -> Condition {
        let status = if self.is { "True" } else { "False" };
        let before = known.previous.conditions.iter().find(|c| c.type_ == self.ty && c.status == status);
        Condition {
            last_transition_time: before.map_or(known.time, |c| &c.last_transition_time).clone(),
            message: text::cut(&self.message, MAX_MESSAGE),
            observed_generation: Some(known.generation),
            reason: self.reason,
            status: status.into(),
            type_: self.ty.into(),
        }
    }
}

fn accepted(known: &Known<'_>) -> Draft {
    let fault =
        known.compiled.fault().filter(|f| [reason::INVALID, reason::ROLLOUT_INVALID].contains(&f.reason));
    match fault {
        Some(fault) => Draft::new(ACCEPTED, false, fault.reason, fault.message.as_str()),
        None => Draft::new(ACCEPTED, true, reason::VALID, "the policy has no errors"),
    }
}

fn compiled(known: &Known<'_>) -> Draft {
    match &known.compiled.version {
        Err(fault) if fault.reason == reason::INVALID => {
            Draft::new(COMPILED, false, fault.reason, "a policy with errors has no plan")
        }
        Err(fault) => Draft::new(COMPILED, false, fault.reason, fault.message.as_str()),
        Ok(version) => {
            let message = format!("the plan has {} and {} bytes", hooks(version), version.status.size);
            Draft::new(COMPILED, true, reason::COMPILED, message)
        }
    }
}

fn hooks(version: &Version) -> String {
    if version.status.hooks == 1 { "1 hook".into() } else { format!("{} hooks", version.status.hooks) }
}

fn ready(known: &Known<'_>) -> Draft {
    let matched = known.tally.matched;
    let run = format!("{} of {} run it", matched.loaded, text::nodes(matched.total()));
    if let Some(fault) = known.compiled.fault() {
        return Draft::new(READY, false, fault.reason, kept(known));
    }
    if let Some(fault) = known.unpublished {
        return Draft::new(READY, false, fault.reason, fault.message.as_str());
    }
    if let Some(rollout) = known.rollout.filter(|r| r.phase == STOPPED) {
        let message = format!("the rollout was stopped at {} %: {}", rollout.percent, rollout.message);
        return Draft::new(READY, false, reason::ROLLOUT_STOPPED, message);
    }
    if let Some(first) = known.tally.groups.iter().find(|g| g.failed) {
        return Draft::new(READY, false, &first.reason, format!("{run}; {}", others(known.tally)));
    }
    if let Some(first) = known.tally.groups.first() {
        return Draft::new(READY, false, word(&first.reason), format!("{run}; {}", others(known.tally)));
    }
    if matched.total() == 0 {
        let message = match known.tally.skipped {
            0 => "no node runs an agent yet: each will load it as it joins".to_owned(),
            n => format!("its nodeSelector matches none of {}", text::nodes(n)),
        };
        return Draft::new(READY, true, reason::NO_NODES, message);
    }
    Draft::new(READY, true, reason::LOADED, run)
}

/// Why nodes wait, for a person who does not know agents.
fn word(reason: &str) -> &str {
    if reason == reason::NOT_REPORTED { reason::PENDING } else { reason }
}

/// What runs while the policy as it stands cannot.
fn kept(known: &Known<'_>) -> String {
    let not = format!("generation {} is not published", known.generation);
    match known.version {
        None => format!("{not}, and no other is"),
        Some(version) => {
            let matched = known.tally.matched;
            let (loaded, nodes) = (matched.loaded, text::nodes(matched.total()));
            format!("{not}; generation {} still is, and {loaded} of {nodes} run it", version.revision)
        }
    }
}

/// `HookNotAvailable on 2 nodes, NotReported on 1 node`.
fn others(tally: &Tally) -> String {
    const MOST: usize = 4;
    let one = |g: &Group| format!("{} on {}", g.reason, text::nodes(g.nodes));
    let mut list: Vec<String> = tally.groups.iter().take(MOST).map(one).collect();
    let rest: usize = tally.groups.iter().skip(MOST).map(|g| g.nodes).sum();
    if rest > 0 {
        list.push(format!("other reasons on {}", text::nodes(rest)));
    }
    list.join(", ")
}

fn stalled(known: &Known<'_>) -> Option<Draft> {
    let ready = ready(known);
    let stopped = known.rollout.is_some_and(|r| r.phase == STOPPED);
    let failed = known.tally.matched.failed > 0 && known.tally.matched.pending == 0;
    let needs_edit = known.compiled.fault().is_some() || stopped || failed && known.unpublished.is_none();
    needs_edit.then_some(Draft { ty: STALLED, is: true, ..ready })
}

fn reconciling(known: &Known<'_>, stalled: bool) -> Option<Draft> {
    let progressing = known.rollout.filter(|r| r.phase == PROGRESSING);
    let waiting = known.tally.matched.pending > 0 || known.unpublished.is_some() || progressing.is_some();
    if stalled || !waiting {
        return None;
    }
    Some(match progressing {
        Some(r) => {
            let message = if r.message.is_empty() {
                format!("the rollout is at {} %", r.percent)
            } else {
                format!("the rollout is at {} %: {}", r.percent, r.message)
            };
            Draft::new(RECONCILING, true, reason::ROLLOUT_PROGRESSING, message)
        }
        None => {
            let draft = Draft { ty: RECONCILING, is: true, ..ready(known) };
            // What is waited for, not what failed meanwhile.
            match known.tally.groups.iter().find(|g| !g.failed).filter(|_| known.unpublished.is_none()) {
                Some(first) => Draft { reason: word(&first.reason).to_owned(), ..draft },
                None => draft,
            }
        }
    })
}

/// What the policy selects, as far as nodes say it.
fn workloads(known: &Known<'_>) -> Option<WorkloadCounts> {
    let version = known.version?;
    version.plan.workloads.as_ref()?.pods.as_ref()?;
    let sum = known.tally.selected;
    if sum.nodes == 0 {
        return None;
    }
    // Of a node that runs it and does not say, it is not known that it has none.
    let empty = sum.pods == 0 && sum.nodes == known.tally.matched.loaded;
    // Another version selects something else.
    let same = known.previous.plan.as_ref().is_some_and(|plan| plan.digest == version.status.digest);
    let before = known.previous.workloads.as_ref().filter(|_| same).and_then(|w| w.empty_since.clone());
    let n = |count: u64| i32::try_from(count).unwrap_or(i32::MAX);
    Some(WorkloadCounts {
        pods: n(sum.pods),
        containers: n(sum.containers),
        empty_since: empty.then(|| before.unwrap_or_else(|| known.time.clone())),
    })
}

/// For how long nothing has been selected. Another replica, by another clock, may have written since when: the warning
/// that hangs on it is early or late by as much as they differ, which is better than one that goes with the leader.
fn empty_for(workloads: Option<&WorkloadCounts>, time: &Time) -> Option<Duration> {
    let since = workloads?.empty_since.as_ref()?;
    // A clock that was put back says nothing of how long it has been.
    Some(Duration::try_from(time.0.duration_since(since.0)).unwrap_or_default())
}

fn selects_nothing(known: &Known<'_>, workloads: Option<&WorkloadCounts>) -> Option<Draft> {
    empty_for(workloads, known.time).filter(|empty| *empty >= EMPTY_FOR)?;
    let since = workloads?.empty_since.as_ref()?;
    let message = format!(
        "it selects no pod on {} since {}: look at podSelector, containerSelector and the namespace",
        text::nodes(known.tally.selected.nodes),
        since.0
    );
    Some(Draft::new(SELECTS_NOTHING, true, reason::NO_PODS, message))
}

/// When to look again, to say that nothing is selected.
pub fn until_selects_nothing(status: &TracingPolicyStatus, time: &Time) -> Option<Duration> {
    let empty = empty_for(status.workloads.as_ref(), time)?;
    EMPTY_FOR.checked_sub(empty).filter(|rest| !rest.is_zero())
}

fn mode(known: &Known<'_>) -> String {
    let Some(version) = known.version else { return String::new() };
    if !version.plan.enforces() {
        return "observe".into();
    }
    let stopped = known.rollout.is_some_and(|r| r.phase == STOPPED);
    let mode = if stopped { tetragon_api::plan::Mode::Monitor } else { version.plan.mode };
    mode_name(mode).into()
}

fn counts(tally: &Tally) -> NodeCounts {
    let n = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let matched = tally.matched;
    NodeCounts {
        matched: n(matched.total()),
        loaded: n(matched.loaded),
        pending: n(matched.pending),
        failed: n(matched.failed),
        skipped: n(tally.skipped),
        summary: format!("{}/{}", matched.loaded, matched.total()),
    }
}

fn failures(groups: &[Group]) -> Vec<FailureGroup> {
    let shown = if groups.len() > MAX_FAILURES { MAX_FAILURES - 1 } else { groups.len() };
    let n = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let mut failures: Vec<FailureGroup> = groups[..shown]
        .iter()
        .map(|g| FailureGroup {
            reason: g.reason.clone(),
            message: text::cut(&g.message, MAX_MESSAGE),
            nodes: n(g.nodes),
            sample_nodes: g.samples.clone(),
        })
        .collect();
    let rest = &groups[shown..];
    if !rest.is_empty() {
        let reasons: Vec<String> =
            rest.iter().map(|g| format!("{} on {}", g.reason, text::nodes(g.nodes))).collect();
        let mut samples: Vec<String> = rest.iter().flat_map(|g| g.samples.iter().cloned()).collect();
        samples.sort();
        samples.truncate(MAX_SAMPLES);
        failures.push(FailureGroup {
            reason: reason::OTHERS.into(),
            message: text::cut(&reasons.join(", "), MAX_MESSAGE),
            nodes: n(rest.iter().map(|g| g.nodes).sum()),
            sample_nodes: samples,
        });
    }
    failures
}

fn warnings(known: &Known<'_>) -> Vec<String> {
    let all: Vec<&String> = known.compiled.warnings.iter().chain(known.warnings).collect();
    let shown = if all.len() > MAX_WARNINGS { MAX_WARNINGS - 1 } else { all.len() };
    let mut warnings: Vec<String> = all[..shown].iter().map(|w| text::cut(w, MAX_MESSAGE)).collect();
    if shown < all.len() {
        warnings.push(format!("(and {} more warnings)", all.len() - shown));
    }
    warnings
}

/// Makes it small enough: first texts are cut, then samples and warnings left out.
fn fit(status: &mut TracingPolicyStatus) {
    for (message, samples, warnings) in [(512, 5, 20), (256, 5, 20), (192, 3, 12), (96, 2, 8), (48, 1, 4)] {
        if serde_json::to_vec(status).is_ok_and(|json| json.len() <= MAX_STATUS) {
            return;
        }
        for failure in &mut status.failures {
            failure.message = text::cut(&failure.message, message);
            failure.sample_nodes.truncate(samples);
        }
        let all = status.warnings.len();
        if all > warnings {
            status.warnings.truncate(warnings - 1);
            status.warnings.push(format!("(and {} more warnings)", all - warnings + 1));
        }
        status.warnings.iter_mut().for_each(|w| *w = text::cut(w, message));
        // A condition's message is what people read first: it is cut last, and least.
        status.conditions.iter_mut().for_each(|c| c.message = text::cut(&c.message, message * 2));
        if let Some(rollout) = &mut status.rollout {
            rollout.message = text::cut(&rollout.message, message);
        }
    }
}

#[cfg(test)]
mod tests;
