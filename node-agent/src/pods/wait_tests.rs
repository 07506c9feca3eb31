//! Tests of the events that wait, from records to what is handed on.

use std::path::Path;

use serde_json::{Value, json};
use tetragon_abi::engine::PROC_CLONE;
use tetragon_abi::record;
use tetragon_engine::{CgroupRecord, ExecRecord, Record};

use super::*;
use crate::assemble::{AncestorKinds, Assembler};
use crate::clock::Clock;
use crate::counters::get;
use crate::pods::object::tests::{id, pod, web};
use crate::pods::object::{Container, Pod};
use crate::process::{Cache, Options};
use crate::procfs::ProcFs;

const NAME: &str = "web-5d4f8b7c9-x7k2p";

struct Bed {
    store: Arc<Store>,
    counts: Arc<Counts>,
    assembler: Assembler,
    waiting: Waiting,
    now: Instant,
    /// A folder like /proc.
    procfs: tempfile::TempDir,
}

fn bed(retries: u32) -> Bed {
    let procfs = tempfile::tempdir().unwrap();
    let options = Options { capacity: 100, node: "n".into(), ..Default::default() };
    let cache = Cache::new(options.clone(), Clock::fixed(0));
    let counts = Arc::new(Counts::default());
    let store = Arc::new(Store::new(10, counts.clone()));
    let kinds = AncestorKinds { base: true, ..AncestorKinds::default() };
    let assembler = Assembler::new(cache, options, String::new(), kinds, ProcFs::new(procfs.path()));
    let assembler = assembler.with_pods(store.clone());
    let waiting = Waiting::new(store.clone(), retries, Duration::from_secs(2), counts.clone());
    Bed { store, counts, assembler, waiting, now: Instant::now(), procfs }
}

impl Bed {
    /// A process executes a program in a cgroup; what is handed on at once.
    fn exec(&mut self, pid: u32, parent: u32, cgroup: &str) -> Vec<Value> {
        let time = u64::from(pid);
        let header = record::Header { tgid: pid, tid: pid, ktime: time, process: time, ..Default::default() };
        let fixed = record::Exec {
            header,
            parent,
            flags: PROC_CLONE,
            nspid: 7,
            cgroup: 50 + time,
            ..Default::default()
        };
        let exec = ExecRecord {
            fixed,
            filename: "/bin/sh".into(),
            args: vec!["sh".into()],
            cwd: "/".into(),
            exe: "/bin/sh".into(),
            cgroup: cgroup.into(),
            environment: Vec::new(),
        };
        self.record(&Record::Exec(Box::new(exec)))
    }

    fn exit(&mut self, pid: u32) -> Vec<Value> {
        let time = u64::from(pid);
        let header = record::Header { tgid: pid, tid: pid, ktime: 900, process: time, ..Default::default() };
        self.record(&Record::Exit(record::Exit { header, code: 0, pad: 0 }))
    }

    fn record(&mut self, record: &Record) -> Vec<Value> {
        let mut list = Vec::new();
        let Bed { assembler, waiting, now, .. } = self;
        let mut out = |event, _: Option<&Match>| list.push(serde_json::to_value(&event).unwrap());
        assembler.record(record, &mut |assembled, m| waiting.pass(assembled, m, *now, &mut out));
        list
    }

    /// What is handed on after so many seconds.
    fn after(&mut self, seconds: u64) -> Vec<Value> {
        let mut list = Vec::new();
        let now = self.now + Duration::from_secs(seconds);
        self.waiting.release(now, &mut |event, _| list.push(serde_json::to_value(&event).unwrap()));
        list
    }

    fn file(&self, pid: u32, text: &str) {
        let dir = self.procfs.path().join(pid.to_string());
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(Path::new(&dir).join("cgroup"), text).unwrap();
    }
}

/// Kinds, process ids, and names of pods and containers.
fn brief(list: &[Value]) -> Vec<String> {
    let of = |event: &Value| {
        let (kind, body) =
            event.as_object().unwrap().iter().find(|(k, _)| k.starts_with("process_")).unwrap();
        let process = &body["process"];
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let (name, container) = (&process["pod"]["name"], &process["pod"]["container"]["name"]);
        format!("{kind} {} {} {}", process["pid"], text(name), text(container))
    };
    list.iter().map(of).collect()
}

fn scope(n: u8) -> String {
    format!("cri-containerd-{}.scope", id(n))
}

fn path(n: u8) -> String {
    format!("0::/kubepods.slice/kubepods-pod8d2e5a4f_9c1b_4f6e_a1d3_0c9b7e6f5a42.slice/{}\n", scope(n))
}

#[test]
fn a_pod_that_is_known_is_in_the_first_event() {
    let mut bed = bed(15);
    bed.store.apply(pod(web()), bed.now);
    let events = bed.exec(20, 0, &scope(2));
    assert_eq!(brief(&events), [format!("process_exec 20 {NAME} nginx")]);
    let process = &events[0]["process_exec"]["process"];
    assert_eq!(process["docker"], id(2)[..31]);
    assert_eq!(
        (&process["pod"]["container"]["pid"], &process["pod"]["workload"]),
        (&json!(7), &json!("web"))
    );
    // Parents and ancestors have theirs.
    bed.exec(21, 20, &scope(2));
    let events = bed.exec(22, 21, &scope(2));
    let exec = &events[0]["process_exec"];
    for other in [&exec["parent"], &exec["ancestors"][0]] {
        assert_eq!(other["pod"]["name"], NAME);
    }
    assert_eq!(get(&bed.counts.inserts), 0);
}

#[test]
fn events_of_a_new_container_wait_in_their_order() {
    let mut bed = bed(15);
    bed.file(20, &path(2));
    assert!(bed.exec(20, 0, &scope(2)).is_empty());
    assert!(bed.exit(20).is_empty());
    // Others do not wait for it.
    assert_eq!(brief(&bed.exec(30, 0, "session-1.scope")), ["process_exec 30 - -"]);
    assert!(bed.after(1).is_empty());
    assert_eq!(get(&bed.counts.waiting), 2);
    let now = bed.now;
    bed.store.apply(pod(web()), now);
    // Behind those that wait, though its own pod is known by now.
    assert!(bed.exec(21, 0, &scope(2)).is_empty());
    let expected =
        ["process_exec 20", "process_exit 20", "process_exec 21"].map(|e| format!("{e} {NAME} nginx"));
    assert_eq!(brief(&bed.after(1)), expected);
    assert_eq!(brief(&bed.exit(21)), [format!("process_exit 21 {NAME} nginx")]);
    assert_eq!((get(&bed.counts.inserts), get(&bed.counts.waiting)), (3, 0));
    assert!(bed.counts.failures().is_empty());
}

#[test]
fn waiting_ends_and_is_counted() {
    let mut bed = bed(15);
    bed.exec(20, 0, &scope(2));
    assert!(bed.after(2).is_empty() && bed.after(3).is_empty() && bed.after(29).is_empty());
    assert_eq!(get(&bed.counts.retries), 2);
    assert_eq!(brief(&bed.after(30)), ["process_exec 20 - -"]);
    assert_eq!(bed.counts.failures().into_iter().collect::<Vec<_>>(), [("PROCESS_EXEC", 1)]);
    assert!(bed.after(60).is_empty());
}

/// The sandbox is in no status: after a while its events say at least which pod it is of.
#[test]
fn a_sandbox_has_a_pod_without_container() {
    let mut bed = bed(15);
    let now = bed.now;
    bed.store.apply(pod(web()), now);
    bed.file(20, &path(7));
    assert!(bed.exec(20, 0, &scope(7)).is_empty());
    assert_eq!(brief(&bed.after(30)), [format!("process_exec 20 {NAME} -")]);
}

#[test]
fn containers_without_kubernetes_do_not_wait() {
    let mut bed = bed(15);
    bed.file(20, &format!("0::/system.slice/docker-{}.scope\n", id(8)));
    let events = bed.exec(20, 0, &format!("docker-{}.scope", id(8)));
    assert_eq!(brief(&events), ["process_exec 20 - -"]);
    assert_eq!(events[0]["process_exec"]["process"]["docker"], id(8)[..31]);
}

#[test]
fn nothing_waits_without_a_cluster_or_without_retries() {
    let mut no_retries = bed(0);
    assert_eq!(brief(&no_retries.exec(20, 0, &scope(2))), ["process_exec 20 - -"]);
    let mut alone = bed(15);
    alone.waiting = Waiting::none();
    assert_eq!(brief(&alone.exec(20, 0, &scope(2))), ["process_exec 20 - -"]);
}

#[test]
fn a_full_queue_sends_the_oldest_and_loses_none() {
    let mut bed = bed(15);
    let mut sent = 0;
    let first = 100;
    for n in 0..WAITING_MAX as u32 + 3 {
        let events = bed.exec(first + n, 0, &scope(2));
        sent += events.len();
        assert!(events.iter().all(|e| e["process_exec"]["process"]["pid"] == first + n - WAITING_MAX as u32));
    }
    assert_eq!((sent, get(&bed.counts.waiting)), (3, WAITING_MAX as u64));
    let mut rest = 0;
    bed.waiting.finish(&mut |_, _| rest += 1);
    assert_eq!((rest, get(&bed.counts.waiting)), (WAITING_MAX, 0));
    assert_eq!(bed.counts.failures()["PROCESS_EXEC"], WAITING_MAX as u64 + 3);
}

/// A pod that is deleted by force leaves the API before its processes have ended.
#[test]
fn a_process_keeps_the_pod_that_it_was_found_in() {
    let mut bed = bed(15);
    let now = bed.now;
    bed.store.apply(pod(web()), now);
    bed.exec(20, 0, &scope(2));
    bed.store.delete("8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42", now);
    bed.store.sweep(now + crate::pods::store::RETAIN);
    assert_eq!(bed.store.size(), (0, 0));
    assert_eq!(brief(&bed.exit(20)), [format!("process_exit 20 {NAME} nginx")]);
}

#[test]
fn the_id_of_a_removed_cgroup_is_used_again() {
    let mut bed = bed(15);
    bed.store.apply(pod(web()), bed.now);
    bed.file(20, &path(2));
    assert_eq!(brief(&bed.exec(20, 0, &scope(2))), [format!("process_exec 20 {NAME} nginx")]);
    bed.record(&Record::Cgroup(CgroupRecord { id: 70, path: "/kubepods.slice/x".into(), gone: true }));
    std::fs::remove_dir_all(bed.procfs.path().join("20")).unwrap();
    bed.file(20, "0::/x.scope\n");
    assert_eq!(brief(&bed.exec(20, 0, "x.scope")), ["process_exec 20 - -"]);
}

/// The pod as its container runtime tells it.
fn by_runtime(whole: bool) -> Pod {
    let container =
        Container { url: id(2), name: "nginx".into(), running: true, whole, ..Container::default() };
    let uid: Arc<str> = "8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42".into();
    let name = NAME.to_owned();
    Pod { cgroup_uid: uid.clone(), uid, name, containers: vec![Arc::new(container)], ..Pod::default() }
}

#[test]
fn the_container_runtime_is_asked_after_a_moment_and_again() {
    let mut bed = bed(15);
    let (send, asked) = std::sync::mpsc::channel();
    let waiting = std::mem::replace(&mut bed.waiting, Waiting::none());
    bed.waiting = waiting.with_runtime(move |id| send.send(id.to_owned()).unwrap());
    bed.file(20, &path(2));
    bed.exec(20, 0, &scope(2));
    bed.exit(20);
    assert!(bed.after(0).is_empty() && asked.try_recv().is_err());
    // Its events wait: it is asked for again, after longer and longer pauses.
    for (second, times) in [(1, 1), (1, 0), (2, 1), (3, 0), (4, 1), (7, 0), (8, 1), (15, 0), (16, 1), (24, 1)]
    {
        assert!(bed.after(second).is_empty());
        assert_eq!(asked.try_iter().collect::<Vec<_>>(), vec![id(2); times], "second {second}");
    }
    bed.store.learn(by_runtime(true));
    let expected = ["process_exec 20", "process_exit 20"].map(|e| format!("{e} {NAME} nginx"));
    assert_eq!(brief(&bed.after(25)), expected);
    assert_eq!(get(&bed.counts.waiting), 0);
    assert!(bed.waiting.asked.is_empty() && asked.try_recv().is_err());
}

/// NRI tells less than events show: they go on waiting, and show at least that in the end.
#[test]
fn the_runtimes_word_is_better_than_none() {
    let mut bed = bed(15);
    bed.file(20, &path(2));
    bed.exec(20, 0, &scope(2));
    bed.store.learn(by_runtime(false));
    assert!(bed.after(1).is_empty());
    assert_eq!(brief(&bed.after(30)), [format!("process_exec 20 {NAME} nginx")]);
    // The kubelet's word, for those that wait then.
    bed.exec(21, 0, &scope(2));
    let now = bed.now;
    bed.store.apply(pod(web()), now);
    let events = bed.after(1);
    assert_eq!(events[0]["process_exec"]["process"]["pod"]["workload"], "web");
}
