//! One form for all policies that mean the same. Idempotent.

use tetragon_api::plan::{IntRange, Matcher, Plan, TextOp};
use tetragon_api::policy::{LabelOperator, LabelSelector};
use tetragon_api::workload::Workloads;

/// Sorts what has no order, merges what overlaps, drops what another value covers. Selectors, args
/// and actions keep their order: it means something.
pub fn plan(plan: &mut Plan) {
    option(&mut plan.node_selector);
    plan.workloads.as_mut().map(workloads);
    plan.workloads.take_if(|w| w.is_everything());
    for hook in &mut plan.hooks {
        for selector in &mut hook.selectors {
            selector.matchers.iter_mut().for_each(matcher);
            selector.matchers.retain(|m| !matches!(m, Matcher::Workload(w) if w.is_everything()));
            selector.matchers.sort();
            selector.matchers.dedup();
        }
    }
}

fn matcher(matcher: &mut Matcher) {
    match matcher {
        Matcher::Binary { op, values, .. }
        | Matcher::ParentBinary { op, values, .. }
        | Matcher::Text { op, values, .. } => texts(*op, values),
        Matcher::Pid { values, .. } => {
            values.sort_unstable();
            values.dedup();
        }
        Matcher::Namespace { values, .. } => {
            values.sort_unstable();
            values.dedup();
        }
        Matcher::Int { ranges, .. } => merge(ranges),
        Matcher::Mask { .. } => {}
        Matcher::Workload(asked) => workloads(asked),
    }
}

fn workloads(workloads: &mut Workloads) {
    if let Some(pods) = &mut workloads.pods {
        option(&mut pods.labels);
        option(&mut pods.containers);
    }
}

/// One that selects everything is none.
fn option(selector: &mut Option<LabelSelector>) {
    selector.as_mut().map(labels);
    selector.take_if(|s| s.is_empty());
}

/// Sorts what has no order, and writes `In` with one value as a label.
pub(crate) fn labels(selector: &mut LabelSelector) {
    for requirement in &mut selector.match_expressions {
        requirement.values.sort_unstable();
        requirement.values.dedup();
    }
    selector.match_expressions.sort_unstable();
    selector.match_expressions.dedup();
    let labels = &mut selector.match_labels;
    selector.match_expressions.retain(|r| {
        let (LabelOperator::In, [value]) = (r.operator, r.values.as_slice()) else { return true };
        labels.entry(r.key.clone()).or_insert_with(|| value.clone()) != value
    });
}

fn texts(op: TextOp, values: &mut Vec<String>) {
    // The values are ORed: one that a shorter one covers adds nothing. In this order the shorter one
    // stands before all that it covers.
    match op {
        TextOp::Postfix => values.sort_unstable_by(|a, b| a.bytes().rev().cmp(b.bytes().rev())),
        _ => values.sort_unstable(),
    }
    values.dedup_by(|value, last| covers(op, last, value));
    values.sort_unstable();
}

/// Whatever matches `value` matches `by` too.
pub(crate) fn covers(op: TextOp, by: &str, value: &str) -> bool {
    match op {
        TextOp::Equal => value == by,
        TextOp::Prefix => value.starts_with(by),
        TextOp::Postfix => value.ends_with(by),
    }
}

/// Sorts ranges and joins those that overlap or touch.
pub(crate) fn merge(ranges: &mut Vec<IntRange>) {
    ranges.sort_unstable();
    let mut merged: Vec<IntRange> = Vec::with_capacity(ranges.len());
    for range in ranges.drain(..) {
        match merged.last_mut() {
            Some(last) if range.min <= last.max.saturating_add(1) => last.max = last.max.max(range.max),
            _ => merged.push(range),
        }
    }
    *ranges = merged;
}
