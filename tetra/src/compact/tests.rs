//! Every row of the compact output's table, with and without colours.

use serde_json::{Value, json};

use super::*;

const PLAIN: Compact = Compact { colours: false, timestamps: false, stack_traces: true, ima_hash: true };
const COLOURED: Compact = Compact { colours: true, ..PLAIN };

/// An event of the given kind by a pod's curl.
fn event(kind: &str, mut body: Value) -> GetEventsResponse {
    let process = json!({
        "binary": "/usr/bin/curl", "arguments": "https://ebpf.io/",
        "pod": {"namespace": "default", "name": "xwing"},
    });
    body.as_object_mut().expect("an object").entry("process").or_insert(process);
    let event = json!({kind: body, "node_name": "worker", "time": "2026-11-24T09:11:32.700Z"});
    serde_json::from_value(event).expect("an event")
}

fn plain(kind: &str, body: Value) -> String {
    PLAIN.format(&event(kind, body)).expect("it has a compact form")
}

fn kprobe(function: &str, args: &Value) -> String {
    let line = plain("process_kprobe", json!({"function_name": function, "args": args}));
    line.trim_end_matches('\n').to_owned()
}

#[test]
fn base_events() {
    assert_eq!(plain("process_exec", json!({})), "🚀 process default/xwing /usr/bin/curl https://ebpf.io/\n");
    assert_eq!(
        plain("process_exit", json!({"status": 60})),
        "💥 exit    default/xwing /usr/bin/curl https://ebpf.io/ 60\n"
    );
    assert_eq!(
        plain("process_exit", json!({})),
        "💥 exit    default/xwing /usr/bin/curl https://ebpf.io/ 0\n"
    );
    assert_eq!(
        plain("process_exit", json!({"signal": "SIGKILL", "status": 1})),
        "💥 exit    default/xwing /usr/bin/curl https://ebpf.io/ SIGKILL\n"
    );
}

#[test]
fn a_host_process_shows_its_node() {
    let process = json!({"binary": "/usr/bin/my curl", "arguments": "-v a"});
    assert_eq!(
        plain("process_exec", json!({"process": process})),
        "🚀 process worker \"/usr/bin/my curl\" \"-v a\"\n"
    );
}

#[test]
fn no_arguments_leave_their_blank() {
    let process = json!({"binary": "/bin/ls"});
    assert_eq!(plain("process_exec", json!({"process": process})), "🚀 process worker /bin/ls \n");
}

#[test]
fn other_sensors() {
    for (kind, body, wanted) in [
        (
            "process_loader",
            json!({"path": "/lib/libc.so", "buildid": "q80="}),
            "🧬 loader  default/xwing /usr/bin/curl abcd /lib/libc.so\n",
        ),
        (
            "process_loader",
            json!({"path": "/lib/a b"}),
            "🧬 loader  default/xwing /usr/bin/curl \"/lib/a b\"\n",
        ),
        (
            "process_lsm",
            json!({"function_name": "file_open"}),
            "🔒 LSM     default/xwing /usr/bin/curl file_open\n",
        ),
        (
            "process_uprobe",
            json!({"path": "/bin/bash", "symbol": "readline"}),
            "🕵\u{fe0f} uprobe  default/xwing /usr/bin/curl /bin/bash readline\n",
        ),
        (
            "process_usdt",
            json!({"path": "/bin/app", "provider": "p", "name": "n"}),
            "🕵\u{fe0f} usdt    default/xwing /usr/bin/curl /bin/app p n\n",
        ),
        (
            "process_tracepoint",
            json!({"subsys": "sched", "event": "sched_switch"}),
            "⁉\u{fe0f} tracepoint default/xwing /usr/bin/curl sched sched_switch\n",
        ),
        (
            "process_tracepoint",
            json!({"subsys": "raw_syscalls", "event": "sys_enter", "args": [{"long_arg": "308"}]}),
            "☎  syscall default/xwing /usr/bin/curl setns\n",
        ),
        (
            "process_tracepoint",
            json!({"subsys": "raw_syscalls", "event": "sys_enter", "args": [{"syscall_id": {"id": 59, "abi": "x64"}}]}),
            "☎  syscall default/xwing /usr/bin/curl execve\n",
        ),
        (
            "process_tracepoint",
            json!({"subsys": "raw_syscalls", "event": "sys_enter", "args": [{"long_arg": "-1"}]}),
            "☎  syscall default/xwing /usr/bin/curl unknown\n",
        ),
        ("process_throttle", json!({"type": "THROTTLE_START", "cgroup": "pod1"}), "🧬 throttle START pod1\n"),
        ("process_throttle", json!({"type": "THROTTLE_STOP", "cgroup": "pod1"}), "🧬 throttle STOP  pod1\n"),
        ("test", json!({}), "TEST EVENT\n"),
    ] {
        let event: GetEventsResponse = if kind == "process_throttle" || kind == "test" {
            serde_json::from_value(json!({kind: body})).expect("an event")
        } else {
            event(kind, body)
        };
        assert_eq!(PLAIN.format(&event).expect("it has a compact form"), wanted);
    }
}

#[test]
fn kprobes_with_their_own_form() {
    let file = |path: &str| json!({"file_arg": {"path": path}});
    let sock = json!({"sock_arg": {"saddr": "10.0.0.1", "sport": 4000, "daddr": "10.0.0.2", "dport": 80, "family": "AF_INET"}});
    let map = json!({"bpf_map_arg": {"MapType": "BPF_MAP_TYPE_HASH", "KeySize": 4, "ValueSize": 8, "MaxEntries": 9, "MapName": "m"}});
    let head = " default/xwing /usr/bin/curl";
    for (function, args, name, rest) in [
        ("__x64_sys_lseek", json!([{"int_arg": 1}]), "❓ syscall", " __x64_sys_lseek"),
        (
            "__x64_sys_write",
            json!([file("/tmp/a"), {"bytes_arg": "YQ=="}, {"size_arg": "12"}]),
            "📝 write  ",
            " /tmp/a 12 bytes",
        ),
        (
            "__arm64_sys_read",
            json!([file("/tmp/a b"), {"bytes_arg": "YQ=="}, {"size_arg": "0"}]),
            "📚 read   ",
            " \"/tmp/a b\" 0 bytes",
        ),
        ("sys_read", json!([]), "📚 read   ", "  "),
        ("fd_install", json!([{"int_arg": 3}, file("/etc/passwd")]), "📬 open   ", " /etc/passwd"),
        (
            "__x64_sys_openat",
            json!([{"int_arg": 3}, {"string_arg": "/etc/x"}]),
            "📬\u{fe0f} openat ",
            " /etc/x",
        ),
        (
            "__x64_sys_open",
            json!([{"int_arg": 3}, {"string_arg": "/etc/x"}]),
            "📬\u{fe0f} open   ",
            " /etc/x",
        ),
        ("__x64_sys_close", json!([file("/etc/x")]), "📪 close  ", " /etc/x"),
        ("__x64_sys_mount", json!([{"string_arg": "a"}, {"string_arg": "b"}]), "💾 mount  ", " a b"),
        ("__x64_sys_pivot_root", json!([{"string_arg": "a"}, {"string_arg": "b"}]), "💾 pivot_root", " a b"),
        ("__x64_sys_setuid", json!([{"int_arg": 0}]), "🔑 setuid ", " 0"),
        ("__x64_sys_setuid", json!([]), "🔑 setuid ", " "),
        ("__x64_sys_clock_settime", json!([]), "⏰ clock_settime", ""),
        ("proc_exec_connector", json!([]), "🔧 proc_exec_connector", ""),
        ("__x64_sys_setns", json!([{"int_arg": 3}, {"int_arg": 0}]), "🔧 setns  ", " any"),
        ("__x64_sys_setns", json!([{"int_arg": 3}, {"int_arg": 0x2000000}]), "🔧 setns  ", " cgroup"),
        ("__x64_sys_setns", json!([{"int_arg": 3}, {"int_arg": 0x8000000}]), "🔧 setns  ", " ipc"),
        ("__x64_sys_setns", json!([{"int_arg": 3}, {"int_arg": 0x40000000}]), "🔧 setns  ", " net"),
        ("__x64_sys_setns", json!([{"int_arg": 3}, {"int_arg": 0x20000}]), "🔧 setns  ", " mnt"),
        ("__x64_sys_setns", json!([{"int_arg": 3}, {"int_arg": 0x20000000}]), "🔧 setns  ", " pid"),
        ("__x64_sys_setns", json!([{"int_arg": 3}, {"int_arg": 0x80}]), "🔧 setns  ", " time"),
        ("__x64_sys_setns", json!([{"int_arg": 3}, {"int_arg": 0x10000000}]), "🔧 setns  ", " user"),
        ("__x64_sys_setns", json!([{"int_arg": 3}, {"int_arg": 0x4000000}]), "🔧 setns  ", " uts"),
        ("__x64_sys_setns", json!([{"int_arg": 3}, {"int_arg": 5}]), "🔧 setns  ", " "),
        ("tcp_connect", json!([sock]), "🔌 connect", " tcp 10.0.0.1:4000 -> 10.0.0.2:80"),
        ("tcp_close", json!([sock]), "🧹 close  ", " tcp 10.0.0.1:4000 -> 10.0.0.2:80"),
        (
            "tcp_sendmsg",
            json!([sock, {"int_arg": 7}]),
            "📤 sendmsg",
            " tcp 10.0.0.1:4000 -> 10.0.0.2:80 bytes 7",
        ),
        ("tcp_sendmsg", json!([]), "📤 sendmsg", "  bytes 0"),
        (
            "bpf_check",
            json!([{"bpf_attr_arg": {"ProgType": "BPF_PROG_TYPE_KPROBE", "InsnCnt": 5, "ProgName": "p"}}]),
            "🐝 bpf_load",
            " BPF_PROG_TYPE_KPROBE p instruction count 5",
        ),
        (
            "security_perf_event_alloc",
            json!([{"perf_event_arg": {"Type": "PERF_TYPE_TRACEPOINT", "KprobeFunc": "f"}}]),
            "🐝 perf_event_alloc",
            " PERF_TYPE_TRACEPOINT f",
        ),
        (
            "security_bpf_map_alloc",
            json!([map]),
            "🗺 bpf_map_create",
            " BPF_MAP_TYPE_HASH m key size 4 value size 8 max entries 9",
        ),
        (
            "security_bpf_map_create",
            json!([map]),
            "🗺 bpf_map_create",
            " BPF_MAP_TYPE_HASH m key size 4 value size 8 max entries 9",
        ),
        ("security_file_permission", json!([file("/a"), {"int_arg": 2}]), "📝 write  ", " /a"),
        ("security_file_permission", json!([file("/a"), {"int_arg": 4}]), "📚 read   ", " /a"),
        (
            "security_file_permission",
            json!([file("/a"), {"int_arg": 1}]),
            "❓ security_file_permission",
            " /a",
        ),
        ("security_file_permission", json!([file("/a")]), "❓ security_file_permission", " "),
        ("security_mmap_file", json!([file("/a"), {"uint_arg": 7}]), "📝 mmap-rwx", " /a"),
        ("security_mmap_file", json!([file("/a"), {"uint_arg": 4}]), "📝 mmap-x ", " /a"),
        ("security_mmap_file", json!([]), "❓ security_mmap_file", " "),
        ("security_path_truncate", json!([{"path_arg": {"path": "/a"}}]), "📝 truncate", " /a"),
        ("security_file_truncate", json!([file("/a")]), "📝 truncate", " /a"),
    ] {
        assert_eq!(kprobe(function, &args), format!("{name}{head}{rest}"), "{function}");
    }
}

#[test]
fn colours_stand_around_each_part() {
    let format = |event| COLOURED.format(&event).expect("it has a compact form");
    let none = "\x1b[35m\x1b[0m";
    let exit = format(event("process_exit", json!({"status": 1})));
    let shown = "\x1b[34m💥 exit   \x1b[0m \x1b[32mdefault/xwing\x1b[0m \x1b[35m/usr/bin/curl\x1b[0m \
                 \x1b[36mhttps://ebpf.io/\x1b[0m \x1b[31m1\x1b[0m";
    // Longer than 120 bytes or not: the empty mark is filled up to there.
    let fill = " ".repeat(MARK_COLUMN.saturating_sub(shown.len()).saturating_sub(none.len()));
    assert_eq!(exit, format!("{shown} {fill}{none}\n"));

    let throttle: GetEventsResponse =
        serde_json::from_value(json!({"process_throttle": {"type": "THROTTLE_STOP", "cgroup": "p"}}))
            .expect("an event");
    assert_eq!(format(throttle), "\x1b[31m🧬 throttle\x1b[0m \x1b[32mSTOP \x1b[0m p\n");
    let write = format(event(
        "process_kprobe",
        json!({"function_name": "__x64_sys_write", "args": [
            {"file_arg": {"path": "/tmp/a"}}, {"bytes_arg": ""}, {"size_arg": "2"}]}),
    ));
    assert!(write.contains(" \x1b[36m/tmp/a\x1b[0m \x1b[36m2 bytes\x1b[0m "), "{write:?}");
    let loader = format(event("process_loader", json!({"path": "/lib/x", "buildid": "AQ=="})));
    assert!(loader.contains(" 01 \x1b[33m/lib/x\x1b[0m "), "{loader:?}");
}

#[test]
fn the_capability_mark_stands_at_column_120() {
    let process = json!({"binary": "/bin/a", "cap": {"effective": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}});
    let line = plain("process_exec", json!({"process": process}));
    let shown = "🚀 process worker /bin/a ";
    let mark = "🛑 CAP_SYS_ADMIN";
    let fill = " ".repeat(120 - shown.len() - mark.chars().count());
    assert_eq!(line, format!("{shown} {fill}{mark}\n"));

    let many: Vec<_> = (0..41).filter(|n| *n != 21).collect();
    let process = json!({"binary": "/bin/a", "cap": {"effective": many}});
    assert_eq!(plain("process_exec", json!({"process": process})), "🚀 process worker /bin/a \n");

    let long = "x".repeat(150);
    let process = json!({"binary": long, "cap": {"effective": ["CAP_SYS_ADMIN"]}});
    assert_eq!(
        plain("process_exec", json!({"process": process})),
        format!("🚀 process worker {long}  {mark}\n")
    );
}

#[test]
fn timestamps_have_nine_digits() {
    let timed = Compact { timestamps: true, ..PLAIN };
    let mut event = event("process_exec", json!({}));
    let line = timed.format(&event).expect("it has a compact form");
    assert!(line.starts_with("2026-11-24T09:11:32.700000000Z 🚀 process "), "{line}");
    event.time = None;
    let line = timed.format(&event).expect("it has a compact form");
    assert!(line.starts_with("1970-01-01T00:00:00.000000000Z 🚀 process "), "{line}");
}

#[test]
fn stacks_follow_a_kprobe_line() {
    let body = json!({
        "function_name": "f",
        "kernel_stack_trace": [{"address": "255", "symbol": "a", "offset": "16"}, {"symbol": "b c"}],
        "user_stack_trace": [{"address": "1", "offset": "2", "module": "/bin/x"},
                             {"address": "1", "offset": "2", "module": "/bin/x", "symbol": "main"}],
    });
    let lines = "Kernel:\n   0xff: a+0x10\n   0x0: \"b c\"+0x0\n\
                 User:\n   0x1: (/bin/x+0x2)\n   0x1: main (/bin/x+0x2)\n";
    let text = plain("process_kprobe", body.clone());
    assert_eq!(text, format!("❓ syscall default/xwing /usr/bin/curl f\n{lines}"));
    let off = Compact { stack_traces: false, ..PLAIN };
    let text = off.format(&event("process_kprobe", body)).expect("it has a compact form");
    assert_eq!(text, "❓ syscall default/xwing /usr/bin/curl f\n");
}

#[test]
fn a_stack_frame_has_its_colours() {
    let body = json!({"function_name": "f", "kernel_stack_trace": [{"symbol": "a", "offset": "16"}]});
    let text = COLOURED.format(&event("process_kprobe", body)).expect("it has a compact form");
    let frame = "Kernel:\n\x1b[32m   0x0:\x1b[0m\x1b[34m a\x1b[0m+\x1b[33m0x10\n\x1b[0m";
    assert!(text.ends_with(frame), "{text:?}");
}

#[test]
fn the_hash_follows_an_lsm_line() {
    for (hook, arg, wanted) in [
        ("bprm_check_security", json!({"linux_binprm_arg": {"path": "/bin/a"}}), "   /bin/a sha256:00\n"),
        ("file_open", json!({"file_arg": {"path": "/a b"}}), "   \"/a b\" sha256:00\n"),
        ("socket_bind", json!({"file_arg": {"path": "/a"}}), ""),
    ] {
        let body = json!({"function_name": hook, "args": [arg], "ima_hash": "sha256:00"});
        let line = format!("🔒 LSM     default/xwing /usr/bin/curl {hook}\n");
        assert_eq!(plain("process_lsm", body.clone()), format!("{line}{wanted}"));
        let off = Compact { ima_hash: false, ..PLAIN };
        assert_eq!(off.format(&event("process_lsm", body)).expect("it has a compact form"), line);
    }
}

#[test]
fn what_has_no_compact_form_is_an_error() {
    let limit: GetEventsResponse =
        serde_json::from_value(json!({"rate_limit_info": {"number_of_dropped_process_events": "3"}}))
            .expect("an event");
    let error = PLAIN.format(&limit).expect_err("no form");
    assert_eq!(error, FormatError::RateLimit(3));
    assert!(error.to_string().starts_with("unknown event type"), "{error}");
    let bare: GetEventsResponse = serde_json::from_value(json!({"process_exec": {}})).expect("an event");
    assert_eq!(PLAIN.format(&bare), Err(FormatError::NoProcess(EventType::ProcessExec)));
    assert_eq!(PLAIN.format(&GetEventsResponse::default()), Err(FormatError::UnknownType(EventType::Undef)));
}
