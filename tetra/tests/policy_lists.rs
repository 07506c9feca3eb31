//! `kubectl get tracingpolicies -A -o yaml | tetra policy check -`: lists, the summary and the exit codes.

use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

/// What kubectl prints: one policy loads, two lack features, one is mistaken, a ConfigMap is among them.
const KUBECTL: &str = include_str!("../../policy-compiler/tests/lists/kubectl.yaml");

const EMPTY: &str = "apiVersion: v1\nitems: []\nkind: List\nmetadata:\n  resourceVersion: \"\"\n";
const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n";

fn policy(name: &str) -> String {
    format!(
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: {name}\nspec:\n  lsmhooks:\n  - hook: file_open\n"
    )
}

fn start(args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tetra"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("tetra runs")
}

/// What becomes of `input` on stdin.
fn tetra(args: &[&str], input: &str) -> Output {
    let mut child = start(args);
    let mut stdin = child.stdin.take().expect("stdin");
    let input = input.to_owned();
    // It may not read all of it.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    let _ = writer.join().expect("no panic");
    output
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).expect("UTF-8")
}

#[test]
fn the_first_command_of_a_tetragon_user() {
    let output = tetra(&["policy", "check", "-"], KUBECTL);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = stdout(&output);
    let (findings, summary) = text.split_once("\n\n").expect("a blank line before the summary");
    for line in [
        "stdin:78:15: error[not-supported-yet] connects spec.kprobes[0].args[0].type: ",
        "stdin:94:9: note[other-kind] items[2].kind: ConfigMap kube-system/settings is no policy, and is passed over",
        "stdin:123:15: error[not-supported-yet] shop/connects spec.kprobes[0].args[0].type: ",
        "stdin:141:21: error[unknown-operator] typo spec.lsmhooks[0].selectors[0].matchArgs[0].operator: ",
    ] {
        assert!(findings.lines().any(|l| l.starts_with(line)), "{line}\n{text}");
    }
    assert_eq!(
        summary,
        "MISSING FEATURE                  POLICIES   SUCH AS\n\
         argument type `sock`             2          connects, shop/connects\n\
         return values (`return: true`)   1          connects\n\
         1 policy has mistakes: typo\n\
         1 of 4 policies load: 5 errors, 0 warnings in 1 file, 1 object of another kind passed over\n"
    );
    let coloured = tetra(&["policy", "check", "--color", "always", "-"], KUBECTL);
    assert!(stdout(&coloured).contains("\n\x1b[1mMISSING FEATURE "), "{coloured:?}");
}

#[test]
fn machines_get_the_same_summary() {
    let output = tetra(&["policy", "check", "-o", "json", "-"], KUBECTL);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let mut report: Value = serde_json::from_str(stdout(&output)).expect("JSON");
    let files = report.as_object_mut().and_then(|r| r.remove("files")).expect("files");
    assert_eq!(
        report,
        json!({
            "policies": 4, "loads": 1, "errors": 5, "warnings": 0, "passed_over": 1,
            "lacking": [
                {"feature": "argument type `sock`", "code": "not-supported-yet", "policies": ["connects", "shop/connects"]},
                {"feature": "return values (`return: true`)", "code": "not-supported-yet", "policies": ["connects"]},
            ],
            "mistaken": ["typo"],
        })
    );
    let diagnostic = &files[0]["diagnostics"][4];
    assert_eq!(
        (&diagnostic["policy"], &diagnostic["namespace"], &diagnostic["feature"]),
        (&json!("connects"), &json!("shop"), &json!("argument type `sock`"))
    );
}

#[test]
fn exit_codes_and_last_lines() {
    let list = |items: &str| format!("apiVersion: v1\nkind: List\nitems:\n{items}");
    let broken = policy("b").replace("hook:", "hoock:");
    let passed = "0 warnings in 1 file, 1 object of another kind passed over\n";
    for (what, input, code, last) in [
        (
            "all load",
            format!("{}---\n{}", policy("a"), policy("b")),
            0,
            "2 of 2 policies load: 0 errors, 0 warnings in 1 file\n".to_owned(),
        ),
        ("an empty list", EMPTY.to_owned(), 0, "no policy: 0 errors, 0 warnings in 1 file\n".to_owned()),
        (
            "another kind beside a policy",
            format!("{CONFIG_MAP}---\n{}", policy("a")),
            0,
            format!("1 of 1 policy loads: 0 errors, {passed}"),
        ),
        (
            "one that does not load",
            format!("{broken}---\n{}", policy("a")),
            2,
            "1 policy has mistakes: b\n1 of 2 policies load: 2 errors, 0 warnings in 1 file\n".to_owned(),
        ),
        (
            "nothing but other kinds",
            list("- apiVersion: v1\n  kind: Pod\n"),
            2,
            format!("no policy: 1 error, {passed}"),
        ),
        ("nothing", String::new(), 2, "no policy: 1 error, 0 warnings in 1 file\n".to_owned()),
        (
            "no YAML",
            "kind: List\nitems: [\n".to_owned(),
            2,
            "no policy: 1 error, 0 warnings in 1 file\n".to_owned(),
        ),
    ] {
        let output = tetra(&["policy", "check", "-"], &input);
        assert_eq!(output.status.code(), Some(code), "{what}: {output:?}");
        assert!(stdout(&output).ends_with(&last), "{what}: {}", stdout(&output));
    }
    assert_eq!(tetra(&["policy", "check"], "").status.code(), Some(1), "no file is named");
    for (input, code) in [(CONFIG_MAP, 2), (EMPTY, 0), ("", 2)] {
        assert_eq!(tetra(&["policy", "compile", "-"], input).status.code(), Some(code), "{input}");
    }
}

/// A file of something else is passed over when others have policies.
#[test]
fn a_folder_may_have_other_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let other =
        write("kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n");
    let policy = write("policy.yaml", &policy("a"));
    let both = tetra(&["policy", "check", &other, &policy], "");
    assert_eq!(both.status.code(), Some(0), "{both:?}");
    assert!(stdout(&both).contains("note[other-kind] kind: Kustomization is no policy"), "{both:?}");
    let alone = tetra(&["policy", "check", &other], "");
    assert_eq!(alone.status.code(), Some(2), "{alone:?}");
    assert!(
        stdout(&alone).contains("error[no-policy]: the file has no policy, only an object of another kind"),
        "{alone:?}"
    );
}

/// Examples and names are shortened, and their number says so.
#[test]
fn long_lists_of_names_are_cut() {
    let lacking: Vec<String> = (0..5).map(|n| policy(&format!("l{n}")) + "  loader: true\n").collect();
    let mistaken: Vec<String> =
        (0..12).map(|n| policy(&format!("m{n}")).replace("hook:", "hoock:")).collect();
    let output = tetra(&["policy", "check", "-"], &[lacking, mistaken].concat().join("---\n"));
    let text = stdout(&output);
    assert!(text.contains("\nloader events (`loader`)   5          l0, l1, l2 and 2 more\n"), "{text}");
    assert!(
        text.contains("\n12 policies have mistakes: m0, m1, m2, m3, m4, m5, m6, m7, m8, m9 and 2 more\n"),
        "{text}"
    );
}

#[test]
fn a_reader_that_leaves_is_no_panic() {
    let many: String =
        (0..3000).map(|n| format!("{}---\n", policy(&format!("p{n}")).replace("hook:", "hoock:"))).collect();
    let mut child = start(&["policy", "check", "-"]);
    let mut stdin = child.stdin.take().expect("stdin");
    drop(child.stdout.take());
    let _ = stdin.write_all(many.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
}

#[test]
fn lists_are_compiled_and_their_modes_are_set() {
    let indent = |name: &str| policy(name).trim_end().replace('\n', "\n  ");
    let list = format!("apiVersion: v1\nitems:\n- {}\n- {}\nkind: List\n", indent("a"), indent("b"));
    let modified = tetra(&["tp", "modify", "-m", "monitor", "-"], &list);
    assert_eq!(modified.status.code(), Some(0), "{modified:?}");
    let output = tetra(&["policy", "compile", "-"], stdout(&modified));
    let plans: Vec<Value> = serde_json::Deserializer::from_str(stdout(&output))
        .into_iter()
        .collect::<Result<_, _>>()
        .expect("JSON");
    let names: Vec<_> = plans.iter().map(|p| (p["name"].as_str(), p["mode"].as_str())).collect();
    assert_eq!(names, [(Some("a"), Some("monitor")), (Some("b"), Some("monitor"))]);
}
