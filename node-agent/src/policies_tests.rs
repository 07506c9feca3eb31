//! Tests of the policy store, with a scripted engine.

use tetragon_engine::{Backend, Cause, HookReport};

use super::*;

fn yaml(name: &str, call: &str, extra: &str) -> String {
    format!(
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: {name}\nspec:\n{extra}  kprobes:\n  \
         - call: {call}\n    syscall: false\n    selectors:\n    - matchActions:\n      - action: Sigkill\n"
    )
}

fn compiled(name: &str, call: &str) -> Vec<CompiledPolicy> {
    compile(&yaml(name, call, ""))
}

fn compile(text: &str) -> Vec<CompiledPolicy> {
    let compiled = tetragon_compiler::compile_yaml("t.yaml", text);
    assert!(!compiled.has_errors(), "{:?}", compiled.diagnostics);
    compiled.policies
}

/// An engine that runs everything but functions that begin with `bad`.
fn apply(store: &mut Store) -> Vec<Outcome> {
    let mut report = ApplyReport { state: 1, ..ApplyReport::default() };
    for input in store.desired() {
        let hooks = input.plan.hooks.iter().map(|h| {
            let Target::Function(function) = &h.target else { panic!("a function") };
            let bad = function.starts_with("bad");
            HookReport {
                field: h.field.clone(),
                function: function.clone(),
                backend: (!bad).then_some(Backend::Lsm),
                error: bad.then(|| format!("function {function} does not exist on this kernel")),
                cause: bad.then_some(Cause::Mistaken),
                arg: None,
            }
        });
        report.policies.insert(input.id, PolicyReport { hooks: hooks.collect(), kernel_memory: 3000 });
    }
    store.applied(&report)
}

fn names(outcomes: &[Outcome]) -> Vec<String> {
    outcomes
        .iter()
        .map(|o| match o {
            Outcome::Loaded { key, .. } => format!("+{}", key.name),
            Outcome::Refused { key, kept, .. } => {
                format!("!{}{}", key.name, if *kept { " kept" } else { "" })
            }
            Outcome::Unloaded { key } => format!("-{}", key.name),
        })
        .collect()
}

fn only(store: &Store) -> TracingPolicyStatus {
    assert_eq!(store.policies().len(), 1);
    store.policies().next().unwrap().status()
}

const FILE: &str = "/policies/a.yaml";

#[test]
fn a_file_is_loaded_changed_and_removed() {
    let mut s = Store::default();
    let file = Path::new(FILE);
    assert!(s.put_file(file, &compiled("a", "security_file_open")).is_empty());
    assert_eq!(only(&s).state(), TracingPolicyState::TpStateLoading);
    assert_eq!(names(&apply(&mut s)), ["+a"]);
    let row = only(&s);
    assert_eq!(
        (row.id, row.state(), row.mode()),
        (1, TracingPolicyState::TpStateEnabled, TracingPolicyMode::TpModeEnforce)
    );
    assert_eq!(
        (row.domain.as_str(), row.sensors, row.kernel_memory_bytes),
        (STATIC, vec!["generic_kprobe".into()], 3000)
    );
    assert_eq!(row.hook_statuses[0].hook_description, "spec.kprobes[0] security_file_open (lsm)");
    // The same again: nothing to do.
    let before = s.desired()[0].id;
    s.put_file(file, &compile(&format!("# a comment\n{}", yaml("a", "security_file_open", ""))));
    assert!(!s.is_pending());
    assert_eq!(s.desired()[0].id, before);
    // Another call is another version.
    s.put_file(file, &compiled("a", "security_file_permission"));
    assert!(s.is_pending() && s.desired()[0].id != before);
    assert_eq!(names(&apply(&mut s)), ["+a"]);
    // Another policy in the same file replaces it.
    s.put_file(file, &compiled("b", "security_file_open"));
    assert_eq!(names(&apply(&mut s)), ["-a", "+b"]);
    assert_eq!(only(&s).id, 2);
    s.remove_file(file);
    assert!(s.is_pending());
    assert_eq!(names(&apply(&mut s)), ["-b"]);
    assert!(!s.is_pending() && s.policies().len() == 0);
}

#[test]
fn a_file_that_breaks_leaves_what_ran() {
    let mut s = Store::default();
    let file = Path::new(FILE);
    s.put_file(file, &compiled("a", "security_file_open"));
    apply(&mut s);
    s.fail_file(file, &[], "a.yaml:1:1: error");
    let row = only(&s);
    assert_eq!((row.state(), row.error.as_str()), (TracingPolicyState::TpStateError, "a.yaml:1:1: error"));
    assert_eq!(s.desired().len(), 1);
    assert!(!s.is_pending());
    s.put_file(file, &compiled("a", "security_file_open"));
    assert_eq!((only(&s).state(), only(&s).error), (TracingPolicyState::TpStateEnabled, String::new()));
    assert!(!s.is_pending());
}

#[test]
fn a_new_file_that_does_not_compile_is_listed() {
    let mut s = Store::default();
    let broken = tetragon_compiler::compile_yaml("t.yaml", &yaml("a", "x", "  banana: 1\n"));
    assert!(broken.has_errors());
    s.fail_file(Path::new(FILE), &broken.policies, "why");
    let row = only(&s);
    assert_eq!(
        (row.name.as_str(), row.state(), row.error.as_str()),
        ("a", TracingPolicyState::TpStateLoadError, "why")
    );
    assert_eq!(row.mode(), TracingPolicyMode::TpModeUnknown);
    assert!(s.desired().is_empty() && !s.is_pending());
    s.put_file(Path::new(FILE), &compiled("a", "security_file_open"));
    assert_eq!(names(&apply(&mut s)), ["+a"]);
}

#[test]
fn what_the_engine_refuses_does_not_stop_others_and_is_not_tried_again() {
    let mut s = Store::default();
    s.put_file(Path::new("/p/a"), &compiled("a", "bad_function"));
    s.put_file(Path::new("/p/b"), &compiled("b", "security_file_open"));
    assert_eq!(names(&apply(&mut s)), ["!a", "+b"]);
    let row = s.policies().next().unwrap().status();
    assert_eq!(
        (row.state(), row.mode()),
        (TracingPolicyState::TpStateLoadError, TracingPolicyMode::TpModeUnknown)
    );
    assert!(row.error.starts_with("spec.kprobes[0]: function bad_function does not exist"), "{}", row.error);
    assert_eq!(row.kernel_memory_bytes, 0);
    assert!(!s.is_pending());
    assert_eq!(s.desired().len(), 1);
}

#[test]
fn a_version_that_is_refused_leaves_the_one_before() {
    let mut s = Store::default();
    let file = Path::new(FILE);
    s.put_file(file, &compiled("a", "security_file_open"));
    apply(&mut s);
    let before = s.desired()[0].id;
    s.put_file(file, &compiled("a", "bad_function"));
    assert_eq!(names(&apply(&mut s)), ["!a kept"]);
    let row = only(&s);
    assert_eq!(row.state(), TracingPolicyState::TpStateError);
    assert!(row.error.ends_with("the version before stays in force"));
    assert_eq!(s.desired()[0].id, before);
    assert!(!s.is_pending());
    assert!(names(&apply(&mut s)).is_empty());
    assert_eq!(only(&s).state(), TracingPolicyState::TpStateError);
}

/// An engine with room for so many policies: those that ran go first, unless they have to go.
fn apply_to(store: &mut Store, room: usize) -> Vec<Outcome> {
    let mut desired = store.desired();
    let runs = |store: &Store, p: &PolicyInput| {
        store.policies().any(|known| known.running().is_some_and(|r| r.policy == p.policy))
    };
    desired.sort_by_key(|p| !runs(store, p));
    let mut report = ApplyReport { state: 1, ..ApplyReport::default() };
    for (i, input) in desired.iter().enumerate() {
        let full = i >= room;
        let hook = HookReport {
            field: "spec.kprobes[0]".into(),
            backend: Some(Backend::Lsm),
            error: full.then(|| "too many selectors".into()),
            cause: full.then_some(Cause::Full),
            ..HookReport::default()
        };
        report.policies.insert(input.id, PolicyReport { hooks: vec![hook], kernel_memory: 3000 });
        if full && runs(store, input) {
            report.stopped.insert(input.policy);
        }
    }
    store.applied(&report)
}

#[test]
fn what_has_no_room_is_tried_again_when_something_goes() {
    let mut s = Store::default();
    s.put_file(Path::new("/p/a"), &compiled("a", "security_file_open"));
    assert_eq!(names(&apply_to(&mut s, 1)), ["+a"]);
    s.put_file(Path::new("/p/b"), &compiled("b", "security_file_open"));
    assert_eq!(names(&apply_to(&mut s, 1)), ["!b"]);
    assert!(!s.is_pending());
    // Asked again in vain there is nothing new to be said.
    assert!(s.retry());
    assert!(names(&apply_to(&mut s, 1)).is_empty());
    assert!(!s.is_pending());
    // A file that is broken meanwhile is what is wrong.
    s.fail_file(Path::new("/p/b"), &[], "b.yaml:1:1: error");
    assert!(!s.retry());
    s.put_file(Path::new("/p/b"), &compiled("b", "security_file_open"));
    s.remove_file(Path::new("/p/a"));
    assert_eq!(names(&apply_to(&mut s, 1)), ["-a"]);
    assert!(s.retry());
    assert_eq!(only(&s).error, "spec.kprobes[0]: too many selectors");
    assert_eq!(names(&apply_to(&mut s, 1)), ["+b"]);
    let row = only(&s);
    assert_eq!((row.state(), row.error.as_str()), (TracingPolicyState::TpStateEnabled, ""));
    assert!(!s.is_pending());
}

#[test]
fn a_version_that_has_no_room_waits_beside_the_one_before() {
    let mut s = Store::default();
    let file = Path::new(FILE);
    s.put_file(file, &compiled("a", "security_file_open"));
    apply_to(&mut s, 1);
    s.put_file(file, &compiled("a", "security_file_permission"));
    // Of what is desired the new version has no room; the one before is not asked for.
    let wanted = s.desired()[0].id;
    let hook = HookReport {
        error: Some("too many selectors".into()),
        cause: Some(Cause::Full),
        ..HookReport::default()
    };
    let mut report = ApplyReport { state: 1, ..ApplyReport::default() };
    report.policies.insert(wanted, PolicyReport { hooks: vec![hook], kernel_memory: 0 });
    assert_eq!(names(&s.applied(&report)), ["!a kept"]);
    let error = only(&s).error;
    // The same plan again changes nothing.
    s.put_file(file, &compiled("a", "security_file_permission"));
    assert_eq!(only(&s).error, error);
    assert!(s.retry());
    assert_eq!(s.desired()[0].id, wanted);
    assert_eq!(names(&apply_to(&mut s, 1)), ["+a"]);
}

#[test]
fn what_has_to_go_is_not_said_to_run() {
    let mut s = Store::default();
    s.put_file(Path::new(FILE), &compiled("a", "security_file_open"));
    apply_to(&mut s, 1);
    assert_eq!(names(&apply_to(&mut s, 0)), ["!a"]);
    let row = only(&s);
    assert_eq!(
        (row.state(), row.error.as_str()),
        (TracingPolicyState::TpStateLoadError, "spec.kprobes[0]: too many selectors")
    );
    assert!(s.desired().is_empty());
}

#[test]
fn two_files_cannot_have_the_same_policy() {
    let mut s = Store::default();
    s.put_file(Path::new("/p/a"), &compiled("a", "security_file_open"));
    let errors = s.put_file(Path::new("/p/b"), &compiled("a", "security_file_open"));
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().contains("/p/a already"), "{}", errors[0]);
    // The other file's end does not take it away.
    s.remove_file(Path::new("/p/b"));
    assert_eq!(s.policies().len(), 1);
}

#[test]
fn grpc_adds_once_and_again_after_an_error() {
    let mut s = Store::default();
    let keys = s.add("", &compiled("a", "security_file_open")).unwrap();
    assert_eq!(keys[0].domain, GRPC);
    // Loading already counts.
    assert!(matches!(s.add("", &compiled("a", "security_file_open")), Err(StoreError::Exists { .. })));
    apply(&mut s);
    let error = s.add("", &compiled("a", "security_file_open")).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "failed to add tracing policy {a }, a sensor collection with the key already exists"
        )
    );
    s.add("other", &compiled("a", "security_file_open")).unwrap();
    let bad = s.add("", &compiled("b", "bad_function")).unwrap();
    apply(&mut s);
    assert!(s.get(&bad[0]).unwrap().error().is_some());
    s.add("", &compiled("b", "security_file_open")).unwrap();
    assert_eq!(names(&apply(&mut s)), ["+b"]);
    // Numbers count up, for failed ones too.
    assert_eq!(s.policies().map(|p| p.id).collect::<Vec<_>>(), [1, 2, 4]);
}

#[test]
fn finds_by_domain_or_prefers_grpc() {
    let mut s = Store::default();
    s.put_file(Path::new(FILE), &compiled("a", "security_file_open"));
    assert_eq!(s.find("a", "", "").unwrap().domain, STATIC);
    s.add("", &compiled("a", "security_file_open")).unwrap();
    assert_eq!(s.find("a", "", "").unwrap().domain, GRPC);
    assert_eq!(s.find("a", "", STATIC).unwrap().domain, STATIC);
    let error = s.find("nosuch", "", "").unwrap_err().to_string();
    assert!(error.starts_with("tracing policy {nosuch } does not exist"), "{error}");
    assert!(s.find("a", "ns", "").is_err() && s.find("a", "", "k8s").is_err());
}

#[test]
fn switched_off_and_on() {
    let mut s = Store::default();
    let key = s.add("", &compiled("a", "security_file_open")).unwrap().remove(0);
    apply(&mut s);
    s.enable(&key, false);
    assert!(s.desired().is_empty() && s.is_pending());
    assert_eq!(names(&apply(&mut s)), ["-a"]);
    assert_eq!(only(&s).state(), TracingPolicyState::TpStateDisabled);
    s.enable(&key, true);
    assert_eq!(names(&apply(&mut s)), ["+a"]);
    s.remove(&key);
    assert_eq!(names(&apply(&mut s)), ["-a"]);
}

#[test]
fn modes() {
    let mut s = Store::default();
    let key = s.add("", &compiled("a", "security_file_open")).unwrap().remove(0);
    apply(&mut s);
    let before = s.desired()[0].id;
    s.set_mode(&key, Mode::Monitor);
    let input = &s.desired()[0];
    assert!(!input.enforce && input.id != before);
    apply(&mut s);
    assert_eq!(only(&s).mode(), TracingPolicyMode::TpModeMonitor);
    s.set_mode(&key, Mode::Monitor);
    assert!(!s.is_pending());
    // Set by hand, it holds for the policy's next version too.
    s.set_mode(&key, Mode::Enforce);
    apply(&mut s);
    assert_eq!(only(&s).mode(), TracingPolicyMode::TpModeEnforce);
    let monitor = "  options:\n  - name: policy-mode\n    value: monitor\n";
    let text = yaml("m", "security_file_open", monitor);
    s.put_file(Path::new(FILE), &compile(&text));
    apply(&mut s);
    assert_eq!(s.policies().nth(1).unwrap().status().mode(), TracingPolicyMode::TpModeMonitor);
    let post = yaml("p", "security_file_open", "").replace("Sigkill", "Post");
    s.put_file(Path::new(FILE), &compile(&post));
    apply(&mut s);
    assert_eq!(s.policies().nth(1).unwrap().status().mode(), TracingPolicyMode::TpModeMonitorOnly);
}
