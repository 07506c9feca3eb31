//! Tests of the process cache, from scripted records.

use tetragon_abi::engine::{PROC_CLONE, PROC_INIT_TREE};
use tetragon_abi::record;

use super::*;

fn cache(capacity: usize) -> Cache {
    let options = Options { capacity, node: "node".into(), ..Default::default() };
    Cache::new(options, Clock::fixed(1_000_000_000_000))
}

fn header(tgid: u32, ktime: u64) -> record::Header {
    record::Header { tgid, tid: tgid, ktime, process: ktime, ..Default::default() }
}

fn fork(cache: &mut Cache, parent: Key, child: Key) {
    let (parent, parent_ktime) = parent;
    cache.fork(&record::Fork {
        header: header(child.0, child.1),
        parent,
        parent_ktime,
        ..Default::default()
    });
}

fn exec_record(old: u64, key: Key, file: &str, flags: u32) -> ExecRecord {
    let fixed = record::Exec { header: header(key.0, key.1), old_ktime: old, flags, ..Default::default() };
    ExecRecord {
        fixed,
        filename: file.into(),
        args: vec![file.into(), "arg".into()],
        cwd: "/".into(),
        exe: file.into(),
        cgroup: String::new(),
        environment: Vec::new(),
    }
}

fn seed(cache: &mut Cache, pid: u32, ktime: u64) {
    let info = ProcInfo {
        tgid: pid,
        ktime,
        binary: "/sbin/init".into(),
        args: vec!["init".into()],
        cwd: "/".into(),
        ..Default::default()
    };
    cache.seed(&[info]);
}

fn id(key: Key) -> String {
    exec_id("node", key)
}

#[test]
fn exec_ids_are_tetragons() {
    assert_eq!(exec_id("guest", (244, 20_537_305_448)), "Z3Vlc3Q6MjA1MzczMDU0NDg6MjQ0");
    assert_eq!(exec_id("guest", (0, 1)), "Z3Vlc3Q6MTow");
}

#[test]
fn fork_then_exec_has_the_forker_as_parent() {
    let mut c = cache(100);
    seed(&mut c, 1, 10);
    fork(&mut c, (1, 10), (20, 100));
    let proc = c.exec(&exec_record(100, (20, 110), "/bin/cat", PROC_CLONE), Place::clone);
    let m = &proc.message;
    assert_eq!((m.binary.as_str(), m.arguments.as_str()), ("/bin/cat", "arg"));
    assert_eq!(m.flags, "execve rootcwd clone");
    assert_eq!((m.exec_id.clone(), m.parent_exec_id.clone()), (id((20, 110)), id((1, 10))));
    assert_eq!(m.start_time.unwrap().seconds, 1000);
    let parent = c.ancestors(&proc, 1).pop().unwrap();
    assert_eq!(
        (parent.message.binary.as_str(), parent.message.flags.as_str()),
        ("/sbin/init", "procFS rootcwd")
    );
}

#[test]
fn exec_without_fork_has_the_program_before_as_parent() {
    let mut c = cache(100);
    seed(&mut c, 1, 10);
    fork(&mut c, (1, 10), (20, 100));
    c.exec(&exec_record(100, (20, 110), "/bin/trig", PROC_CLONE), Place::clone);
    let proc = c.exec(&exec_record(110, (20, 120), "/bin/true", 0), Place::clone);
    assert_eq!(proc.message.flags, "execve rootcwd");
    assert_eq!(proc.message.parent_exec_id, id((20, 110)));
    let names: Vec<_> = c.ancestors(&proc, 9).iter().map(|p| p.message.binary.clone()).collect();
    assert_eq!(names, ["/bin/trig", "/sbin/init"]);
}

#[test]
fn a_fork_that_execs_nothing_is_its_parents_program() {
    let mut c = cache(100);
    seed(&mut c, 1, 10);
    fork(&mut c, (1, 10), (20, 100));
    let proc = c.exit(&header(20, 100)).unwrap();
    let m = &proc.message;
    assert_eq!((m.binary.as_str(), m.flags.as_str(), m.refcnt), ("/sbin/init", "execve", 1));
    assert_eq!((m.pid, m.exec_id.clone(), m.parent_exec_id.clone()), (Some(20), id((20, 100)), id((1, 10))));
}

#[test]
fn a_fork_that_was_shown_before_its_exec_is_still_a_clone() {
    let mut c = cache(100);
    seed(&mut c, 1, 10);
    fork(&mut c, (1, 10), (20, 100));
    assert!(c.find(20, 100).is_some());
    let proc = c.exec(&exec_record(100, (20, 110), "/bin/cat", PROC_CLONE), Place::clone);
    assert_eq!(proc.message.parent_exec_id, id((1, 10)));
}

#[test]
fn parents_survive_their_exit_while_children_live() {
    let mut c = cache(100_000);
    seed(&mut c, 1, 10);
    fork(&mut c, (1, 10), (20, 100));
    c.exec(&exec_record(100, (20, 110), "/bin/sh", PROC_CLONE), Place::clone);
    fork(&mut c, (20, 110), (21, 200));
    c.exit(&header(20, 110));
    // Far more processes than the queue of ended ones holds.
    for n in 0..2000u32 {
        fork(&mut c, (1, 10), (1000 + n, 1000 + u64::from(n)));
        c.exit(&header(1000 + n, 1000 + u64::from(n)));
    }
    let child = c.exec(&exec_record(200, (21, 210), "/bin/cat", PROC_CLONE), Place::clone);
    let names: Vec<_> = c.ancestors(&child, 9).iter().map(|p| p.message.binary.clone()).collect();
    assert_eq!(names, ["/bin/sh", "/sbin/init"]);
    // With the child, what was kept for it goes.
    c.exit(&header(21, 210));
    for n in 0..1000u32 {
        fork(&mut c, (1, 10), (5000 + n, 5000 + u64::from(n)));
        c.exit(&header(5000 + n, 5000 + u64::from(n)));
    }
    assert!(c.get((20, 110)).is_none() && c.get((21, 210)).is_none());
    assert!(c.stats().size <= GRAVES + 1, "{:?}", c.stats());
    assert_eq!(c.stats().evictions, 0);
}

#[test]
fn the_cache_is_bounded_and_counts_evictions() {
    let mut c = cache(1000);
    seed(&mut c, 1, 10);
    // A program that executes itself for ever: each is the parent of the next.
    fork(&mut c, (1, 10), (20, 100));
    for n in 0..5000u64 {
        c.exec(
            &exec_record(100 + n, (20, 101 + n), "/bin/loop", if n == 0 { PROC_CLONE } else { 0 }),
            Place::clone,
        );
    }
    let stats = c.stats();
    assert!(stats.size <= 1000 && stats.evictions >= 3900, "{stats:?}");
    assert!(c.find(20, 5100).is_some() && c.find(1, 10).is_some());
    // Many that live.
    for n in 0..3000u32 {
        fork(&mut c, (1, 10), (10_000 + n, 10_000 + u64::from(n)));
    }
    assert!(c.stats().size <= 1000);
    assert!(c.find(1, 10).is_some());
}

#[test]
fn memory_is_accounted_to_the_byte() {
    let mut c = cache(500);
    seed(&mut c, 1, 10);
    for n in 0..2000u32 {
        let (pid, time) = (100 + n % 300, 1000 + u64::from(n) * 10);
        fork(&mut c, (1, 10), (pid, time));
        if n % 3 == 0 {
            c.find(pid, time);
        }
        if n % 2 == 0 {
            c.exec(&exec_record(time, (pid, time + 1), "/bin/cat", PROC_CLONE), Place::clone);
        }
        if n % 5 != 0 {
            c.exit(&header(pid, time + u64::from(n % 2 == 0)));
        }
    }
    let sum: usize = c
        .entries
        .values()
        .map(|e| match &e.body {
            Body::Known(p) => p.size(),
            Body::Fork { .. } => 0,
        })
        .sum();
    assert_eq!(c.bytes, sum);
    let children: u32 = c.entries.values().map(|e| e.children).sum();
    let parents = c.entries.values().filter(|e| e.parent.is_some_and(|p| c.entries.contains_key(&p))).count();
    assert_eq!(children as usize, parents);
}

#[test]
fn kernel_times_of_older_processes_are_matched_by_id() {
    let mut c = cache(100);
    seed(&mut c, 7, 5_000);
    assert_eq!(c.find(7, 0).unwrap().key, (7, 5_000));
    assert_eq!(c.find(7, 5_123).unwrap().key, (7, 5_000));
    // But not a process that the kernel told about under another time.
    fork(&mut c, (7, 0), (8, 100));
    assert!(c.find(8, 101).is_none());
    assert_eq!(c.find(8, 0).unwrap().key, (8, 100));
    assert!(c.find(9, 0).is_none());
    assert_eq!(c.stats().misses, 2);
}

#[test]
fn an_exec_whose_fork_was_lost_finds_its_parent() {
    let mut c = cache(100);
    seed(&mut c, 1, 10);
    let mut record = exec_record(100, (20, 110), "/bin/cat", PROC_CLONE);
    record.fixed.parent = 1;
    assert_eq!(c.exec(&record, Place::clone).message.parent_exec_id, id((1, 10)));
    // A parent that nobody knows is not made up.
    let mut record = exec_record(100, (30, 110), "/bin/cat", PROC_CLONE);
    record.fixed.parent = 29;
    assert_eq!(c.exec(&record, Place::clone).message.parent_exec_id, "");
}

#[test]
fn the_first_process_is_the_kernels() {
    let mut c = cache(100);
    seed(&mut c, 1, 10);
    assert_eq!(c.find(1, 10).unwrap().message.parent_exec_id, id((0, 1)));
}

#[test]
fn nested_pid_namespaces_are_flagged() {
    let mut c = cache(100);
    seed(&mut c, 1, 10);
    let fork = record::Fork {
        header: header(20, 100),
        parent: 1,
        parent_ktime: 10,
        flags: PROC_CLONE | PROC_INIT_TREE,
        ..Default::default()
    };
    c.fork(&fork);
    assert_eq!(c.find(20, 100).unwrap().message.flags, "execve inInitTree");
    let proc = c.exec(&exec_record(100, (20, 110), "/bin/true", PROC_CLONE | PROC_INIT_TREE), Place::clone);
    assert_eq!(proc.message.flags, "execve rootcwd clone inInitTree");
    assert_eq!(proc.message.in_init_tree, Some(true));
}

#[test]
fn flags_and_credentials_when_asked_for() {
    let options = Options {
        capacity: 10,
        node: "n".into(),
        cred: true,
        ns: true,
        host_ns: [5; NAMESPACES],
        ..Default::default()
    };
    let mut c = Cache::new(options, Clock::fixed(0));
    let mut record = exec_record(0, (20, 110), "run", 0);
    record.cwd = "/tmp".into();
    record.fixed.exec_flags = record::EXEC_ARGS_CUT | record::EXEC_NO_CWD;
    record.fixed.cred.caps = [0, 0b11, 0b1];
    record.fixed.cred.auid = 1000;
    record.fixed.cred.ns = [5, 6, 0, 0, 0, 0, 0, 0, 0, 0];
    let m = c.exec(&record, Place::clone).message.clone();
    assert_eq!(m.binary, "/tmp/run");
    assert_eq!(m.flags, "execve truncArgs nocwd");
    let cap = m.cap.unwrap();
    assert_eq!((cap.permitted, cap.effective, cap.inheritable), (vec![0, 1], vec![0], vec![]));
    let ns = m.ns.unwrap();
    assert!(ns.uts.unwrap().is_host && !ns.ipc.unwrap().is_host && ns.mnt.is_none());
    assert_eq!(m.auid, Some(1000));
    assert!(m.process_credentials.unwrap().securebits.is_empty());
}

#[test]
fn variables_are_chosen_by_name_then_hidden() {
    let redaction = Redaction::parse(r#"{"redact":["^TOKEN=(.*)"]}"#).unwrap();
    let options = Options {
        capacity: 10,
        redaction,
        environment_names: vec!["TOKEN".into(), "EMPTY".into(), "not a variable".into()],
        ..Default::default()
    };
    let mut c = Cache::new(options, Clock::fixed(0));
    let mut record = exec_record(0, (20, 110), "/bin/true", 0);
    record.environment =
        ["PATH=/bin", "TOKEN=s3cret=", "EMPTY=", "", "not a variable"].map(str::to_owned).to_vec();
    record.fixed.exec_flags = record::EXEC_ENVS_CUT;
    let m = c.exec(&record, Place::clone).message.clone();
    let shown: Vec<_> = m.environment_variables.iter().map(|v| (v.key.as_str(), v.value.as_str())).collect();
    assert_eq!(shown, [("TOKEN", "*****"), ("EMPTY", ""), ("invalid", "not a variable")]);
    assert_eq!(m.flags, "execve truncEnvs rootcwd");
}

#[test]
fn arguments_are_hidden_of_the_process_its_forks_and_those_from_proc() {
    let filters = r#"{"binary_regex":["/mysql$","/init$"],"redact":["--password[ =](\\S+)"]}"#;
    let options =
        Options { capacity: 100, redaction: Redaction::parse(filters).unwrap(), ..Default::default() };
    let mut c = Cache::new(options, Clock::fixed(0));
    let init = ProcInfo {
        tgid: 1,
        ktime: 10,
        binary: "/sbin/init".into(),
        args: vec!["init".into(), "--password=root".into()],
        ..Default::default()
    };
    assert_eq!(c.seed(&[init])[0].message.arguments, "--password=*****");
    fork(&mut c, (1, 10), (20, 100));
    let mut record = exec_record(100, (20, 110), "/bin/mysql", PROC_CLONE);
    record.args = vec!["mysql".into(), "-u".into(), "me".into(), "--password".into(), "secret".into()];
    let proc = c.exec(&record, Place::clone);
    assert_eq!(proc.message.arguments, "-u me --password *****");
    // What recognises a pod's probe sees them.
    assert_eq!(proc.hidden.as_deref(), Some("-u me --password secret"));
    assert_eq!(c.ancestors(&proc, 1)[0].message.arguments, "--password=*****");
    fork(&mut c, (20, 110), (21, 200));
    let child = c.find(21, 200).unwrap();
    assert_eq!(child.message.arguments, "-u me --password *****");
    // Another program may show them.
    record.filename = "/bin/echo".into();
    record.fixed.header = header(20, 120);
    record.fixed.old_ktime = 110;
    let echo = c.exec(&record, Place::clone);
    assert_eq!((echo.message.arguments.as_str(), &echo.hidden), ("-u me --password secret", &None));
}

#[test]
fn users_have_names_on_the_node_itself() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("1/root/etc")).unwrap();
    std::fs::write(dir.path().join("1/root/etc/passwd"), "me:x:1000:1000::/:\n").unwrap();
    let options = Options { capacity: 100, host_ns: [5; NAMESPACES], ..Default::default() };
    let mut c = Cache::new(options, Clock::fixed(0)).with_users(Users::of_node(dir.path()));
    let mut name = |uid: u32, ns: [u32; NAMESPACES]| {
        let mut record = exec_record(0, (20, 110), "/bin/x", 0);
        record.fixed.cred.ids = [uid; 8];
        record.fixed.cred.ns = ns;
        c.exec(&record, Place::clone).message.user.clone().map(|u| u.name)
    };
    assert_eq!(name(1000, [5; NAMESPACES]).as_deref(), Some("me"));
    assert_eq!(name(1001, [5; NAMESPACES]), None);
    // A container has files, or users, of its own.
    for kind in [2, 9] {
        let mut ns = [5; NAMESPACES];
        ns[kind] = 6;
        assert_eq!(name(1000, ns), None);
    }
    assert_eq!(name(1000, [0; NAMESPACES]), None);
}

#[test]
fn an_exec_in_the_same_container_is_of_the_same_pod() {
    let mut c = cache(100);
    let inside = |id: &str| Place { container: Some(id.into()), ..Place::default() };
    seed(&mut c, 1, 10);
    fork(&mut c, (1, 10), (20, 100));
    let sh = c.exec(&exec_record(100, (20, 110), "/bin/sh", PROC_CLONE), |_| inside("a"));
    let pod = Pod { name: "web".into(), ..Pod::default() };
    sh.pod.set((Arc::new(pod), Arc::default())).unwrap();
    let name = |proc: &Proc| proc.pod.get().map(|(pod, _)| pod.name.clone());
    // Nobody knows the pod any more: what it executes and what it makes is in it all the same.
    let cat = c.exec(&exec_record(110, (20, 120), "/bin/cat", 0), Place::clone);
    assert_eq!(name(&cat).as_deref(), Some("web"));
    fork(&mut c, (20, 120), (21, 130));
    let child = c.exec(&exec_record(130, (21, 140), "/bin/true", PROC_CLONE), Place::clone);
    assert_eq!(name(&child).as_deref(), Some("web"));
    let other = c.exec(&exec_record(140, (21, 150), "/bin/true", 0), |_| inside("b"));
    assert_eq!(name(&other), None, "another container");
}
