//! Whether what happened is what a case wants.

use serde_json::Value;

use super::case::{Case, Expect};
use super::tree;

/// The reasons why it is not; empty when it is.
pub(crate) fn judge(case: &Case, script: &str, events: &[Value]) -> Vec<String> {
    let of_tree: Vec<&Value>;
    let events = if case.any_process {
        events.iter().collect()
    } else {
        match tree::events_of(script, events) {
            Some(found) => {
                of_tree = found;
                of_tree
            }
            None if case.trigger.is_none() => Vec::new(),
            None => {
                return vec![format!(
                    "no process_exec event of the trigger's shell among {} events",
                    events.len()
                )];
            }
        }
    };
    let mut reasons: Vec<String> = case.expect.iter().filter_map(|e| unmet(e, &events)).collect();
    for pattern in &case.forbid {
        if let Some(event) = events.iter().find(|e| pattern.matches(Some(e))) {
            reasons.push(format!("forbidden event: {}", brief(event)));
        }
    }
    reasons.extend(out_of_order(case, &events));
    reasons
}

fn unmet(expect: &Expect, events: &[&Value]) -> Option<String> {
    let found = events.iter().filter(|e| expect.event.matches(Some(e))).count();
    match expect.count {
        Some(count) if count == found as u64 => return None,
        None if found > 0 => return None,
        _ => {}
    }
    let wanted = expect.count.map_or("at least one".into(), |c| c.to_string());
    let name = expect.name.as_ref().map_or(String::new(), |n| format!(" ({n})"));
    let mut reason = format!("expected{name} {wanted}, found {found}: {}", describe(expect));
    // With too few, the nearest miss says most.
    if expect.count.is_none_or(|c| (found as u64) < c) {
        let near = events
            .iter()
            .filter(|e| !expect.event.matches(Some(e)))
            .max_by_key(|e| expect.event.closeness(Some(e)))
            .and_then(|e| expect.event.difference(Some(e), ""));
        if let Some(near) = near {
            reason += &format!("; nearest of {}: {near}", events.len());
        }
    }
    Some(reason)
}

fn describe(expect: &Expect) -> String {
    let text = format!("{}", expect.event);
    if text.chars().count() > 200 { text.chars().take(197).chain("...".chars()).collect() } else { text }
}

fn out_of_order(case: &Case, events: &[&Value]) -> Option<String> {
    let first = |name: &String| {
        let expect = case.expect.iter().find(|e| e.name.as_ref() == Some(name))?;
        let times = events.iter().filter(|e| expect.event.matches(Some(e)));
        times.filter_map(|e| Some(tree::time(e.get("time")?.as_str()?))).min()
    };
    case.order.windows(2).find_map(|pair| {
        let (a, b) = (first(&pair[0])?, first(&pair[1])?);
        (a > b).then(|| format!("order: {} ({a}) is not before {} ({b})", pair[0], pair[1]))
    })
}

/// An event in a few words.
fn brief(event: &Value) -> String {
    let Some((kind, process)) = tree::process(event) else { return event.to_string() };
    let field = |key: &str| event[kind].get(key).map_or(String::new(), |v| format!(" {key}={v}"));
    let text = format!(
        "{kind}{}{}{} process={} {}{}",
        field("policy_name"),
        field("function_name"),
        field("action"),
        process["binary"],
        process["arguments"],
        field("args"),
    );
    if text.chars().count() > 300 { text.chars().take(297).chain("...".chars()).collect() } else { text }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use serde_json::json;

    fn judged(case: &str, events: &[Value]) -> Vec<String> {
        let folder = std::env::temp_dir().join(format!(
            "xtask-judge-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("case.yaml"), format!("trigger: x\n{case}")).expect("a file");
        let case = Case::read(Path::new(&folder)).expect("a case");
        std::fs::remove_dir_all(&folder).expect("removing");
        judge(&case, "/s", events)
    }

    fn events() -> Vec<Value> {
        vec![
            json!({"process_exec": {"process": {"exec_id": "a", "pid": 1, "arguments": "/s"}}, "time": "2026-01-01T00:00:01Z"}),
            json!({"process_kprobe": {"process": {"exec_id": "b", "parent_exec_id": "a", "pid": 2}, "args": [{"int_arg": 1}]}, "time": "2026-01-01T00:00:02.5Z"}),
            json!({"process_kprobe": {"process": {"exec_id": "b", "parent_exec_id": "a", "pid": 2}, "args": [{"int_arg": 2}]}, "time": "2026-01-01T00:00:02.25Z"}),
            json!({"process_kprobe": {"process": {"exec_id": "z", "parent_exec_id": "y", "pid": 9}, "args": [{"int_arg": 3}]}, "time": "2026-01-01T00:00:03Z"}),
        ]
    }

    #[test]
    fn counts() {
        let kprobe = "expect: [{event: {process_kprobe: {}}, count: ";
        assert!(judged(&format!("{kprobe}2}}]"), &events()).is_empty());
        for wrong in ["1", "3", "0"] {
            assert_eq!(judged(&format!("{kprobe}{wrong}}}]"), &events()).len(), 1, "{wrong}");
        }
        assert!(judged("expect: [{event: {process_kprobe: {args: [{int_arg: 2}]}}}]", &events()).is_empty());
        let reasons = judged("expect: [{event: {process_kprobe: {args: [{int_arg: 3}]}}}]", &events());
        assert!(reasons[0].contains("wanted 3, there is "), "{reasons:?}");
    }

    #[test]
    fn other_processes_count_only_when_asked() {
        let three = "expect: [{event: {process_kprobe: {args: [{int_arg: 3}]}}}]";
        assert_eq!(judged(three, &events()).len(), 1);
        assert!(judged(&format!("any_process: true\n{three}"), &events()).is_empty());
        let forbid = "forbid: [{process_kprobe: {args: [{int_arg: 3}]}}]";
        assert!(judged(forbid, &events()).is_empty());
        assert_eq!(judged(&format!("any_process: true\n{forbid}"), &events()).len(), 1);
    }

    #[test]
    fn order_is_by_time() {
        let expect = "expect: [{name: one, event: {process_kprobe: {args: [{int_arg: 1}]}}}, {name: two, event: {process_kprobe: {args: [{int_arg: 2}]}}}]";
        assert!(judged(&format!("{expect}\norder: [two, one]"), &events()).is_empty());
        assert!(judged(&format!("{expect}\norder: [one, two]"), &events())[0].contains("order"));
    }

    #[test]
    fn without_the_shell_nothing_can_be_judged() {
        assert!(judged("forbid: [{process_kprobe: {}}]", &events()[1..])[0].contains("trigger's shell"));
    }
}
