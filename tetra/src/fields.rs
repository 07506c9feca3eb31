//! `--include-fields` and `--exclude-fields`: which fields of an event to show. The agent applies them
//! to its stream; for events from stdin it is done here.

use anyhow::Context;
use tetragon_api::event::{FieldFilter, FieldFilterAction, FieldMask};
use tetragon_filters::Fields;

/// The filters as a request has them, and ready to be applied. Fails on a field that no event has.
pub(crate) fn filters(include: &[String], exclude: &[String]) -> anyhow::Result<(Vec<FieldFilter>, Fields)> {
    let mut filters = Vec::new();
    for (flag, paths, action) in [
        ("--include-fields", include, FieldFilterAction::Include),
        ("--exclude-fields", exclude, FieldFilterAction::Exclude),
    ] {
        if paths.is_empty() {
            continue;
        }
        let filter = FieldFilter {
            fields: Some(FieldMask { paths: paths.to_vec() }),
            action: action as i32,
            ..FieldFilter::default()
        };
        Fields::new(std::slice::from_ref(&filter)).map_err(|e| e.reason).context(flag)?;
        filters.push(filter);
    }
    let ready = Fields::new(&filters)?;
    Ok((filters, ready))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn applied(include: &[&str], exclude: &[&str]) -> Value {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let event = json!({
            "process_exec": {"process": {"pid": 1, "pod": {"name": "a", "uid": "b"}}, "parent": {"pid": 2}},
            "node_name": "n",
        });
        let event = serde_json::from_value(event).expect("an event");
        filters(&own(include), &own(exclude)).expect("known fields").1.apply(&event).expect("it is filtered")
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
            (&["process.pod.podLabels"], &[], json!({"process": {"pod": {}}})),
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
            let error = format!("{:#}", filters(&[], &[path.to_owned()]).expect_err("no such field"));
            let start = format!("--exclude-fields: fields: there is no `{path}` in an event: ");
            assert!(error.starts_with(&start), "{error}");
        }
    }
}
