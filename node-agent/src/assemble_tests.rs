//! Tests of the events that records become, by their JSON.

use std::path::Path;

use serde_json::{Value, json};
use tetragon_abi::engine::PROC_CLONE;
use tetragon_api::plan::{Actions, Arg, Plan, Selector};
use tetragon_engine::{CgroupRecord, PolicyInput, Reading};

use super::*;
use crate::clock::Clock;

fn assembler(ancestors: AncestorKinds) -> Assembler {
    let options = Options { capacity: 100, node: "node".into(), ..Default::default() };
    let cache = Cache::new(options.clone(), Clock::fixed(1_700_000_000_000_000_000));
    // A folder without processes: nothing can be looked up.
    let procfs = ProcFs::new(Path::new("/nonexistent"));
    let mut a = Assembler::new(cache, options, "cluster".into(), ancestors, procfs);
    let info = ProcInfo {
        tgid: 1,
        ktime: 10,
        binary: "/sbin/init".into(),
        exe: "/sbin/init".into(),
        cwd: "/".into(),
        ..Default::default()
    };
    // A thread of the kernel has executed nothing.
    let kernel = ProcInfo { tgid: 2, ktime: 10, binary: "[kthreadd]".into(), ..Default::default() };
    let mut seeded = Vec::new();
    a.seed(&[info, kernel], &mut |e| seeded.push(to_json(&e.event)));
    assert_eq!(seeded.len(), 1);
    assert_eq!(seeded[0]["process_exec"]["process"]["flags"], "procFS rootcwd");
    a
}

fn to_json(event: &GetEventsResponse) -> Value {
    serde_json::to_value(event).unwrap()
}

fn header(tgid: u32, process: u64, ktime: u64) -> record::Header {
    record::Header { tgid, tid: tgid + 1, ktime, process, ..Default::default() }
}

fn run(a: &mut Assembler, record: &Record) -> Vec<Value> {
    let mut list = Vec::new();
    a.record(record, &mut |e, _| list.push(to_json(&e.event)));
    list
}

fn start(a: &mut Assembler) {
    let fork =
        record::Fork { header: header(20, 100, 100), parent: 1, parent_ktime: 10, ..Default::default() };
    assert!(run(a, &Record::Fork(fork)).is_empty());
    let fixed = record::Exec {
        header: header(20, 110, 110),
        old_ktime: 100,
        flags: PROC_CLONE,
        ..Default::default()
    };
    let exec = ExecRecord {
        fixed,
        filename: "/bin/cat".into(),
        args: vec!["cat".into(), "/etc/shadow".into()],
        cwd: "/".into(),
        exe: "/bin/cat".into(),
        cgroup: String::new(),
        environment: Vec::new(),
    };
    let events = run(a, &Record::Exec(Box::new(exec)));
    assert_eq!(events.len(), 1);
    let e = &events[0];
    assert_eq!(e["process_exec"]["process"]["binary"], "/bin/cat");
    assert_eq!(e["process_exec"]["process"]["arguments"], "/etc/shadow");
    assert_eq!(e["process_exec"]["process"]["uid"], 0);
    assert_eq!(e["process_exec"]["parent"]["binary"], "/sbin/init");
    assert_eq!(e["time"], "2023-11-14T22:13:20.000000110Z");
    assert_eq!((&e["node_name"], &e["cluster_name"]), (&json!("node"), &json!("cluster")));
}

fn exit(a: &mut Assembler, code: u32) -> Value {
    let exit = record::Exit { header: header(20, 110, 120), code, pad: 0 };
    run(a, &Record::Exit(exit)).pop().unwrap()
}

fn hook(target: Target, args: &[(ArgType, Option<&str>)], shown: ShownAction) -> Hook {
    Hook {
        message: Some("seen".into()),
        tags: vec!["t1".into(), "t2".into()],
        args: args
            .iter()
            .map(|(ty, label)| Arg { index: 0, ty: *ty, label: label.map(str::to_owned) })
            .collect(),
        selectors: vec![Selector { actions: Actions { shown, ..Default::default() }, ..Default::default() }],
        ..Hook::new("spec.kprobes[0]", target)
    }
}

fn call(hooks: Vec<Hook>, values: Vec<ArgValue>) -> Record {
    let readings = hooks[0].args.iter().enumerate().map(|(index, a)| Reading { index, ty: a.ty }).collect();
    let plan = Plan::new("p", hooks);
    let policy = Arc::new(PolicyInput { id: 1, policy: 1, plan: Arc::new(plan), enforce: true });
    let m = Match { policy, hook: 0, selector: 0, args: readings };
    Record::Call(Box::new(CallRecord {
        header: header(20, 110, 115),
        cgroup: 0,
        matches: vec![m],
        args: values,
    }))
}

fn text(text: &str, mode: u32) -> ArgValue {
    ArgValue::Text { text: text.into(), mode }
}

/// `runc exec` enters the container's cgroup, and is denied there what it was asked to execute.
#[test]
fn what_a_process_does_in_another_container_is_of_that_container() {
    let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let mut a = assembler(AncestorKinds::default());
    start(&mut a);
    let path = format!("/kubepods/pod8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42/{id}");
    run(&mut a, &Record::Cgroup(CgroupRecord { id: 70, path, gone: false }));
    let mut docker = |cgroup: u64| {
        let hooks = vec![hook(Target::Lsm("file_open".into()), &[], ShownAction::Post)];
        let Record::Call(call) = call(hooks, Vec::new()) else { panic!("a call") };
        let events = run(&mut a, &Record::Call(Box::new(CallRecord { cgroup, ..*call })));
        events[0]["process_lsm"]["process"]["docker"].clone()
    };
    assert_eq!(docker(0), Value::Null);
    assert_eq!(docker(70), &id[..31]);
    assert_eq!(exit(&mut a, 0)["process_exit"]["process"]["docker"], &id[..31], "and goes on to be");
}

#[test]
fn kprobe_events_have_tetragons_shape() {
    let mut a = assembler(AncestorKinds::default());
    start(&mut a);
    let hook = hook(
        Target::Function("security_file_open".into()),
        &[(ArgType::File, Some("what")), (ArgType::Nop, None)],
        ShownAction::Sigkill,
    );
    let events = run(&mut a, &call(vec![hook], vec![text("/etc/shadow", 0o100_640), ArgValue::Int(0)]));
    assert_eq!(events.len(), 1);
    let k = &events[0]["process_kprobe"];
    assert_eq!(k["function_name"], "security_file_open");
    assert_eq!(
        k["args"],
        json!([{"label": "what", "file_arg": {"path": "/etc/shadow", "permission": "-rw-r-----"}}])
    );
    assert_eq!(
        (&k["action"], &k["return_action"]),
        (&json!("KPROBE_ACTION_SIGKILL"), &json!("KPROBE_ACTION_POST"))
    );
    assert_eq!(
        (&k["policy_name"], &k["message"], &k["tags"]),
        (&json!("p"), &json!("seen"), &json!(["t1", "t2"]))
    );
    assert_eq!((&k["process"]["refcnt"], &k["process"]["tid"]), (&json!(1), &json!(21)));
    assert_eq!(k["parent"].get("refcnt"), None);
    assert_eq!(k["parent"]["binary"], "/sbin/init");
}

#[test]
fn arguments_by_type() {
    let cases = [
        (ArgType::Int32, ArgValue::Int(-1), json!({"int_arg": -1})),
        (ArgType::Int32, ArgValue::Int(0), json!({"int_arg": 0})),
        (ArgType::Uint32, ArgValue::Int(4444), json!({"uint_arg": 4444})),
        (ArgType::Uint16, ArgValue::Int(65535), json!({"uint_arg": 65535})),
        (ArgType::Int64, ArgValue::Int(-5), json!({"long_arg": "-5"})),
        (ArgType::Uint64, ArgValue::Int(-1), json!({"size_arg": "18446744073709551615"})),
        (ArgType::Size, ArgValue::Int(8), json!({"size_arg": "8"})),
        (ArgType::String, text("x", 0), json!({"string_arg": "x"})),
        (
            ArgType::Path,
            text("/p", 0o040_755),
            json!({"path_arg": {"path": "/p", "permission": "drwxr-xr-x"}}),
        ),
        (ArgType::Dentry, text("/d", 0), json!({"path_arg": {"path": "/d"}})),
        (
            ArgType::LinuxBinprm,
            text("/b", 0o100_755),
            json!({"linux_binprm_arg": {"path": "/b", "permission": "-rwxr-xr-x"}}),
        ),
        (
            ArgType::Capability,
            ArgValue::Int(21),
            json!({"capability_arg": {"value": 21, "name": "CAP_SYS_ADMIN"}}),
        ),
        (ArgType::File, ArgValue::None, json!({"file_arg": {}})),
        (ArgType::Int32, ArgValue::None, json!({"error_arg": {"Message": "the argument could not be read"}})),
    ];
    for (ty, value, expected) in cases {
        let message = KprobeArgument { arg: Some(argument(ty, &value)), label: String::new() };
        assert_eq!(serde_json::to_value(&message).unwrap(), expected, "{ty:?} {value:?}");
    }
}

#[test]
fn syscalls_lsm_hooks_and_tracepoints() {
    let mut a = assembler(AncestorKinds::default());
    start(&mut a);
    let targets = [
        (Target::Syscall("lseek".into()), "process_kprobe", json!({"function_name": "__x64_sys_lseek"})),
        (Target::Lsm("file_open".into()), "process_lsm", json!({"function_name": "file_open"})),
        (
            Target::Tracepoint("syscalls".into(), "sys_enter_lseek".into()),
            "process_tracepoint",
            json!({"subsys": "syscalls", "event": "sys_enter_lseek"}),
        ),
        (
            Target::RawTracepoint("sched".into(), "sched_process_exec".into()),
            "process_tracepoint",
            json!({"subsys": "sched", "event": "sched_process_exec"}),
        ),
    ];
    for (target, kind, fields) in targets {
        let events = run(&mut a, &call(vec![hook(target, &[], ShownAction::Post)], vec![]));
        let event = &events[0][kind];
        for (name, value) in fields.as_object().unwrap() {
            assert_eq!(&event[name], value);
        }
        assert_eq!(event["action"], "KPROBE_ACTION_POST");
        assert_eq!(event.get("return_action").is_some(), kind == "process_kprobe");
    }
}

#[test]
fn exits_by_status_and_by_signal() {
    let mut a = assembler(AncestorKinds::default());
    start(&mut a);
    let e = exit(&mut a, 7 << 8);
    assert_eq!((&e["process_exit"]["status"], e["process_exit"].get("signal")), (&json!(7), None));
    assert_eq!(e["process_exit"]["time"], e["time"]);
    let e = exit(&mut a, 9);
    assert_eq!((e["process_exit"].get("status"), &e["process_exit"]["signal"]), (None, &json!("SIGKILL")));
    // With a core dump.
    assert_eq!(exit(&mut a, 11 | 0x80)["process_exit"]["signal"], "SIGSEGV");
    assert_eq!(a.missing(), 0);
}

#[test]
fn ancestors_only_where_asked_for() {
    let kinds = AncestorKinds { kprobe: true, ..Default::default() };
    let mut a = assembler(kinds);
    start(&mut a);
    let fixed = record::Exec { header: header(20, 130, 130), old_ktime: 110, ..Default::default() };
    let exec = ExecRecord { fixed, filename: "/bin/true".into(), cwd: "/".into(), ..Default::default() };
    let e = run(&mut a, &Record::Exec(Box::new(exec)));
    assert_eq!(e[0]["process_exec"].get("ancestors"), None);
    let mut record = call(vec![hook(Target::Syscall("dup".into()), &[], ShownAction::Post)], vec![]);
    if let Record::Call(call) = &mut record {
        call.header.process = 130;
    }
    let e = run(&mut a, &record);
    assert_eq!(e[0]["process_kprobe"]["parent"]["binary"], "/bin/cat");
    assert_eq!(e[0]["process_kprobe"]["ancestors"][0]["binary"], "/sbin/init");
}

#[test]
fn unknown_processes_are_counted() {
    let mut a = assembler(AncestorKinds::default());
    let e = run(&mut a, &call(vec![hook(Target::Syscall("dup".into()), &[], ShownAction::Post)], vec![]));
    let process = &e[0]["process_kprobe"]["process"];
    assert_eq!(
        (&process["pid"], &process["tid"], &process["flags"]),
        (&json!(20), &json!(21), &json!("miss"))
    );
    assert_eq!(a.missing(), 1);
}

#[test]
fn every_match_is_an_event() {
    let mut a = assembler(AncestorKinds::default());
    start(&mut a);
    let mut record = call(vec![hook(Target::Syscall("dup".into()), &[], ShownAction::Post)], vec![]);
    if let Record::Call(call) = &mut record {
        let again = call.matches[0].clone();
        call.matches.push(again);
    }
    assert_eq!(run(&mut a, &record).len(), 2);
}

#[test]
fn what_is_missing_stands_in_the_stream() {
    let a = assembler(AncestorKinds::default());
    let e = to_json(&a.losses(42, 5));
    assert_eq!(e["rate_limit_info"], json!({"number_of_dropped_process_events": "42"}));
}
