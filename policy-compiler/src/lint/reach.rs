//! Selectors that no call reaches, and matchers that none satisfies.

use tetragon_api::plan::Matcher;

use super::sets::{contradict, disjoint, implies, part_of, same_dimension, too_many, values};
use super::value_place;
use crate::codes::Code;
use crate::context::Cx;
use crate::draft::{HookDraft, MatcherDraft, SelectorDraft};

/// Matchers of one selector that exclude each other, and values that another matcher makes dead.
pub(super) fn contradictions(cx: &mut Cx<'_>, hook: &HookDraft) {
    for selector in &hook.selectors {
        for (i, first) in selector.matchers.iter().enumerate() {
            for second in &selector.matchers[i + 1..] {
                if contradict(&first.matcher, &second.matcher) {
                    let label = cx.span(first.place.span.as_ref());
                    cx.report(
                        Code::NeverMatches,
                        &second.place,
                        "the selector never matches: no call satisfies this and an earlier matcher",
                    )
                    .help("matchers of one selector are ANDed: use a selector each, or mend the values")
                    .label(label, "this excludes it");
                } else {
                    dead_values(cx, first, second);
                }
            }
        }
    }
}

/// Values that change nothing: taken and excluded, or excluded and never taken.
fn dead_values(cx: &mut Cx<'_>, first: &MatcherDraft, second: &MatcherDraft) {
    // A process has several ancestors: nothing is dead about one more.
    let follows = matches!(first.matcher, Matcher::Pid { follow_forks: true, .. });
    if follows || !same_dimension(&first.matcher, &second.matcher) {
        return;
    }
    let (a, b) = (values(&first.matcher), values(&second.matcher));
    if too_many(&a.sets, &b.sets) {
        return;
    }
    let (taken, excluded, taking, excluding) = match (a.not, b.not) {
        (false, true) => (a, b, first, second),
        (true, false) => (b, a, second, first),
        _ => return,
    };
    for (i, set) in taken.sets.iter().enumerate() {
        if excluded.sets.iter().any(|e| part_of(set, e)) {
            let label = cx.span(excluding.place.span.as_ref());
            cx.report(
                Code::DeadValue,
                value_place(taking, i),
                "the value never matches: another matcher of the selector excludes it",
            )
            .help("leave it out on one side")
            .label(label, "excluded here");
        }
    }
    for (i, set) in excluded.sets.iter().enumerate() {
        if taken.sets.iter().all(|t| disjoint(t, set)) {
            let label = cx.span(taking.place.span.as_ref());
            cx.report(
                Code::DeadValue,
                value_place(excluding, i),
                "the value excludes nothing: another matcher of the selector does not take it",
            )
            .help("leave it out")
            .label(label, "only these are taken");
        }
    }
}

/// Selectors after one that takes every call that they would.
pub(super) fn selectors(cx: &mut Cx<'_>, hook: &HookDraft) {
    for (i, later) in hook.selectors.iter().enumerate() {
        let Some((j, earlier)) = hook.selectors[..i].iter().enumerate().find(|(_, e)| takes_all(e, later))
        else {
            continue;
        };
        let label = cx.span(earlier.place.span.as_ref());
        let lost = match later.actions.enforces() && !earlier.actions.enforces() {
            true => ", and its action is never done",
            false => "",
        };
        let message = format!(
            "the selector is never reached{lost}: selectors[{j}] takes every call that it would match"
        );
        cx.report(Code::UnreachableSelector, &later.place, message)
            .help("the first selector that matches decides: put the narrower one first")
            .label(label, "this one decides");
    }
}

fn takes_all(earlier: &SelectorDraft, later: &SelectorDraft) -> bool {
    earlier.matchers.iter().all(|e| later.matchers.iter().any(|l| implies(&l.matcher, &e.matcher)))
}
