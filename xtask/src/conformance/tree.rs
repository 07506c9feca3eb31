//! Which events come from a case's trigger: those of its shell, of all processes that descend from it, and
//! of what the same pids execute later.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// The process that an event is about, and its event type.
pub(crate) fn process(event: &Value) -> Option<(&str, &Value)> {
    let fields = event.as_object()?;
    fields.iter().find_map(|(key, value)| {
        let process = value.get("process")?;
        process.is_object().then_some((key.as_str(), process))
    })
}

/// A time that can be compared: RFC 3339 has as many digits of a second as it needs.
pub(crate) fn time(text: &str) -> String {
    let text = text.trim_end_matches('Z');
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{seconds}.{fraction:0<9}")
}

fn text<'a>(process: &'a Value, key: &str) -> &'a str {
    process.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The events that come from the shell whose arguments are `script`; `None` when it was not seen to start.
pub(crate) fn events_of<'a>(script: &str, events: &'a [Value]) -> Option<Vec<&'a Value>> {
    let root = events.iter().find_map(|event| match process(event)? {
        ("process_exec", process) if text(process, "arguments") == script => Some(process),
        _ => None,
    })?;
    let begin = time(text(root, "start_time"));
    let mut parents = HashMap::new();
    for event in events {
        let Some((kind, process)) = process(event) else { continue };
        let whole = &event[kind];
        let others = [whole.get("parent")].into_iter().flatten();
        let ancestors = whole.get("ancestors").and_then(Value::as_array).into_iter().flatten();
        for p in std::iter::once(process).chain(others).chain(ancestors) {
            parents.insert(text(p, "exec_id"), text(p, "parent_exec_id"));
        }
    }
    let mut ids = HashSet::from([text(root, "exec_id")]);
    let mut pids = HashSet::from([root.get("pid").and_then(Value::as_u64)]);
    loop {
        let before = (ids.len(), pids.len());
        // A child's event may stand before its parent's: again until nothing is new.
        for (id, parent) in &parents {
            if ids.contains(parent) {
                ids.insert(id);
            }
        }
        for event in events {
            let Some((_, process)) = process(event) else { continue };
            let pid = process.get("pid").and_then(Value::as_u64);
            // Before the shell, its pid belonged to the program that started it.
            let later = time(text(process, "start_time")) >= begin;
            if ids.contains(text(process, "exec_id")) {
                pids.insert(pid);
            } else if later && pid.is_some() && pids.contains(&pid) {
                ids.insert(text(process, "exec_id"));
            }
        }
        if before == (ids.len(), pids.len()) {
            break;
        }
    }
    Some(
        events.iter().filter(|e| process(e).is_some_and(|(_, p)| ids.contains(text(p, "exec_id")))).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn exec(id: &str, parent: &str, pid: u32, at: &str, arguments: &str) -> Value {
        json!({"process_exec": {"process": {"exec_id": id, "parent_exec_id": parent, "pid": pid,
            "start_time": format!("2026-11-24T09:11:{at}Z"), "arguments": arguments}}})
    }

    #[test]
    fn descendants_and_later_programs_of_the_same_pid() {
        let events = [
            exec("timeout", "init", 10, "01.5", "60 /bin/sh /s"),
            exec("grandchild", "child", 12, "04", "x"),
            exec("shell", "timeout", 10, "02", "/s"),
            exec("other", "init", 20, "03", "x"),
            exec("child", "shell", 11, "03.25", "x"),
            exec("again", "lost", 11, "03.3", "x"),
            json!({"process_kprobe": {"process": {"exec_id": "fork", "parent_exec_id": "again", "pid": 13}}}),
            json!({"process_kprobe": {"process": {"exec_id": "timeout", "pid": 10, "start_time": "2026-11-24T09:11:01.5Z"}}}),
            json!({"rate_limit_info": {}}),
        ];
        let found: Vec<_> = events_of("/s", &events)
            .expect("the shell")
            .into_iter()
            .filter_map(|e| process(e).map(|(_, p)| text(p, "exec_id")))
            .collect();
        assert_eq!(found, ["grandchild", "shell", "child", "again", "fork"]);
        assert!(events_of("/other", &events).is_none());
    }

    #[test]
    fn times_compare_whatever_their_digits() {
        assert!(time("2026-01-01T00:00:01.5Z") > time("2026-01-01T00:00:01.499999999Z"));
        assert!(time("2026-01-01T00:00:01Z") < time("2026-01-01T00:00:01.000000001Z"));
    }
}
