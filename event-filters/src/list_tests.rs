//! Tests of filters: one event, and what takes it.

use serde_json::{Value, json};

use super::*;
use crate::{parse_field_filters, parse_filters};

fn event(value: Value) -> GetEventsResponse {
    serde_json::from_value(value).unwrap()
}

fn kprobe() -> GetEventsResponse {
    event(json!({
        "process_kprobe": {
            "process": {
                "exec_id": "a", "pid": 20, "binary": "/usr/bin/curl", "arguments": "-s https://ebpf.io",
                "docker": "0123456789abcdef0123456789abcde", "in_init_tree": true, "cwd": "/tmp",
                "cap": {"permitted": ["CAP_SYS_ADMIN", "CAP_KILL"], "effective": ["CAP_KILL"]}
            },
            "parent": {"pid": 19, "binary": "/bin/sh", "arguments": "-c x"},
            "ancestors": [{"binary": "/sbin/init"}],
            "args": [{"file_arg": {"path": "/etc/shadow", "permission": "-rw-------"}}],
            "function_name": "security_file_open", "policy_name": "p1"
        },
        "node_name": "n", "time": "2026-11-24T09:11:32.739876270Z"
    }))
}

fn exec(pid: u32, parent: u32) -> GetEventsResponse {
    event(json!({"process_exec": {"process": {"pid": pid}, "parent": {"pid": parent}}}))
}

/// An allow and a deny list.
fn lists(allow: &str, deny: &str) -> Filters {
    let list = |text| FilterList::new(&parse_filters(text).unwrap()).unwrap();
    Filters::new(list(allow), list(deny))
}

fn takes(filter: &str, event: &GetEventsResponse) -> bool {
    lists(filter, "").pass(event)
}

#[test]
fn each_member_takes_and_leaves() {
    let e = kprobe();
    for (filter, taken) in [
        (r#"{"binary_regex":["^/usr/bin/cu"]}"#, true),
        (r#"{"binary_regex":["^/bin"]}"#, false),
        (r#"{"binary_regex":["^/bin","curl$"]}"#, true),
        (r#"{"parent_binary_regex":["sh$"]}"#, true),
        (r#"{"parent_binary_regex":["curl"]}"#, false),
        (r#"{"ancestor_binary_regex":["init"]}"#, true),
        (r#"{"ancestor_binary_regex":["sh$"]}"#, false),
        (r#"{"arguments_regex":["ebpf"]}"#, true),
        (r#"{"parent_arguments_regex":["ebpf"]}"#, false),
        (r#"{"namespace":[""]}"#, true),
        (r#"{"namespace":["default"]}"#, false),
        (r#"{"namespace_regex":["^kube"]}"#, false),
        (r#"{"pod_regex":["."]}"#, false),
        (r#"{"container_name_regex":["."]}"#, false),
        (r#"{"container_id":["^01234"]}"#, true),
        (r#"{"labels":["app=x"]}"#, false),
        (r#"{"health_check":true}"#, false),
        (r#"{"health_check":false}"#, true),
        (r#"{"in_init_tree":true}"#, true),
        (r#"{"in_init_tree":false}"#, false),
        (r#"{"pid":[19,20]}"#, true),
        (r#"{"pid":[19]}"#, false),
        (r#"{"pid_set":[19]}"#, true),
        (r#"{"pid_set":[1]}"#, false),
        (r#"{"event_set":["PROCESS_KPROBE"]}"#, true),
        (r#"{"event_set":["PROCESS_EXEC","PROCESS_EXIT"]}"#, false),
        (r#"{"policy_names":["p0","p1"]}"#, true),
        (r#"{"policy_names":["p"]}"#, false),
        (r#"{"capabilities":{"effective":{"any":["CAP_KILL","CAP_CHOWN"]}}}"#, true),
        (r#"{"capabilities":{"effective":{"all":["CAP_KILL","CAP_CHOWN"]}}}"#, false),
        (r#"{"capabilities":{"effective":{"exactly":["CAP_KILL"]}}}"#, true),
        (r#"{"capabilities":{"permitted":{"exactly":["CAP_KILL"]}}}"#, false),
        (r#"{"capabilities":{"permitted":{"none":["CAP_CHOWN"]}}}"#, true),
        (r#"{"capabilities":{"permitted":{"none":["CAP_KILL"]}}}"#, false),
        // Members are ANDed, objects ORed.
        (r#"{"pid":[20],"binary_regex":["nothing"]}"#, false),
        ("{\"pid\":[1]}\n{\"binary_regex\":[\"curl\"]}", true),
    ] {
        assert_eq!(takes(filter, &e), taken, "{filter}");
    }
}

fn of_pod() -> GetEventsResponse {
    event(json!({"process_exec": {
        "process": {"pid": 7, "binary": "/bin/cat", "docker": "0202020202020202020202020202020", "pod": {
            "namespace": "production", "name": "web-5d4f8b7c9-x7k2p", "workload": "web", "workload_kind": "Deployment",
            "pod_labels": {"app": "web", "tier": "front"},
            "container": {"id": "containerd://0202", "name": "nginx"}
        }},
        "parent": {"pid": 6, "binary": "/bin/sh", "pod": {
            "namespace": "production", "name": "web-5d4f8b7c9-x7k2p",
            "container": {"name": "nginx", "maybe_exec_probe": true}
        }}
    }}))
}

#[test]
fn members_about_pods() {
    let e = of_pod();
    for (filter, taken) in [
        (r#"{"namespace":["production"]}"#, true),
        (r#"{"namespace":["prod",""]}"#, false),
        (r#"{"namespace_regex":["^prod"]}"#, true),
        (r#"{"pod_regex":["^web-"]}"#, true),
        (r#"{"pod_regex":["^db-","x7k2p$"]}"#, true),
        (r#"{"pod_regex":["^db-"]}"#, false),
        (r#"{"container_name_regex":["^nginx$"]}"#, true),
        (r#"{"container_id":["^0202"]}"#, true),
        (r#"{"labels":["app=web"]}"#, true),
        (r#"{"labels":["app=shop","tier in (front)"]}"#, true),
        (r#"{"labels":["app=web,tier=back"]}"#, false),
        (r#"{"labels":[""]}"#, true),
        // Its parent may be a probe.
        (r#"{"health_check":true}"#, true),
        (r#"{"health_check":false}"#, false),
        (r#"{"namespace":["production"],"pod_regex":["^db-"]}"#, false),
    ] {
        assert_eq!(takes(filter, &e), taken, "{filter}");
    }
    assert!(!takes(r#"{"labels":[""]}"#, &kprobe()), "no process of the host has labels");
}

/// Tetragon's own deny list: no events of the host, of the system's namespaces, of health checks.
#[test]
fn the_default_deny_list() {
    let list = "{\"health_check\":true}\n{\"namespace\":[\"\", \"cilium\", \"kube-system\"]}";
    let mut filters = lists("", list);
    assert!(!filters.pass(&kprobe()) && !filters.pass(&of_pod()));
    let mut no_probe = of_pod();
    for actor in no_probe.actors_mut().into_iter().skip(1) {
        actor.pod = None;
    }
    assert!(filters.pass(&no_probe));
    for actor in no_probe.actors_mut().into_iter().take(1) {
        actor.pod.as_mut().unwrap().namespace = "kube-system".into();
    }
    assert!(!filters.pass(&no_probe));
}

#[test]
fn deny_wins() {
    let allow = r#"{"binary_regex":["curl"]}"#;
    let deny = r#"{"event_set":["PROCESS_KPROBE"]}"#;
    assert!(lists(allow, "").pass(&kprobe()));
    assert!(!lists(allow, deny).pass(&kprobe()));
    assert!(!lists("", deny).pass(&kprobe()));
    assert!(Filters::default().pass(&kprobe()));
}

#[test]
fn a_pid_set_follows_descendants() {
    let mut f = lists(r#"{"pid_set":[100]}"#, "");
    assert!(!f.pass(&exec(201, 200)));
    assert!(f.pass(&exec(200, 100)));
    assert!(f.pass(&exec(201, 200)));
    assert!(f.pass(&exec(202, 201)));
    assert!(!f.pass(&exec(300, 1)));
    // Also while another filter takes the event.
    let mut f = lists(r#"{"pid":[200]} {"pid_set":[100]}"#, "");
    assert!(f.pass(&exec(200, 100)));
    assert!(f.pass(&exec(201, 200)));
}

#[test]
fn events_without_process_match_no_process_member() {
    let e = event(json!({"rate_limit_info": {"number_of_dropped_process_events": "3"}}));
    for filter in
        [r#"{"binary_regex":["."]}"#, r#"{"namespace":[""]}"#, r#"{"pid":[0]}"#, r#"{"pid_set":[0]}"#]
    {
        assert!(!takes(filter, &e), "{filter}");
    }
    assert!(takes(r#"{"event_set":["RATE_LIMIT_INFO"]}"#, &e));
    // It is no health check.
    assert!(takes(r#"{"health_check":false}"#, &e) && !takes(r#"{"health_check":true}"#, &e));
}

#[test]
fn filters_are_read_as_protobuf_reads_json() {
    let plain = |text: &str| parse_filters(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    for (written, same) in [
        (r#"{"eventSet":["PROCESS_EXEC"]}"#, r#"{"event_set":["PROCESS_EXEC"]}"#),
        (r#"{"podRegex":["^web-"]}"#, r#"{"pod_regex":["^web-"]}"#),
        (r#"{"ancestorBinaryRegex":["x"]}"#, r#"{"ancestor_binary_regex":["x"]}"#),
        (
            r#"{"celExpression":["true"],"inInitTree":true}"#,
            r#"{"cel_expression":["true"],"in_init_tree":true}"#,
        ),
        (r#"{"pid":["12",13.0,1.4e1,"15.0"]}"#, r#"{"pid":[12,13,14,15]}"#),
        (r#"{"pidSet":["12"]}"#, r#"{"pid_set":[12]}"#),
        (r#"{"event_set":[1.0,9]}"#, r#"{"event_set":[1,9]}"#),
        (r#"{"pid":[1],"labels":null,"health_check":null}"#, r#"{"pid":[1]}"#),
        // Texts stay texts.
        (r#"{"namespace":["12.0"]}"#, r#"{"namespace":["12.0"],"pid":[]}"#),
    ] {
        assert_eq!(plain(written), plain(same), "{written}");
    }
    let fields = |text: &str| parse_field_filters(text).unwrap();
    assert_eq!(
        fields(r#"{"fields":"process.pid","eventSet":["PROCESS_EXEC"],"invertEventSet":true,"action":1.0}"#),
        fields(r#"{"fields":"process.pid","event_set":["PROCESS_EXEC"],"invert_event_set":true,"action":1}"#),
    );
}

#[test]
fn what_events_do_not_say_is_not_asked_for() {
    let base = vec![EventType::ProcessExec, EventType::ProcessExit];
    let some = Shown { capabilities: false, ancestors: base };
    let error = |text: &str, shown: &Shown| {
        FilterList::of(&parse_filters(text).unwrap(), shown).err().map(|e| e.to_string()).unwrap_or_default()
    };
    for (filter, part) in [
        (
            r#"{"pid":[1]} {"capabilities":{"effective":{"any":["CAP_KILL"]}}}"#,
            "filter 1: capabilities: events have none",
        ),
        (r#"{"ancestor_binary_regex":["x"]}"#, "events of PROCESS_KPROBE have no ancestors"),
        (
            r#"{"ancestor_binary_regex":["x"],"event_set":["PROCESS_EXEC","PROCESS_LSM"]}"#,
            "events of PROCESS_LSM have no ancestors",
        ),
        (r#"{"ancestor_binary_regex":["x"],"event_set":["PROCESS_EXEC","PROCESS_EXIT"]}"#, ""),
        (r#"{"binary_regex":["x"],"event_set":["PROCESS_LSM"]}"#, ""),
    ] {
        let e = error(filter, &some);
        assert!(e.contains(part) && e.is_empty() == part.is_empty(), "{filter}: {e}");
        assert_eq!(error(filter, &Shown::default()), "", "{filter}");
    }
}

#[test]
fn wrong_filters_say_why() {
    let error = |text: &str| match parse_filters(text) {
        Err(e) => e.to_string(),
        Ok(list) => FilterList::new(&list).unwrap_err().to_string(),
    };
    for (text, part) in [
        ("{\"pid\":[1]} {\"colour\":1}", "filter 1: there is no member `colour`"),
        ("{\"pid\":[1]} x", "filter 1: expected value"),
        ("[1]", "filter 0:"),
        (r#"{"podRegexes":["x"]}"#, "no member `podRegexes`; there are ancestor_binary_regex, "),
        (r#"{"Pid":[1]}"#, "no member `Pid`"),
        (r#"{"pod_regex":["x"],"podRegex":["y"]}"#, "`pod_regex` is given twice, also as `podRegex`"),
        (r#"{"pid":[12.5]}"#, "12.5"),
        (r#"{"pid":["twelve"]}"#, "twelve"),
        (r#"{"pid":[-1]}"#, "-1"),
        (
            r#"{"capabilities":{"efective":{"any":["CAP_KILL"]}}}"#,
            "no member `efective`; there are effective, ",
        ),
        (r#"{"capabilities":{"effective":{"some":["CAP_KILL"]}}}"#, "no member `some`; there are all, any, "),
        (r#"{"pid":[1]} {"binary_regex":["x","("]}"#, "filter 1: binary_regex[1]: regex parse error"),
        (r#"{"binary_regex":["\\pL{9}{99}{99}"]}"#, "filter 0: binary_regex[0]: Compiled regex exceeds"),
        (r#"{"event_set":["PROCESS_NAP"]}"#, "PROCESS_NAP"),
        (r#"{"labels":["app is web"]}"#, "labels: \"app is web\" is no label selector"),
        (r#"{"cel_expression":["true","process_exec.pid"]}"#, "filter 0: cel_expression[0]: "),
        (
            r#"{"capabilities":{"effective":{"any":["CAP_KILL"],"none":["CAP_CHOWN"]}}}"#,
            "capabilities.effective: one of any, all, exactly and none is to be given, not 2",
        ),
        (
            r#"{"capabilities":{"permitted":{}}}"#,
            "capabilities.permitted: one of any, all, exactly and none is to be given, not 0",
        ),
    ] {
        let e = error(text);
        assert!(e.contains(part), "{text}: {e}");
    }
    assert!(parse_filters("").unwrap().is_empty() && parse_filters(" \n ").unwrap().is_empty());
}
