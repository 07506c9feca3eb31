//! Lints are true: what they say never happens, does not happen to any of thousands of calls.

#[expect(dead_code, reason = "another test uses the rest")]
mod generate;

use generate::{call, related, selector, write};
use proptest::prelude::*;
use tetragon_api::plan::Plan;
use tetragon_compiler::{Code, Diagnostic, compile_yaml, interpret};

/// N of `selectors[N]` in a finding's field.
fn selector_of(diagnostic: &Diagnostic) -> usize {
    let rest = diagnostic.field.split("selectors[").nth(1).expect("a field of a selector");
    rest.split(']').next().and_then(|n| n.parse().ok()).expect("a number")
}

fn compile(text: &str) -> (Plan, Vec<Diagnostic>) {
    let compiled = compile_yaml("p.yaml", text);
    let plan = compiled.policies.into_iter().next().and_then(|p| p.plan);
    let plan = plan.unwrap_or_else(|| panic!("{:#?}\n{text}", compiled.diagnostics));
    (plan, compiled.diagnostics)
}

fn decide(plan: &Plan, call: &interpret::Call) -> Option<usize> {
    interpret::decide(plan, &plan.hooks[0], call)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_never_reached_or_matched_never_decides(
        selectors in prop_oneof![prop::collection::vec(selector(), 1..5), related()],
        calls in prop::collection::vec(call(), 24),
    ) {
        let (plan, diagnostics) = compile(&write(&selectors, |v| v.to_vec()));
        for d in diagnostics.iter().filter(|d| matches!(d.code, Code::UnreachableSelector | Code::NeverMatches)) {
            let selector = selector_of(d);
            for call in &calls {
                prop_assert!(decide(&plan, call) != Some(selector), "{}\n{call:?}", d.one_line());
            }
        }
    }

    #[test]
    fn a_dead_value_can_be_left_out(
        mut selectors in prop::collection::vec(selector(), 1..2),
        calls in prop::collection::vec(call(), 24),
    ) {
        let text = write(&selectors, |v| v.to_vec());
        let (plan, diagnostics) = compile(&text);
        let dead: Vec<_> = diagnostics.iter().filter(|d| d.code == Code::DeadValue).filter_map(|d| d.span).collect();
        // Takes the first dead value out of the text; where it was the only one there is nothing to compare.
        let Some(span) = dead.first() else { return Ok(()) };
        let mut without = text.clone();
        let tail = &text[span.end..];
        let end = span.end + if tail.starts_with(", ") { 2 } else { 0 };
        let start = if end == span.end && text[..span.start].ends_with(", ") { span.start - 2 } else { span.start };
        without.replace_range(start..end, "");
        if without.contains("values: []") {
            return Ok(());
        }
        selectors.clear();
        let (other, _) = compile(&without);
        for call in &calls {
            prop_assert_eq!(decide(&plan, call), decide(&other, call), "{}\n{}", text, without);
        }
    }
}
