//! Tests of documents, made from the events that docs/events.md shows.

use serde_json::Value;

use super::*;

fn document(event: &Value) -> Value {
    let event: GetEventsResponse = serde_json::from_value(event.clone()).unwrap();
    let line = serde_json::to_vec(&event).unwrap();
    let mut text = Vec::new();
    write(&mut text, &event, &line, event.policy_name().unwrap_or_default(), 7).unwrap();
    assert!(!text.contains(&b'\n'));
    serde_json::from_slice(&text).unwrap()
}

/// The page also shows parts of events.
fn real_events() -> Vec<Value> {
    let page = include_str!("../../../docs/events.md");
    let lines = page.lines().filter(|line| line.starts_with(r#"{""#));
    let parts = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    parts.filter(|event| event.get("node_name").is_some()).collect()
}

#[test]
fn real_events_as_documents() {
    let events = real_events();
    assert!(events.len() >= 6, "{}", events.len());
    let mut page = String::new();
    for event in &events {
        let mut document = document(event);
        let Value::Object(members) = &mut document else { panic!("{document}") };
        assert_eq!(members.remove("tetragon").as_ref(), Some(event));
        page += &serde_json::to_string_pretty(&document).unwrap();
        page.push('\n');
    }
    insta::assert_snapshot!("documents", page);
}

#[test]
fn pods_and_connections_have_their_fields() {
    let event = json!({
        "process_kprobe": {
            "process": {
                "binary": "/usr/bin/curl", "pid": 4, "docker": "abc",
                "environment_variables": [{"Key": "LANG", "Value": "C"}, {"Key": "EMPTY"}],
                "pod": {
                    "namespace": "shop", "name": "cart-1", "uid": "u1", "workload": "cart",
                    "container": {"id": "containerd://abcdef", "name": "cart", "image": {"id": "i", "name": "cart:1"}}
                }
            },
            "function_name": "tcp_connect",
            "args": [{"sock_arg": {"saddr": "10.0.0.1", "sport": 1234, "daddr": "::1", "dport": 443}}],
            "action": "KPROBE_ACTION_SIGKILL", "policy_name": "p", "message": "out", "tags": ["net"]
        },
        "node_name": "n1", "cluster_name": "c1", "time": "2026-11-24T09:11:32Z"
    });
    let d = document(&event);
    for (path, expected) in [
        (
            "/kubernetes",
            json!({"namespace": "shop", "node": {"name": "n1"}, "pod": {"name": "cart-1", "uid": "u1"}, "container": {"name": "cart"}}),
        ),
        (
            "/orchestrator",
            json!({"type": "kubernetes", "cluster": {"name": "c1"}, "namespace": "shop", "resource": {"type": "pod", "id": "u1", "name": "cart-1"}}),
        ),
        ("/container", json!({"id": "containerd://abcdef", "name": "cart", "image": {"name": "cart:1"}})),
        ("/process/env_vars", json!(["LANG=C", "EMPTY="])),
        ("/source", json!({"ip": "10.0.0.1", "port": 1234})),
        ("/destination", json!({"ip": "::1", "port": 443})),
        ("/event/kind", json!("alert")),
        ("/event/category", json!(["process", "network"])),
        ("/message", json!("out: /usr/bin/curl tcp_connect ::1 443")),
        ("/tags", json!(["net"])),
    ] {
        assert_eq!(d.pointer(path), Some(&expected), "{path} of {d}");
    }
    // What is no address is no field of a type that refuses it.
    let mut odd = event;
    odd["process_kprobe"]["args"][0]["sock_arg"]["daddr"] = json!("");
    assert_eq!(document(&odd).get("destination"), None);
}

#[test]
fn arguments_are_split_where_they_were_joined() {
    let parts = |text: &str| split(text).map(str::to_owned).collect::<Vec<_>>();
    for args in [
        vec!["a"],
        vec!["-c", "two words", "x"],
        vec!["", "x"],
        vec!["q\"q", "b c"],
        vec!["a", "b c"],
        vec!["\"\"", "z"],
    ] {
        let text = crate::facts::arguments(&args);
        assert_eq!(parts(&text), args);
    }
    assert_eq!(parts(""), Vec::<String>::new());
    // A quote that nothing ends is an argument.
    assert_eq!(parts("\"a b"), ["\"a", "b"]);
}

#[test]
fn a_message_is_short_and_a_time_is_always_there() {
    let event = json!({"process_exec": {"process": {"binary": "/b", "arguments": "ä".repeat(1000)}}});
    let d = document(&event);
    assert_eq!(d["message"].as_str().map(|m| m.chars().count()), Some(MESSAGE_MAX));
    assert!(d["@timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(d.get("rule"), None);
}

#[test]
fn a_record_of_losses_says_how_many_of_which_policy_and_why() {
    let d: Value = serde_json::from_slice(&loss(Loss::SpoolFull, "p", 12, "n1", "")).unwrap();
    assert_eq!(d["tetragon"]["rate_limit_info"]["number_of_dropped_process_events"], "12");
    assert_eq!((&d["rule"]["name"], &d["event"]["reason"]), (&json!("p"), &json!("spool_full")));
    assert_eq!(d["message"], "12 events are missing: spool_full");
    // It is an event like others for those who read only that part.
    serde_json::from_value::<GetEventsResponse>(d["tetragon"].clone()).unwrap();
}
