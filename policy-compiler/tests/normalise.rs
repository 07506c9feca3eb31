//! Policies that mean the same have the same digest, and those that do not have not.

#[expect(dead_code, reason = "another test uses the rest")]
mod generate;

use generate::{HEAD, call, matcher, selector, workloads, write};
use proptest::prelude::*;
use proptest::sample::Index;
use tetragon_api::plan::{Plan, UnknownContainers};
use tetragon_compiler::{compile_yaml, interpret, normalise};

fn plan(text: &str) -> Plan {
    let compiled = compile_yaml("p.yaml", text);
    let plan = compiled.policies.into_iter().next().and_then(|p| p.plan);
    plan.unwrap_or_else(|| panic!("{:#?}\n{text}", compiled.diagnostics))
}

proptest! {
    #[test]
    fn the_order_of_values_and_matchers_means_nothing(selectors in prop::collection::vec(selector(), 1..4)) {
        let one = plan(&write(&selectors, |v| v.to_vec()));
        let other = plan(&write(&selectors, |v| v.iter().rev().cloned().collect()));
        let doubled = plan(&write(&selectors, |v| {
            // matchBinaries takes one entry: only lists of values are doubled.
            if v.iter().all(|v| !v.starts_with('{')) { v.iter().chain(v).cloned().collect() } else { v.to_vec() }
        }));
        prop_assert_eq!(one.digest(), other.digest());
        prop_assert_eq!(one.digest(), doubled.digest());
    }

    #[test]
    fn the_order_of_selectors_means_something(
        selectors in prop::collection::vec(selector(), 2..5),
        a in any::<Index>(),
        b in any::<Index>(),
    ) {
        let one = plan(&write(&selectors, |v| v.to_vec()));
        let mut swapped = selectors.clone();
        swapped.swap(a.index(selectors.len()), b.index(selectors.len()));
        let other = plan(&write(&swapped, |v| v.to_vec()));
        let same = one.hooks[0].selectors == other.hooks[0].selectors;
        prop_assert_eq!(one.digest() == other.digest(), same);
    }

    #[test]
    fn normalising_twice_changes_nothing_and_once_changes_no_decision(
        matchers in prop::collection::vec(matcher(), 1..6),
        asked in prop::option::of(workloads()),
        closed in any::<bool>(),
        calls in prop::collection::vec(call(), 16),
    ) {
        let mut once = plan(&format!("{HEAD}    selectors: [{{}}]\n"));
        once.hooks[0].selectors[0].matchers = matchers;
        once.workloads = asked;
        if closed {
            once.unknown_containers = UnknownContainers::FailClosed;
        }
        let raw = once.clone();
        normalise::plan(&mut once);
        let mut twice = once.clone();
        normalise::plan(&mut twice);
        prop_assert_eq!(&once, &twice);
        for call in &calls {
            prop_assert_eq!(
                interpret::decide(&raw, &raw.hooks[0], call),
                interpret::decide(&once, &once.hooks[0], call),
                "{:?}", call
            );
        }
    }
}

#[test]
fn comments_spelling_and_lists_do_not_change_the_digest() {
    let long = plan(&format!(
        "# a comment\n{}    selectors:\n    - matchArgs:\n      - {{index: 1, operator: GreaterThan, values: [\"5\"]}}\n      - args: [0]\n        operator: Prefix\n        values: [\"/etc/\", \"/etc/ssl/\"]\n",
        HEAD.replace("type: int", "type: sint32, label: \"\"")
    ));
    let short = plan(&format!(
        "{HEAD}    selectors:\n    - matchActions: [{{action: Post}}]\n      matchArgs:\n      - {{index: 0, operator: Prefix, values: [\"/etc/\"]}}\n      - {{index: 1, operator: InRange, values: [\"0x7:2147483647\", \"6:6\"]}}\n"
    ));
    assert_eq!(long, short);
    assert_eq!(long.digest(), short.digest());
    assert_eq!(long.digest().len(), 64);
    let other = plan(&format!("{HEAD}    selectors: [{{}}]\n"));
    assert_ne!(long.digest(), other.digest());
}

#[test]
fn a_list_is_the_same_in_any_order() {
    let listed = |values: &str| {
        let text = format!(
            "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {{name: p}}\nspec:\n  lists:\n  \
             - {{name: l, type: syscalls, values: {values}}}\n  kprobes:\n  - {{call: \"list:l\"}}\n"
        );
        plan(&text).digest()
    };
    assert_eq!(listed("[sys_dup, sys_dup2]"), listed("[__x64_sys_dup2, x64/sys_dup, sys_dup]"));
    assert_eq!(listed("[sys_dup, sys_dup2]"), listed("[sys_dup2, __arm64_sys_dup, arm64/sys_dup]"));
    assert_ne!(listed("[sys_dup, sys_dup2]"), listed("[sys_dup]"));
}
