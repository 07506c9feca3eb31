//! `--include-fields` and `--exclude-fields`: which fields of an event to show. The agent applies them
//! to its stream; for events from stdin it is done here, on their JSON.

use anyhow::bail;
use serde_json::{Map, Value};
use tetragon_api::event::{FieldFilter, FieldFilterAction, FieldMask};

/// Members of the envelope, which no field filter touches.
const ENVELOPE: [&str; 5] = ["node_name", "time", "aggregation_info", "cluster_name", "node_labels"];

/// Fields of all events.
const EVENT: &str = "action ancestors args buildid cgroup data event flags function_name ima_hash \
    kernel_stack_trace message offset parent path policy_name process provider name ref_ctr_offset return \
    return_action signal status subsys symbol tags time type user_stack_trace arg0 arg1 arg2 arg3 \
    number_of_dropped_process_events";

/// Fields of a process.
const PROCESS: &str = "exec_id pid uid cwd binary arguments flags start_time auid pod docker parent_exec_id \
    refcnt cap ns tid process_credentials binary_properties user in_init_tree environment_variables";

/// The filters as a request has them. Fails on a field that no event has.
pub(crate) fn filters(include: &[String], exclude: &[String]) -> anyhow::Result<Vec<FieldFilter>> {
    let mut filters = Vec::new();
    for (paths, action) in [(include, FieldFilterAction::Include), (exclude, FieldFilterAction::Exclude)] {
        for path in paths {
            check(path)?;
        }
        if !paths.is_empty() {
            filters.push(FieldFilter {
                fields: Some(FieldMask { paths: paths.to_vec() }),
                action: action as i32,
                ..FieldFilter::default()
            });
        }
    }
    Ok(filters)
}

/// Fails if the first parts of `path` are no fields.
fn check(path: &str) -> anyhow::Result<()> {
    let mut parts = path.split('.');
    let first = parts.next().unwrap_or_default();
    if !EVENT.split_whitespace().any(|f| f == first) {
        bail!("there is no field {path:?} in an event; the fields are {}", joined(EVENT));
    }
    let Some(second) = parts.next() else { return Ok(()) };
    if matches!(first, "process" | "parent") && !PROCESS.split_whitespace().any(|f| f == second) {
        bail!("there is no field {path:?} in an event; a process has {}", joined(PROCESS));
    }
    Ok(())
}

fn joined(list: &str) -> String {
    list.split_whitespace().collect::<Vec<_>>().join(", ")
}

/// Applies the filters of [`filters`] to the JSON of an event.
pub(crate) fn apply(filters: &[FieldFilter], event: &mut Value) {
    let Some(members) = event.as_object_mut() else { return };
    for (_, body) in members.iter_mut().filter(|(key, _)| !ENVELOPE.contains(&key.as_str())) {
        for filter in filters {
            let paths = filter.fields.iter().flat_map(|f| &f.paths);
            if filter.action == FieldFilterAction::Exclude as i32 {
                paths.for_each(|path| remove(body, path));
            } else {
                *body = paths.fold(Value::Object(Map::new()), |mut kept, path| {
                    copy(body, &mut kept, path);
                    kept
                });
            }
        }
    }
}

/// Removes the value at `path`.
fn remove(value: &mut Value, path: &str) {
    let Some(object) = value.as_object_mut() else { return };
    match path.split_once('.') {
        None => {
            object.remove(path);
        }
        Some((first, rest)) => {
            if let Some(inner) = object.get_mut(first) {
                remove(inner, rest);
            }
        }
    }
}

/// Copies the value at `path` from `from` to `to`, with the objects around it.
fn copy(from: &Value, to: &mut Value, path: &str) {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let (Some(value), Some(target)) = (from.get(first), to.as_object_mut()) else { return };
    match rest {
        None => {
            target.insert(first.to_owned(), value.clone());
        }
        Some(rest) => {
            let inner = target.entry(first).or_insert_with(|| Value::Object(Map::new()));
            copy(value, inner, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn applied(include: &[&str], exclude: &[&str]) -> Value {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let mut event = json!({
            "process_exec": {"process": {"pid": 1, "pod": {"name": "a", "uid": "b"}}, "parent": {"pid": 2}},
            "node_name": "n",
        });
        apply(&filters(&own(include), &own(exclude)).expect("known fields"), &mut event);
        event
    }

    #[test]
    fn includes_keep_and_excludes_drop() {
        for (include, exclude, wanted) in [
            (
                &["process.pod.name", "parent"][..],
                &[][..],
                json!({"process": {"pod": {"name": "a"}}, "parent": {"pid": 2}}),
            ),
            (&[], &["parent", "process.pod"], json!({"process": {"pid": 1}})),
            (&["process"], &["process.pod.uid"], json!({"process": {"pid": 1, "pod": {"name": "a"}}})),
            (&["signal"], &[], json!({})),
            (
                &["process.pod", "process.pod.name"],
                &[],
                json!({"process": {"pod": {"name": "a", "uid": "b"}}}),
            ),
        ] {
            let wanted = json!({"process_exec": wanted, "node_name": "n"});
            assert_eq!(applied(include, exclude), wanted, "{include:?} {exclude:?}");
        }
    }

    #[test]
    fn a_field_that_does_not_exist_is_refused() {
        for path in ["proces", "process.pidd", "", "node_name"] {
            let error = filters(&[], &[path.to_owned()]).expect_err("no such field").to_string();
            assert!(error.starts_with(&format!("there is no field {path:?}")), "{error}");
        }
    }
}
