//! Tests of expressions: one event, and what is true of it; what is no expression, and why.

use serde_json::{Value as Json, json};

use super::*;
use crate::{FilterList, Filters, parse_filters};

fn event(value: Json) -> GetEventsResponse {
    serde_json::from_value(value).unwrap()
}

fn kprobe() -> GetEventsResponse {
    event(json!({"process_kprobe": {
        "process": {
            "pid": 20, "uid": 0, "binary": "/usr/bin/curl", "arguments": "-s https://ebpf.io",
            "start_time": "2026-11-24T09:11:32.5Z", "in_init_tree": true,
            "cap": {"effective": ["CAP_KILL", "CAP_SYS_ADMIN"]},
            "pod": {"namespace": "web", "pod_labels": {"app": "shop", "tier": "front"}}
        },
        "parent": {"pid": 19, "binary": "/bin/sh"},
        "ancestors": [{"binary": "/sbin/init", "pid": 1}, {"binary": "/usr/bin/dockerd", "pid": 7}],
        "function_name": "tcp_connect", "policy_name": "p", "action": "KPROBE_ACTION_SIGKILL",
        "args": [
            {"sock_arg": {"saddr": "10.0.2.21", "daddr": "2001:db8::abcd", "dport": 443, "cookie": "9"}},
            {"int_arg": 0}, {"size_arg": "18446744073709551615"}, {"bytes_arg": "AQI="}
        ],
        "tags": ["a", "b"]
    }}))
}

fn exec(pid: u32) -> GetEventsResponse {
    event(json!({"process_exec": {"process": {"pid": pid, "binary": "/bin/x"}}}))
}

fn holds(text: &str, event: &GetEventsResponse) -> Result<bool, String> {
    let (kind, message) = fields::body(event).unwrap();
    let expression = Expression::new(text).unwrap_or_else(|e| panic!("{e}"));
    if expression.is_about(kind) { expression.evaluate(kind, message) } else { Ok(false) }
}

#[test]
fn what_is_true_of_an_event() {
    let event = kprobe();
    for text in [
        "process_kprobe.function_name == 'tcp_connect'",
        "process_kprobe.process.pid > uint(1) && process_kprobe.process.pid == 20u",
        // Numbers are compared by what they are worth, also where Tetragon wants uint().
        "process_kprobe.process.pid == 20 && process_kprobe.process.pid > -1",
        "process_kprobe.process.binary.startsWith('/usr/') && !process_kprobe.process.binary.endsWith('sh')",
        "process_kprobe.process.binary.matches('^/usr/s?bin/cu') && matches('abc', 'b')",
        "process_kprobe.process.arguments.contains('ebpf.io')",
        "process_kprobe.process.binary in ['/bin/a', '/usr/bin/curl']",
        "process_kprobe.ancestors.exists(a, a.binary == '/usr/bin/dockerd')",
        "process_kprobe.ancestors.all(a, a.pid < 10u) && size(process_kprobe.ancestors) == 2",
        "process_kprobe.ancestors.exists_one(a, a.binary.contains('init'))",
        "process_kprobe.ancestors.map(a, a.binary) == ['/sbin/init', '/usr/bin/dockerd']",
        "process_kprobe.ancestors.filter(a, a.pid > 1u)[0].binary == '/usr/bin/dockerd'",
        "process_kprobe.process.pod.pod_labels['app'] == 'shop' && process_kprobe.process.pod.pod_labels.tier == 'front'",
        "'app' in process_kprobe.process.pod.pod_labels && !('x' in process_kprobe.process.pod.pod_labels)",
        "process_kprobe.process.pod.pod_labels.all(k, k in ['app', 'tier'])",
        // What is not there has its empty value; a wrapped number is null.
        "process_kprobe.process.cwd == '' && process_kprobe.process.pod.name == ''",
        "process_kprobe.process.auid == null && process_kprobe.process.uid == 0u",
        "!has(process_kprobe.process.cwd) && has(process_kprobe.process.uid) && !has(process_kprobe.process.auid)",
        "has(process_kprobe.process.pod) && !has(process_kprobe.parent.pod) && process_kprobe.parent.pod.namespace == ''",
        "has(process_kprobe.process.pod.pod_labels.app) && !has(process_kprobe.process.pod.pod_labels.x)",
        // A member of a oneof is there also when it is 0.
        "has(process_kprobe.args[1].int_arg) && !has(process_kprobe.args[1].string_arg)",
        "process_kprobe.args[2].size_arg == 18446744073709551615u",
        "process_kprobe.args[3].bytes_arg == b'\\x01\\x02'",
        "process_kprobe.args[0].sock_arg.dport in [80, 443]",
        "process_kprobe.args.exists(a, a.sock_arg.dport == 443u)",
        // Enums by number and by name.
        "process_kprobe.action == KprobeAction.KPROBE_ACTION_SIGKILL",
        "process_kprobe.action == tetragon.KprobeAction.KPROBE_ACTION_SIGKILL && process_kprobe.action != 1",
        "CapabilitiesType.CAP_SYS_ADMIN in process_kprobe.process.cap.effective",
        "process_kprobe.process.start_time > timestamp('2026-11-24T09:11:32Z')",
        "process_kprobe.process.start_time - timestamp('2026-11-24T09:11:30Z') == duration('2.5s')",
        "process_kprobe.process.start_time.getFullYear() == 2026",
        "process_kprobe.process.in_init_tree ? true : false",
        "string(process_kprobe.process.pid) + '!' == '20!'",
        "type(process_kprobe.process.binary) == string",
        // Kubernetes' functions about addresses.
        "cidr('10.0.0.0/16').containsIP(process_kprobe.args[0].sock_arg.saddr)",
        "ip(process_kprobe.args[0].sock_arg.saddr).family() == 4",
        "cidr('2001:db8::/32').containsIP(ip(process_kprobe.args[0].sock_arg.daddr))",
        "process_kprobe.policy_name == 'p' && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
        "process_kprobe.policy_name == 'p' && cidr('10.9.8.7/8').masked() == cidr('10.0.0.0/8')",
        "process_kprobe.policy_name == 'p' && cidr('10.9.8.7/8').ip() == ip('10.9.8.7')",
        "process_kprobe.policy_name == 'p' && cidr('10.0.0.0/8').prefixLength() == 8",
        "process_kprobe.policy_name == 'p' && string(cidr('10.0.0.0/8')) == '10.0.0.0/8' && string(ip('::1')) == '::1'",
        "isIP(process_kprobe.args[0].sock_arg.saddr) && !isIP('10.0.0.256') && !isIP('fe80::1%eth0')",
        "process_kprobe.policy_name == 'p' && isCIDR('::/0') && !isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0')",
        "ip.isCanonical(process_kprobe.args[0].sock_arg.daddr) && !ip.isCanonical('2001:DB8::1')",
        "process_kprobe.policy_name == 'p' && ip('127.0.0.1').isLoopback() && ip('8.8.8.8').isGlobalUnicast()",
        "process_kprobe.policy_name == 'p' && type(ip('::1')) == net.IP",
        // The other kinds of events are empty.
        "process_exec.process.binary == '/bin/x' || process_kprobe.process.binary == '/usr/bin/curl'",
        "!has(process_exec.process) && has(process_kprobe.process)",
    ] {
        assert_eq!(holds(text, &event), Ok(true), "{text}");
        // And not of what it is not about.
        assert_eq!(holds(&format!("!({text})"), &event), Ok(false), "{text}");
    }
}

#[test]
fn several_kinds_of_events() {
    let text = "(has(process_exec.process) && process_exec.process.pid > uint(1)) || \
                (has(process_exit.process) && process_exit.process.pid > uint(1))";
    let exit = |pid: u32| event(json!({"process_exit": {"process": {"pid": pid}}}));
    for (event, wanted) in
        [(exec(1), false), (exec(2), true), (exit(1), false), (exit(2), true), (kprobe(), false)]
    {
        assert_eq!(holds(text, &event), Ok(wanted), "{event:?}");
    }
    // An event that an expression is not about does not match, whatever it says.
    assert_eq!(holds("process_exec.process.pid == 0u || true", &kprobe()), Ok(false));
    assert_eq!(holds("process_exec.process.pid == 0u || true", &exec(9)), Ok(true));
}

#[test]
fn wrong_expressions_say_where_and_why() {
    for (text, place, part) in [
        (
            "process_exec.process.bad == 'curl'",
            "column 21",
            "there is no field `bad` in Process; there are exec_id, pid, uid",
        ),
        (
            "process_exec.binary == 'x'",
            "column 13",
            "no field `binary` in ProcessExec, but in its process: process.binary",
        ),
        (
            "procces_exec.process.pid == 1u",
            "column 1",
            "there is no variable `procces_exec`; there are process_exec, process_exit",
        ),
        ("process_exec.process.pid", "column 21", "the result is uint or null, but a filter needs bool"),
        ("true", "column 1", "it names no kind of event"),
        ("process_exec.process.pid ==", "column 28", "Syntax error"),
        (
            "process_exec.process.binary == 'a' &&\n  process_exec.process.pid > 'x'",
            "line 2, column 28",
            "`>` does not take (uint or null, string)",
        ),
        (
            "process_exec.process.pid + 1 == 21",
            "column 26",
            "`+` does not take (uint or null, int); write unsigned numbers as 1u",
        ),
        ("process_exec.process.binary == 1", "column 29", "`==` does not take (string, int)"),
        ("process_exec.process == process_exec.parent", "column 22", "compare the fields of a message"),
        (
            "process_exec.process.binary.startWith('x')",
            "column 38",
            "there is no function `startWith`; there are bool, ",
        ),
        (
            "process_exec.process.binary.startsWith(1)",
            "column 39",
            "`startsWith` does not take (string, int)",
        ),
        ("startsWith(process_exec.process.binary, 'x')", "column 11", "called on a value"),
        ("process_exec.process.binary.matches('(')", "column 37", "regex parse error"),
        ("cidr('10.0.0.0/40').containsIP(process_exec.process.cwd)", "column 5", "up to 32"),
        ("ip('::ffff:1.2.3.4') == ip(process_exec.process.cwd)", "column 3", "IPv4 in IPv6"),
        ("has(process_exec.process.binary.x)", "column 4", "not of string"),
        ("process_exec.process.pid.x == 1", "column 25", "it has no fields"),
        ("process_exec.ancestors.all(a, a.pidd == 1u)", "column 32", "there is no field `pidd`"),
        ("process_exec.process.all(a, true)", "column 13", "go over a list or a map, not Process"),
        ("process_exec.ancestors.map(a, a.binary)", "", "the result is list(string)"),
        ("tetragon.Process{pid: 1} == process_exec.process", "", "messages cannot be made"),
        ("process_exec.process.?binary == 'x'", "", "unsupported"),
        (
            "process_exec.ancestors.all(a, process_exec.ancestors.all(b, process_exec.ancestors.all(c, process_exec.ancestors.all(d, true))))",
            "",
            "more than 3 deep",
        ),
        ("", "line 1, column 1", "Syntax error"),
    ] {
        let error = Expression::new(text).map(|_| panic!("{text} is accepted")).unwrap_err().to_string();
        assert!(error.contains(place) && error.contains(part), "{text}\n{error}");
    }
}

/// Expressions come from clients: none may end the agent, or take long.
#[test]
fn hostile_expressions_are_refused() {
    let nested = format!("{}process_exec.process.pid == 1u{}", "(".repeat(4000), ")".repeat(4000));
    let many = vec!["process_exec.process.pid == 1u"; 200].join(" || ");
    let long = format!("process_exec.process.binary == '{}'", "x".repeat(LENGTH_MAX));
    let minus = format!("{}1 == process_exec.process.refcnt", "- ".repeat(4001));
    let dots = format!("process_exec{} == 1", ".process".repeat(900));
    for text in [&nested, &long, &dots] {
        assert!(Expression::new(text).is_err(), "{text}");
    }
    let sums = format!("{}1 == process_exec.process.refcnt", "1+".repeat(2000));
    let grows = format!(
        "[\"aaaaaaaa\"]{}.exists(x, x == process_exec.process.binary)",
        ".map(x, x+x+x+x+x+x+x+x)".repeat(10)
    );
    let list = format!("[{}]", vec!["1"; 100].join(","));
    let cube =
        format!("{list}.exists(a, {list}.exists(b, {list}.exists(c, process_exec.process.binary == 'q')))");
    let row = vec![format!("{list}.exists(a, process_exec.process.pid == 1u)"); 20].join(" && ");
    let mixed = "[1, 'a'].map(x, x + x).exists(x, x == process_exec.process.binary)".to_owned();
    for (text, why) in [
        (&sums, "operators deep"),
        (&grows, "would grow"),
        (&cube, "steps for one event"),
        (&mixed, "would grow"),
    ] {
        let error = Expression::new(text).map(|_| panic!("{text} is accepted")).unwrap_err().to_string();
        assert!(error.contains(why), "{text}\n{error}");
    }
    assert!(Expression::new(&row).is_ok(), "100 steps are not many");
    // The parser takes signs together: what matters is that it comes to an end.
    let _ = Expression::new(&minus);
    // A long one that is right is judged, not refused, or refused with a reason.
    assert_eq!(Expression::new(&many).map(|_| ()).err().map(|e| e.to_string()), None);
    assert!(Expression::new(&long).unwrap_err().to_string().len() < 500);
}

fn filters(allow: &str) -> Filters {
    Filters::new(FilterList::new(&parse_filters(allow).unwrap()).unwrap(), FilterList::default())
}

#[test]
fn expressions_of_a_filter_are_ored_and_its_members_anded() {
    let both = r#"{"cel_expression":["process_exec.process.pid == 1u","process_kprobe.policy_name == 'p'"]}"#;
    assert!(filters(both).pass(&exec(1)) && filters(both).pass(&kprobe()) && !filters(both).pass(&exec(2)));
    let anded = r#"{"cel_expression":["process_exec.process.pid == 1u"],"binary_regex":["^/sbin/"]}"#;
    assert!(!filters(anded).pass(&exec(1)));
    let none = event(json!({}));
    assert!(!filters(both).pass(&none));
}

#[test]
fn what_cannot_be_computed_does_not_match_and_is_said_once() {
    let list =
        r#"{"cel_expression":["process_kprobe.args[9].int_arg == 1","process_kprobe.policy_name == 'p'"]}"#;
    let mut f = filters(list);
    // The other expressions are asked all the same.
    assert!(f.pass(&kprobe()));
    let complaint = f.complaint().unwrap();
    assert!(complaint.contains("args[9]") && complaint.contains("ndex out of bounds"), "{complaint}");
    assert!(f.pass(&kprobe()) && f.complaint().is_none());
    assert!(
        holds("process_kprobe.process.pod.pod_labels['x'] == 'y'", &kprobe())
            .unwrap_err()
            .contains("No such key")
    );
    assert!(holds("process_kprobe.process.auid > 1u", &kprobe()).is_err());
}

#[test]
fn all_functions_are_declared_once() {
    let mut env = Env::stdlib();
    functions::declare(&mut env).unwrap();
}

/// What an event costs: `cargo test -p tetragon-filters -- --nocapture what_an_event_costs`.
#[test]
fn what_an_event_costs() {
    const ROUNDS: u32 = 500;
    let event = kprobe();
    let mut report = Vec::new();
    for (name, text) in [
        ("no expression", r#"{"event_set":["PROCESS_KPROBE"]}"#),
        ("binary_regex", r#"{"binary_regex":["^/usr/bin/curl$"]}"#),
        ("of another kind", r#"{"cel_expression":["process_exec.process.binary == '/usr/bin/curl'"]}"#),
        ("one comparison", r#"{"cel_expression":["process_kprobe.process.binary == '/usr/bin/curl'"]}"#),
        (
            "a regular expression",
            r#"{"cel_expression":["process_kprobe.process.binary.matches('^/usr/bin/c')"]}"#,
        ),
        (
            "an address",
            r#"{"cel_expression":["cidr('10.0.0.0/8').containsIP(process_kprobe.args[0].sock_arg.saddr)"]}"#,
        ),
        (
            "two ancestors",
            r#"{"cel_expression":["process_kprobe.ancestors.exists(a, a.binary == '/usr/bin/dockerd')"]}"#,
        ),
    ] {
        let mut f = filters(text);
        let mut passed = 0;
        let mut batch = || {
            let start = std::time::Instant::now();
            passed += (0..ROUNDS).filter(|_| f.pass(std::hint::black_box(&event))).count();
            start.elapsed().as_nanos() / u128::from(ROUNDS)
        };
        // The best of many: others use the machine, too.
        let best = (0..60).map(|_| batch()).min().unwrap();
        report.push(format!("{name}: {best} ns"));
        assert!(passed == 0 || passed == 60 * ROUNDS as usize, "{name}");
    }
    println!("{}", report.join("\n"));
}
