//! Tests of field filters: one event, and what is left of it.

use serde_json::json;

use super::*;
use crate::parse_field_filters;

fn event(value: Value) -> GetEventsResponse {
    serde_json::from_value(value).unwrap()
}

fn kprobe() -> GetEventsResponse {
    event(json!({
        "process_kprobe": {
            "process": {"exec_id": "a", "pid": 20, "binary": "/usr/bin/curl", "cap": {"permitted": ["CAP_KILL"]},
                "pod": {"name": "x", "pod_labels": {"app": "web", "tier": "front"}}},
            "parent": {"pid": 19, "binary": "/bin/sh", "arguments": "-c x"},
            "args": [{"file_arg": {"path": "/etc/shadow", "permission": "-rw-------"}}],
            "function_name": "security_file_open", "policy_name": "p1"
        },
        "node_name": "n", "time": "2026-11-24T09:11:32.739876270Z"
    }))
}

fn exec() -> GetEventsResponse {
    event(json!({"process_exec": {"process": {"pid": 1}, "parent": {"pid": 2}}}))
}

fn fields(text: &str) -> Fields {
    Fields::new(&parse_field_filters(text).unwrap()).unwrap()
}

#[test]
fn fields_are_included() {
    let f = fields(r#"{"fields":"process.execId,args.file_arg.path,return","event_set":["PROCESS_KPROBE"]}"#);
    assert_eq!(
        f.apply(&kprobe()).unwrap(),
        json!({
            "process_kprobe": {"process": {"exec_id": "a"}, "args": [{"file_arg": {"path": "/etc/shadow"}}]},
            "node_name": "n", "time": "2026-11-24T09:11:32.739876270Z"
        })
    );
    assert!(f.apply(&exec()).is_none());
}

#[test]
fn fields_are_excluded_and_excluding_wins() {
    let f = fields(
        r#"{"fields":"process,parent","action":"INCLUDE"}
           {"fields":"process.cap,parent.arguments","action":"EXCLUDE"}"#,
    );
    let value = f.apply(&kprobe()).unwrap();
    let k = &value["process_kprobe"];
    assert_eq!(k["process"].get("cap"), None);
    assert_eq!(k["parent"], json!({"pid": 19, "binary": "/bin/sh"}));
    assert_eq!(k.get("args"), None);
    let others = fields(
        r#"{"fields":"parent","action":"EXCLUDE","event_set":["PROCESS_EXEC"],"invert_event_set":true}"#,
    );
    assert_eq!(others.apply(&kprobe()).unwrap()["process_kprobe"].get("parent"), None);
    assert!(others.apply(&exec()).is_none());
}

#[test]
fn filtered_events_are_still_events() {
    let f = fields(r#"{"fields":"process.cap","action":"EXCLUDE"}"#);
    let back: GetEventsResponse = serde_json::from_value(f.apply(&kprobe()).unwrap()).unwrap();
    let mut expected = kprobe();
    if let Some(tetragon_api::event::get_events_response::Event::ProcessKprobe(k)) = &mut expected.event {
        k.process.as_mut().unwrap().cap = None;
    }
    assert_eq!(back, expected);
}

#[test]
fn paths_go_into_lists_and_maps() {
    let left = |text| fields(text).apply(&kprobe()).unwrap()["process_kprobe"].clone();
    assert_eq!(
        left(r#"{"fields":"process.pod.pod_labels.app,parent.pid"}"#),
        json!({"process": {"pod": {"pod_labels": {"app": "web"}}}, "parent": {"pid": 19}})
    );
    let without = left(r#"{"fields":"args.fileArg.permission,process","action":"EXCLUDE"}"#);
    assert_eq!(without["args"], json!([{"file_arg": {"path": "/etc/shadow"}}]));
    // One filter after the other: what the first has dropped the second cannot keep.
    assert_eq!(
        left(r#"{"fields":"parent"} {"fields":"parent.pid,process"}"#),
        json!({"parent": {"pid": 19}})
    );
    // An empty event_set is all kinds, also inverted.
    assert!(
        left(r#"{"fields":"parent","action":"EXCLUDE","invert_event_set":true}"#).get("parent").is_none()
    );
}

#[test]
fn wrong_field_filters_say_why() {
    for (text, part) in [
        (r#"{"action":"EXCLUDE"}"#, "filter 0: `fields` is missing"),
        (
            r#"{"fields":"parent"} {"fields":"process.pidd"}"#,
            "filter 1: fields: there is no `process.pidd` in an event: a Process has arguments, ",
        ),
        (r#"{"fields":"proces"}"#, "there is no `proces` in an event: there are action, "),
        (r#"{"fields":"process.pid.x"}"#, "there is no `process.pid.x`"),
        (r#"{"fields":"node_name"}"#, "field filters do not reach"),
        (r#"{"fields":"process_exec.process"}"#, "below the event's kind"),
        (
            r#"{"fields":"args","event_set":["PROCESS_EXEC"]}"#,
            "there is no `args` in an event: there are ancestors, parent, process",
        ),
        (r#"{"fields":""}"#, "fields"),
        (r#"{"field":"x"}"#, "there is no member `field`"),
        (r#"{"fields":"parent","action":"HIDE"}"#, "HIDE"),
    ] {
        let error = match parse_field_filters(text) {
            Err(e) => e.to_string(),
            Ok(list) => Fields::new(&list).unwrap_err().to_string(),
        };
        assert!(error.contains(part), "{text}: {error}");
    }
    let unknown =
        FieldFilter { action: 7, ..parse_field_filters(r#"{"fields":"parent"}"#).unwrap()[0].clone() };
    assert!(Fields::new(&[unknown]).unwrap_err().to_string().contains("7 is neither INCLUDE"));
}
