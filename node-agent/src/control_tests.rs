//! Tests of the control thread, with a scripted kernel.

use std::collections::BTreeMap;
use std::sync::mpsc;

use tetragon_api::event::TracingPolicyState;
use tetragon_api::plan::Target;
use tetragon_api::workload::Container;
use tetragon_engine::{
    ApplyReport, Backend, Cause, CgroupRecord, Classified, EngineError, HookReport, PolicyInput, ProgramStats,
};

use super::*;
use crate::pods::classifier::{FILE, Request};
use crate::pods::{Change, Subject};

#[path = "control_cluster_tests.rs"]
mod cluster;

#[derive(Default)]
struct Log {
    applied: Vec<Vec<String>>,
    /// `NAME FUNCTION`, and a star if it enforces: what was asked each time, and what runs.
    history: Vec<Vec<String>>,
    runs: Vec<String>,
    released: bool,
    lost: u64,
    /// Containers are taken only after the policies are loaded again.
    later: bool,
    /// Cgroups that were classified, and how often policies had been loaded by then.
    classified: Vec<(u64, usize)>,
}

/// A kernel that has every function but `missing_*`, cannot do `unable_*`, and refuses `refused_*`.
struct Script(Arc<Mutex<Log>>, Vec<PolicyInput>);

impl Script {
    /// Notes what runs from here on: of a policy that cannot run, the version before.
    fn note(&self, policies: &[PolicyInput], report: &ApplyReport, running: &mut Vec<PolicyInput>) {
        let before = std::mem::take(running);
        for p in policies {
            let ok = report.policies[&p.id].error().is_none();
            let old = before.iter().find(|b| b.policy == p.policy);
            running.extend(if ok { Some(p) } else { old }.cloned());
        }
        let show = |p: &PolicyInput| {
            let Target::Function(function) = &p.plan.hooks[0].target else { panic!("a function") };
            let star = if p.enforce && p.plan.enforces() { "*" } else { "" };
            format!("{} {function}{star}", p.plan.name)
        };
        let mut log = self.0.lock().unwrap();
        log.history.push(policies.iter().map(show).collect());
        log.runs = running.iter().map(show).collect();
    }
}

impl Kernel for Script {
    fn classify(&mut self, cgroup: u64, _: Container) -> Result<Classified, EngineError> {
        let mut log = self.0.lock().unwrap();
        let loads = log.history.len();
        log.classified.push((cgroup, loads));
        Ok(if log.later { Classified::Later } else { Classified::Done })
    }
    fn forget(&mut self, _: u64) -> Result<(), EngineError> {
        Ok(())
    }
    fn apply(&mut self, policies: &[PolicyInput], between: &mut dyn FnMut(&mut dyn Kernel)) -> ApplyReport {
        between(self);
        let names = policies.iter().map(|p| p.plan.name.clone()).collect();
        self.0.lock().unwrap().applied.push(names);
        let report = |p: &PolicyInput| PolicyReport {
            hooks: p
                .plan
                .hooks
                .iter()
                .map(|h| {
                    let Target::Function(function) = &h.target else { panic!("a function") };
                    let (error, cause) = if function.starts_with("missing") {
                        let error = format!("function {function} does not exist on this kernel (6.1)");
                        (Some(error), Some(Cause::Mistaken))
                    } else if function.starts_with("narrow") {
                        (Some("args[1]: index 1 is an integer".to_owned()), Some(Cause::Mistaken))
                    } else if function.starts_with("unable") {
                        (Some("BPF LSM is not switched on in this kernel".to_owned()), Some(Cause::Unable))
                    } else if function.starts_with("refused") {
                        (Some("the verifier is against it".to_owned()), Some(Cause::Refused))
                    } else {
                        (None, None)
                    };
                    let backend = error.is_none().then_some(Backend::Kprobe);
                    let arg = function.starts_with("narrow").then_some(1);
                    let (field, function) = (h.field.clone(), function.clone());
                    HookReport { field, function, backend, error, cause, arg }
                })
                .collect(),
            kernel_memory: 3000,
        };
        let policies_of = policies.iter().map(|p| (p.id, report(p))).collect();
        let report = ApplyReport { state: 1, policies: policies_of, ..ApplyReport::default() };
        let mut running = std::mem::take(&mut self.1);
        self.note(policies, &report, &mut running);
        self.1 = running;
        report
    }
    fn losses(&self) -> KernelLosses {
        KernelLosses { call: self.0.lock().unwrap().lost, ..Default::default() }
    }
    fn programs(&self) -> Vec<ProgramStats> {
        vec![ProgramStats { name: "x".into(), ..Default::default() }]
    }
    fn map_memory(&self) -> u64 {
        4096
    }
    fn release(self: Box<Self>) {
        self.0.lock().unwrap().released = true;
    }
}

fn yaml(name: &str, call: &str) -> String {
    format!(
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: {name}\nspec:\n  kprobes:\n  \
         - call: {call}\n    syscall: false\n"
    )
}

fn control(folders: Vec<Folder>) -> (Control, Arc<Mutex<Log>>, Arc<Board>, Arc<Counters>) {
    let log = Arc::new(Mutex::new(Log::default()));
    let board = Arc::new(Board::default());
    let counters = Arc::new(Counters::default());
    let kernel = Box::new(Script(log.clone(), Vec::new()));
    let control = Control::new(mpsc::channel().1, kernel, folders, counters.clone(), board.clone());
    (control, log, board, counters)
}

fn files(list: &[(&str, &str)]) -> Vec<PolicyFile> {
    list.iter()
        .map(|(name, call)| PolicyFile::new(format!("/p/{name}.yaml").into(), yaml(name, call).as_bytes()))
        .collect()
}

fn states(board: &Board) -> BTreeMap<String, TracingPolicyState> {
    board.policies().iter().map(|p| (p.name.clone(), p.state())).collect()
}

#[test]
fn policies_of_the_start() {
    let (mut c, log, board, _) = control(vec![]);
    c.load(&files(&[("a", "security_file_open"), ("b", "missing_function"), ("c", "unable_function")]))
        .unwrap();
    assert_eq!(log.lock().unwrap().applied, [["a", "b", "c"]]);
    let states = states(&board);
    assert_eq!(states["a"], TracingPolicyState::TpStateEnabled);
    assert_eq!(
        (states["b"], states["c"]),
        (TracingPolicyState::TpStateLoadError, TracingPolicyState::TpStateLoadError)
    );
}

#[test]
fn a_start_where_nothing_exists_is_refused_with_positions() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.yaml"), yaml("bad", "missing_function")).unwrap();
    let mut folders = [Folder::new(dir.path())];
    let files = read_folders(&mut folders).unwrap();
    let (mut c, ..) = control(vec![]);
    let errors = c.load(&files).unwrap_err();
    let expected = format!(
        "{}/bad.yaml:7:11: error[not-on-this-kernel] spec.kprobes[0]: function missing_function does not exist",
        dir.path().display()
    );
    assert!(errors.len() == 1 && errors[0].starts_with(&expected), "{errors:?}");
}

#[test]
fn an_error_about_an_argument_points_at_it() {
    let dir = tempfile::tempdir().unwrap();
    let args = "    args:\n    - {index: 0, type: int}\n    - {index: 1, type: string}\n";
    std::fs::write(dir.path().join("bad.yaml"), yaml("bad", "narrow_function") + args).unwrap();
    let mut folders = [Folder::new(dir.path())];
    let files = read_folders(&mut folders).unwrap();
    let (mut c, ..) = control(vec![]);
    let errors = c.load(&files).unwrap_err();
    let expected = "bad.yaml:11:8: error[not-on-this-kernel] spec.kprobes[0].args[1]: index 1 is an integer";
    assert!(errors.len() == 1 && errors[0].ends_with(expected), "{errors:?}");
}

#[test]
fn a_file_that_is_no_text_is_refused_where_it_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let text = yaml("bad", "security_file_open").into_bytes();
    std::fs::write(dir.path().join("bad.yaml"), [&text[..], b"    message: caf\xe9\n"].concat()).unwrap();
    let files = read_folders(&mut [Folder::new(dir.path())]).unwrap();
    let errors = files[0].errors(false).unwrap();
    assert!(
        errors.contains("bad.yaml:9:17: error[yaml-syntax]: not YAML: the byte 0xe9 is not UTF-8"),
        "{errors}"
    );
}

#[test]
fn a_kernel_that_can_do_nothing_still_starts() {
    let (mut c, ..) = control(vec![]);
    c.load(&files(&[("c", "unable_function")])).unwrap();
}

#[test]
fn two_policies_of_one_name_are_refused_at_the_start() {
    let (mut c, log, ..) = control(vec![]);
    let mut two = files(&[("a", "x"), ("a", "x")]);
    two[1].path = "/p/b.yaml".into();
    let errors = c.load(&two).unwrap_err();
    assert!(
        errors[0].contains("/p/b.yaml: error[duplicate-name]") && errors[0].contains("/p/a.yaml already"),
        "{errors:?}"
    );
    assert!(log.lock().unwrap().applied.is_empty());
}

#[test]
fn added_changed_and_removed_by_request() {
    let (mut c, log, board, _) = control(vec![]);
    c.add(&yaml("a", "security_file_open"), "").unwrap();
    assert!(matches!(c.add(&yaml("a", "security_file_open"), ""), Err(Refusal::Exists(_))));
    let Err(Refusal::Invalid(text)) = c.add("kind: x\n", "") else { panic!("it is no policy") };
    assert!(text.contains("policy:1:") && text.contains("error["), "{text}");
    let Err(Refusal::Failed(text)) = c.add(&yaml("b", "missing_function"), "") else {
        panic!("it is missing")
    };
    assert!(text.contains("missing_function does not exist"), "{text}");
    assert_eq!(states(&board)["b"], TracingPolicyState::TpStateLoadError);
    c.change("a", "", "", &[What::Enable(false)]).unwrap();
    assert_eq!(states(&board)["a"], TracingPolicyState::TpStateDisabled);
    c.change("a", "", "", &[What::Enable(true), What::Mode(Mode::Monitor)]).unwrap();
    c.change("b", "", "", &[What::Delete]).unwrap();
    c.change("a", "", "", &[What::Delete]).unwrap();
    assert!(matches!(c.change("a", "", "", &[What::Delete]), Err(Refusal::Missing(_))));
    assert!(board.policies().is_empty());
    assert_eq!(log.lock().unwrap().applied.last().unwrap().len(), 0);
}

#[test]
fn files_of_a_watched_folder() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let all = || Notice::All(BTreeSet::new());
    let (mut c, log, board, _) = control(vec![Folder::new(dir.path())]);
    write("a.yaml", &yaml("a", "security_file_open"));
    write("b.yaml", "no: policy\n");
    c.files(0, &all());
    assert_eq!(states(&board)["a"], TracingPolicyState::TpStateEnabled);
    // A comment changes nothing, a mistake leaves what runs.
    write("a.yaml", &format!("# comment\n{}", yaml("a", "security_file_open")));
    c.files(0, &Notice::Files(BTreeSet::from(["a.yaml".into()])));
    write("a.yaml", "broken: [\n");
    c.files(0, &Notice::Files(BTreeSet::from(["a.yaml".into()])));
    assert_eq!(states(&board)["a"], TracingPolicyState::TpStateError);
    assert_eq!(log.lock().unwrap().applied.len(), 1);
    // Many at once are one change.
    for n in 0..10 {
        write(&format!("n{n}.yaml"), &yaml(&format!("n{n}"), "security_file_open"));
    }
    std::fs::remove_file(dir.path().join("a.yaml")).unwrap();
    c.files(0, &all());
    assert_eq!(log.lock().unwrap().applied.len(), 2);
    assert_eq!(board.policies().len(), 10);
}

/// These policies as kubectl lists them.
fn list(policies: &[(&str, &str)]) -> String {
    let item = |(name, call): &(&str, &str)| {
        let text = yaml(name, call).replace('\n', "\n  ");
        format!("- {}\n", text.trim_end())
    };
    let items: String = policies.iter().map(item).collect();
    let items = if items.is_empty() { " []\n".to_owned() } else { format!("\n{items}") };
    format!("apiVersion: v1\nitems:{items}kind: List\nmetadata:\n  resourceVersion: \"\"\n")
}

#[test]
fn a_list_in_a_watched_folder_is_loaded_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (mut c, log, board, _) = control(vec![Folder::new(dir.path())]);
    let mut write = |text: &str| {
        std::fs::write(dir.path().join("list.yaml"), text).unwrap();
        c.files(0, &Notice::Files(BTreeSet::from(["list.yaml".into()])));
        states(&board)
    };
    let (a, b) = (("a", "security_file_open"), ("b", "security_mmap_file"));
    let both = write(&list(&[a, b]));
    assert_eq!(both.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert!(both.values().all(|s| *s == TracingPolicyState::TpStateEnabled), "{both:?}");
    let broken = write(&list(&[a, ("b", "no function")]));
    assert!(broken.values().all(|s| *s == TracingPolicyState::TpStateError), "what ran stays: {broken:?}");
    assert_eq!(log.lock().unwrap().applied, [["a", "b"]]);
    assert_eq!(write(&list(&[b])).keys().collect::<Vec<_>>(), ["b"]);
    assert!(write("").contains_key("b"), "a file that is cut off removes nothing");
    assert_eq!(write(&list(&[])), BTreeMap::new());
}

#[test]
fn what_a_node_says_of_a_list_points_at_its_item() {
    let dir = tempfile::tempdir().unwrap();
    let text = list(&[("a", "missing_one"), ("b", "missing_two")]);
    std::fs::write(dir.path().join("list.yaml"), text).unwrap();
    let files = read_folders(&mut [Folder::new(dir.path())]).unwrap();
    let (mut c, ..) = control(vec![]);
    let errors = c.load(&files).unwrap_err().join("\n");
    for (line, function) in [(9, "missing_one"), (17, "missing_two")] {
        let expected =
            format!("list.yaml:{line}:13: error[not-on-this-kernel] spec.kprobes[0]: function {function}");
        assert!(errors.contains(&expected), "{expected}\n{errors}");
    }
}

#[test]
fn a_list_is_added_whole_and_an_empty_one_is_refused() {
    let (mut c, _, board, _) = control(vec![]);
    c.add(&list(&[("a", "x"), ("b", "y")]), "").unwrap();
    assert_eq!(states(&board).keys().collect::<Vec<_>>(), ["a", "b"]);
    assert!(matches!(c.add(&list(&[("c", "x"), ("a", "x")]), ""), Err(Refusal::Exists(_))));
    assert_eq!(states(&board).len(), 2, "c is not there without the other");
    let Err(Refusal::Invalid(text)) = c.add(&list(&[]), "") else { panic!("it has no policy") };
    assert_eq!(text, "failed to add tracing policy: the list is empty; give one with a policy");
}

/// Where requests to it go.
fn requests(c: &mut Control) -> mpsc::Sender<Command> {
    let (send, requests) = mpsc::channel();
    c.inbox.requests = requests;
    send
}

#[test]
fn the_thread_serves_and_ends() {
    let (mut c, log, _, counters) = control(vec![]);
    let send = requests(&mut c);
    let thread = std::thread::spawn(move || c.run());
    let (reply, answer) = oneshot::channel();
    send.send(Command::Add { yaml: yaml("a", "x"), domain: String::new(), reply }).unwrap();
    assert_eq!(answer.blocking_recv().unwrap(), Ok(()));
    let (reply, answer) = oneshot::channel();
    send.send(Command::Numbers { reply }).unwrap();
    answer.blocking_recv().unwrap();
    assert_eq!((counters.kernel().map_memory, counters.kernel().programs.len()), (4096, 1));
    log.lock().unwrap().lost = 7;
    let (ready, wait) = mpsc::channel();
    send.send(Command::Stop { ready, release: true }).unwrap();
    wait.recv().unwrap();
    assert_eq!(counters.kernel_lost(), 7);
    thread.join().unwrap();
    assert!(log.lock().unwrap().released);
}

const UID: &str = "8d2e5a4f-9c1b-4f6e-a1d3-0c9b7e6f5a42";

/// A container's cgroup, and who it is of.
fn container(id: &str) -> [Command; 2] {
    let made = CgroupRecord { id: 7, path: format!("/kubepods/pod{UID}/{id}"), gone: false };
    let identity = Some(Container { name: "web".into(), ..Container::default() });
    let told = Change { subject: Subject::Container(id.into()), identity };
    [Request::Cgroup(made), Request::Pods(told)].map(Command::Containers)
}

#[test]
fn containers_are_kept_also_when_there_is_always_something_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE);
    let (c, ..) = control(vec![]);
    let mut c = c.with_classifier(Classifier::new(None, Some(dir.path())));
    let send = requests(&mut c);
    let thread = std::thread::spawn(move || c.run());
    let (first, last) = ("a".repeat(64), "b".repeat(64));
    container(&first).into_iter().for_each(|command| send.send(command).unwrap());
    let begin = Instant::now();
    while !file.exists() {
        assert!(begin.elapsed() < Duration::from_secs(30), "nothing is written");
        let other = CgroupRecord { id: 8, path: "/user.slice".into(), gone: false };
        send.send(Command::Containers(Request::Cgroup(other))).unwrap();
        std::thread::sleep(TICK / 20);
    }
    assert!(std::fs::read_to_string(&file).unwrap().contains(&first));
    // And what comes just before the end.
    container(&last).into_iter().for_each(|command| send.send(command).unwrap());
    let (ready, _wait) = mpsc::channel();
    send.send(Command::Stop { ready, release: false }).unwrap();
    thread.join().unwrap();
    assert!(std::fs::read_to_string(&file).unwrap().contains(&last));
}

#[test]
fn containers_do_not_wait_until_policies_are_loaded() {
    let (mut c, log, ..) = control(vec![]);
    let send = requests(&mut c);
    let (reply, mut answer) = oneshot::channel();
    send.send(Command::Numbers { reply }).unwrap();
    container(&"a".repeat(64)).into_iter().for_each(|command| send.send(command).unwrap());
    c.add(&yaml("a", "x"), "").unwrap();
    assert_eq!(log.lock().unwrap().classified, [(7, 0)], "before the policy is in force");
    assert!(answer.try_recv().is_err(), "the rest waits");
    let (ready, _wait) = mpsc::channel();
    send.send(Command::Stop { ready, release: false }).unwrap();
    c.run();
    assert_eq!(answer.try_recv(), Ok(()), "and is served then");
}

#[test]
fn policies_are_loaded_again_for_containers_that_wait_for_that() {
    let (mut c, log, ..) = control(vec![]);
    log.lock().unwrap().later = true;
    container(&"a".repeat(64)).into_iter().for_each(|command| c.serve(command));
    let loads = || log.lock().unwrap().applied.len();
    c.catch_up();
    assert_eq!(loads(), 0, "not at once");
    c.tried = Instant::now().checked_sub(AGAIN).unwrap();
    c.catch_up();
    c.catch_up();
    assert_eq!(loads(), 1, "and not all the time");
    log.lock().unwrap().later = false;
    c.classifier.tick(0, &mut *c.kernel);
    c.tried = Instant::now().checked_sub(AGAIN).unwrap();
    c.catch_up();
    assert_eq!(loads(), 1, "nobody waits any more");
}

#[test]
fn without_release_what_runs_goes_on() {
    let (mut c, log, ..) = control(vec![]);
    let send = requests(&mut c);
    let (ready, _wait) = mpsc::channel();
    send.send(Command::Stop { ready, release: false }).unwrap();
    c.run();
    assert!(!log.lock().unwrap().released);
}

#[test]
fn only_two_modes_can_be_set() {
    assert_eq!(mode_of(TracingPolicyMode::TpModeEnforce.into()), Ok(Mode::Enforce));
    assert_eq!(mode_of(TracingPolicyMode::TpModeMonitor.into()), Ok(Mode::Monitor));
    assert!(mode_of(TracingPolicyMode::TpModeMonitorOnly.into()).is_err() && mode_of(77).is_err());
}
