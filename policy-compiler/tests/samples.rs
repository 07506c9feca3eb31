//! The seed policies and the samples compile, with exactly these findings.

use std::path::Path;

use tetragon_api::plan::Mode;
use tetragon_compiler::compile_yaml;

/// `LINE: severity[code]` of each finding of a file in config/samples.
fn findings(file: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples").join(file);
    let text = std::fs::read_to_string(&path).expect("the sample is there");
    let compiled = compile_yaml(file, &text);
    assert!(compiled.policies.iter().all(|p| p.plan.is_some()), "{file}: {:?}", compiled.diagnostics);
    let line = |d: &tetragon_compiler::Diagnostic| d.span.map_or(0, |s| s.line);
    compiled
        .diagnostics
        .iter()
        .map(|d| format!("{}: {}[{}]", line(d), d.severity.name(), d.code.id()))
        .collect()
}

fn names(dir: &str) -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples").join(dir);
    let entries = std::fs::read_dir(dir).expect("the folder is there");
    let mut names: Vec<_> = entries
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|n| n.ends_with(".yaml"))
        .collect();
    names.sort();
    names
}

#[test]
fn seeds_warn_of_what_they_do_not_do() {
    let expected: [(&str, &[&str]); 4] = [
        ("block-cryptominers.yaml", &["14: warning[exec-binary]"]),
        ("detect-container-escape.yaml", &[]),
        ("detect-privilege-escalation.yaml", &["14: warning[exec-binary]", "16: warning[symlink-path]"]),
        ("monitor-sensitive-files.yaml", &["17: note[open-prefix]", "19: warning[symlink-path]"]),
    ];
    assert_eq!(names("seed"), expected.map(|(name, _)| name));
    for (name, findings_expected) in expected {
        assert_eq!(findings(&format!("seed/{name}")), findings_expected, "{name}");
    }
}

#[test]
fn samples_have_no_finding() {
    let samples = names(".");
    assert!(samples.len() >= 4, "{samples:?}");
    for name in samples {
        assert_eq!(findings(&name), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn an_allow_list_and_its_twin_differ_in_the_mode_alone() {
    let plan = |file: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples").join(file);
        let text = std::fs::read_to_string(&path).expect("the sample is there");
        compile_yaml(file, &text).policies.remove(0).plan.expect("a plan")
    };
    let denies = plan("allow-list-per-workload.yaml");
    let mut reports = plan("allow-list-per-workload-monitor.yaml");
    assert_eq!((denies.mode, reports.mode), (Mode::Enforce, Mode::Monitor));
    assert!(denies.enforces());
    let pods = denies.workloads.as_ref().and_then(|w| w.pods.as_ref()).expect("it is for pods");
    assert_eq!(pods.namespace.as_deref(), Some("default"));
    (reports.mode, reports.name) = (denies.mode, denies.name.clone());
    assert_eq!(denies, reports);
}

#[test]
fn every_seed_has_a_twin_that_enforces() {
    for seed in names("seed") {
        let twin = seed.replace(".yaml", "-fixed.yaml");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples").join(&twin);
        let text = std::fs::read_to_string(&path).expect("the twin is there");
        let compiled = compile_yaml(&twin, &text);
        let plan = compiled.policies[0].plan.as_ref().expect("a plan");
        assert!(plan.enforces(), "{twin}");
        assert_eq!(format!("{}.yaml", plan.name), twin);
    }
}

#[test]
fn twins_are_run_as_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read =
        |path: String| std::fs::read_to_string(root.join(&path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    for seed in names("seed") {
        let twin = seed.replace(".yaml", "-fixed");
        let run = read(format!("e2e/conformance/sample-{twin}/policy.yaml"));
        assert_eq!(run, read(format!("config/samples/{twin}.yaml")), "copy the sample into its case");
    }
}
