//! `tetra policy` and the offline half of `tetra tracingpolicy`: no agent, no kernel.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Deserializer, Value};

const GOOD: &str = "\
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata:
  name: open
spec:
  kprobes:
  - call: security_file_open
    syscall: false
    args:
    - index: 0
      type: file
    selectors:
    - matchArgs:
      - index: 0
        operator: Equal
        values: [/etc/shadow]
      matchActions:
      - action: Sigkill
";

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }
}

fn tetra(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tetra"));
    command.args(args).stdin(Stdio::null()).output().expect("tetra runs")
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).expect("UTF-8")
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("UTF-8")
}

#[test]
fn a_good_policy_passes() {
    let files = Files::new();
    let output = tetra(&["policy", "check", &files.write("good.yaml", GOOD)]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(stdout(&output), "1 of 1 policy loads: 0 errors, 0 warnings in 1 file\n");
}

#[test]
fn all_errors_are_shown_and_the_exit_code_is_2() {
    let files = Files::new();
    let bad = files.write("bad.yaml", &GOOD.replace("type: file", "type: fil").replace("Sigkill", "Sigkil"));
    let good = files.write("good.yaml", GOOD);
    let output = tetra(&["policy", "check", &bad, &good]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = stdout(&output);
    assert!(
        text.contains(&format!("{bad}:11:13: error[unknown-type] spec.kprobes[0].args[0].type: ")),
        "{text}"
    );
    assert!(text.contains(&format!("{bad}:18:17: error[unknown-action] ")), "{text}");
    assert!(
        text.ends_with(
            "\n\n1 policy has mistakes: open\n1 of 2 policies load: 2 errors, 0 warnings in 2 files\n"
        ),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "no colours on a pipe: {text}");
    let coloured = tetra(&["policy", "check", "--color", "always", &bad]);
    assert!(stdout(&coloured).contains("\x1b["), "{coloured:?}");
}

#[test]
fn warnings_alone_pass() {
    let files = Files::new();
    let late = GOOD.replace("/etc/shadow", "/var/run/x");
    let output = tetra(&["policy", "check", &files.write("late.yaml", &late)]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(stdout(&output).contains("warning[symlink-path]"), "{output:?}");
    assert!(stdout(&output).ends_with(": 0 errors, 1 warning in 1 file\n"), "{output:?}");
}

#[test]
fn machines_get_json() {
    let files = Files::new();
    let bad = files.write("bad.yaml", &GOOD.replace("type: file", "type: fil"));
    let good = files.write("good.yaml", GOOD);
    let output = tetra(&["policy", "check", "-o", "json", &good, &bad]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let report: Value = serde_json::from_str(stdout(&output)).expect("JSON");
    assert_eq!((&report["errors"], &report["warnings"]), (&1.into(), &0.into()));
    let [first, second] = report["files"].as_array().expect("a list").as_slice() else { panic!("{report}") };
    assert_eq!(first["policies"][0]["name"], "open");
    assert_eq!(first["policies"][0]["digest"].as_str().map(str::len), Some(64), "{report}");
    assert_eq!(second["policies"][0].get("digest"), None, "{report}");
    let diagnostic = &second["diagnostics"][0];
    assert_eq!((&diagnostic["code"], &diagnostic["severity"]), (&"unknown-type".into(), &"error".into()));
    assert_eq!((&diagnostic["span"]["line"], &diagnostic["span"]["column"]), (&11.into(), &13.into()));
}

#[test]
fn compile_prints_each_plan() {
    let files = Files::new();
    let two = files.write("two.yaml", &format!("{GOOD}---\n{}", GOOD.replace("name: open", "name: second")));
    let output = tetra(&["policy", "compile", &two]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let plans: Vec<Value> =
        Deserializer::from_str(stdout(&output)).into_iter().collect::<Result<_, _>>().expect("JSON");
    let names: Vec<_> = plans.iter().map(|p| p["name"].as_str()).collect();
    assert_eq!(names, [Some("open"), Some("second")]);
    assert_eq!(plans[0]["format"], tetragon_api::plan::FORMAT);

    let bad = files.write("bad.yaml", &GOOD.replace("type: file", "type: fil"));
    let output = tetra(&["policy", "compile", &bad]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""));
    assert!(stderr(&output).contains("error[unknown-type]"), "{output:?}");
}

#[test]
fn a_changed_mode_is_what_the_compiler_reads() {
    let files = Files::new();
    let good = files.write("good.yaml", GOOD);
    for mode in ["monitor", "enforce"] {
        let modified = tetra(&["tp", "modify", "-m", mode, &good]);
        assert_eq!(modified.status.code(), Some(0), "{modified:?}");
        let output = tetra(&["policy", "compile", &files.write("modified.yaml", stdout(&modified))]);
        let plan: Value = serde_json::from_str(stdout(&output)).expect("JSON");
        assert_eq!(plan["mode"], mode);
    }
}

#[test]
fn explain_prints_the_page_of_a_code() {
    for code in ["exec-binary", "warning[exec-binary]"] {
        let output = tetra(&["policy", "explain", code]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(stdout(&output).starts_with("# exec-binary\n"), "{output:?}");
    }
    assert!(stdout(&tetra(&["policy", "explain"])).contains("\nwarning exec-binary\n"));
    let output = tetra(&["policy", "explain", "nope"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).starts_with("Error: there is no code \"nope\"; the codes are "), "{output:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_a_finding_beside_the_others() {
    let files = Files::new();
    let latin = files.0.path().join("latin.yaml");
    std::fs::write(&latin, b"kind: TracingPolicy\nmetadata: {name: caf\xe9}\n").expect("written");
    let (latin, bad) = (latin.display().to_string(), files.write("bad.yaml", "kind: [\n"));
    let output = tetra(&["policy", "check", "/nonexistent/p.yaml", &latin, &bad]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = stdout(&output);
    for line in [
        "/nonexistent/p.yaml:1:1: error[unreadable-file]: cannot be read: No such file or directory (os error 2); \
         give the path of a file that is there and that you may read\n",
        &format!(
            "{latin}:2:21: error[yaml-syntax]: not YAML: the byte 0xe9 is not UTF-8; save the file as UTF-8\n"
        ),
        &format!("{bad}:1:8: error[yaml-syntax]: not YAML: "),
        "no policy: 3 errors, 0 warnings in 3 files\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn what_only_files_and_nodes_show_has_pages_too() {
    for code in ["unreadable-file", "not-on-this-kernel"] {
        let output = tetra(&["policy", "explain", code]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(stdout(&output).starts_with(&format!("# {code}\n")), "{output:?}");
    }
}

#[test]
fn a_group_without_its_subcommand_shows_its_help() {
    for args in [&[][..], &["tracingpolicy"], &["policy"]] {
        let output = tetra(args);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(stdout(&output).contains("Usage: tetra"), "{output:?}");
    }
}
