//! Whatever the text is, the compiler answers: it never panics, and without a Plan there is an error.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use tetragon_compiler::{Compiled, Severity, compile_value, compile_yaml};

fn holds_together(text: &str, compiled: &Compiled) {
    let errors = compiled.diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    assert_eq!(errors > 0, compiled.has_errors());
    for policy in &compiled.policies {
        assert!(policy.plan.is_some() || errors > 0, "no plan and no error:\n{text}");
        assert!(text.contains(&policy.source));
    }
    if errors == 0 && compiled.policies.is_empty() {
        let said = compiled.diagnostics.iter().any(|d| matches!(d.code.id(), "other-kind" | "empty-list"));
        assert!(said, "no policy and no finding:\n{text}");
    }
    for d in &compiled.diagnostics {
        let line = d.one_line();
        assert!(!line.contains('\n'), "{line}");
        assert!(d.render(text, false).starts_with(&line));
        assert!(d.render(text, true).contains(d.code.id()));
        assert!(compiled.render(d, text, false).starts_with(&compiled.one_line(d)));
    }
}

const SEED: &str = include_str!("../../config/samples/monitor-sensitive-files-fixed.yaml");

const LISTS: [&str; 2] = [include_str!("lists/kubectl.yaml"), include_str!("lists/kubectl.json")];

const PIECES: &[&str] = &[
    "",
    " ",
    "\n",
    "\t",
    "---\n",
    "...\n",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "&a ",
    "*a",
    "<<: *a\n",
    "!x ",
    "!!str ",
    "|\n",
    ">\n",
    "# c\n",
    "~",
    "null",
    "0x",
    "-1",
    "99999999999999999999",
    "é",
    "\u{feff}",
    "\u{0}",
    "%YAML 1.2\n",
    "spec:",
    "kprobes:",
    "list:",
    "syscall: false\n",
    "selectors: {}\n",
    "values: []\n",
    "macros: [a]\n",
    "? ",
    "@",
    "`",
];

fn damaged(text: &str, edits: Vec<(Index, usize, &str)>) -> String {
    let mut text = text.to_owned();
    for (at, remove, insert) in edits {
        let at = text.floor_char_boundary(at.index(text.len() + 1));
        let end = text.ceil_char_boundary((at + remove).min(text.len()));
        text.replace_range(at..end, insert);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_policy_is_answered(
        edits in prop::collection::vec((any::<Index>(), 0usize..40, select(PIECES.to_vec())), 1..8),
    ) {
        let text = damaged(SEED, edits);
        holds_together(&text, &compile_yaml("damaged.yaml", &text));
    }

    #[test]
    fn a_damaged_list_is_answered(
        list in select(LISTS.to_vec()),
        edits in prop::collection::vec((any::<Index>(), 0usize..40, select(PIECES.to_vec())), 1..8),
    ) {
        let text = damaged(list, edits);
        holds_together(&text, &compile_yaml("damaged.yaml", &text));
    }

    #[test]
    fn any_text_is_answered(pieces in prop::collection::vec(select(PIECES.to_vec()), 0..40)) {
        let text: String = pieces.concat();
        holds_together(&text, &compile_yaml("noise.yaml", &text));
    }

    #[test]
    fn any_object_is_answered(
        key in "[a-zA-Z]{0,8}",
        at in any::<Index>(),
        put in select(vec!["null", "true", "-5", "1e300", "\"x\"", "[]", "[[]]", "{}", "{\"a\":[{}]}"]),
    ) {
        let mut object: serde_json::Value = serde_json::json!({
            "apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy", "metadata": {"name": "p"},
            "spec": {"kprobes": [{"call": "security_file_open", "syscall": false, "args": [{"index": 0, "type": "file"}],
                "selectors": [{"matchArgs": [{"index": 0, "operator": "Equal", "values": ["/x"]}],
                    "matchActions": [{"action": "Sigkill"}]}]}]},
        });
        let mut pointers = Vec::new();
        collect("", &object, &mut pointers);
        let put: serde_json::Value = serde_json::from_str(put).expect("JSON");
        let pointer = &pointers[at.index(pointers.len())];
        if let Some(there) = object.pointer_mut(pointer) {
            match there {
                serde_json::Value::Object(map) if !key.is_empty() => { map.insert(key, put); }
                there => *there = put,
            }
        }
        let compiled = compile_value(&object);
        prop_assert!(compiled.policies[0].plan.is_some() || compiled.has_errors(), "{object}");
        for d in &compiled.diagnostics {
            prop_assert!(d.span.is_none() && !d.render("", false).contains("-->"));
        }
    }
}

fn collect(path: &str, value: &serde_json::Value, out: &mut Vec<String>) {
    out.push(path.to_owned());
    match value {
        serde_json::Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, v)| collect(&format!("{path}/{i}"), v, out));
        }
        serde_json::Value::Object(map) => {
            map.iter().for_each(|(k, v)| collect(&format!("{path}/{k}"), v, out));
        }
        _ => {}
    }
}

fn first_code(text: &str) -> &'static str {
    let begin = std::time::Instant::now();
    let compiled = compile_yaml("bomb.yaml", text);
    assert!(
        compiled.has_errors() && compiled.diagnostics.len() <= 500,
        "{} findings",
        compiled.diagnostics.len()
    );
    assert!(compiled.policies.iter().all(|p| p.plan.is_none()));
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    compiled.diagnostics[0].code.id()
}

#[test]
fn bombs_are_refused_in_time() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..60 {
        let last = format!("*a{}", i - 1);
        text.push_str(&format!("a{i}: &a{i} [{}]\n", vec![last; 10].join(", ")));
    }
    assert_eq!(first_code(&text), "yaml-limit");
    assert_eq!(first_code(&"[".repeat(100)), "yaml-limit");
    // The parser has a limit of its own.
    assert_eq!(first_code(&"[".repeat(100_000)), "yaml-syntax");
    assert_eq!(first_code(&format!("a: \"{}\"", "x".repeat(5 << 20))), "yaml-limit");
    assert_eq!(first_code(&format!("a: \"{}\"", "x".repeat(65 << 20))), "yaml-limit");
    assert_eq!(
        first_code(&format!("apiVersion: v1\nkind: List\nitems: [{}]", "{}, ".repeat(30_000))),
        "too-many"
    );
    let keys: String = (0..200_000).map(|i| format!("k{i}: 1\n")).collect();
    assert_eq!(first_code(&keys), "yaml-limit");
    assert_eq!(first_code(&"---\n{\n".repeat(100_000)), "yaml-syntax");

    let head = "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: p}\nspec:\n";
    let names: String = (0..5000).map(|i| format!("f{i}, ")).collect();
    let hooks = "  - {call: \"list:l\", syscall: false}\n".repeat(2000);
    let lists = format!("{head}  lists: [{{name: l, values: [{names}]}}]\n  kprobes:\n{hooks}");
    assert_eq!(first_code(&lists), "too-many");
    let wrong = format!("{head}  kprobes: [{}]\n", "5, ".repeat(300_000));
    assert_eq!(first_code(&wrong), "wrong-type");
}

#[test]
fn many_values_are_taken_in_time() {
    let values: String = (0..100_000).map(|i| format!("\"/data/{i}\", ")).collect();
    let text = format!(
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {{name: p}}\nspec:\n  lsmhooks:\n  - hook: file_open\n    \
         args: [{{index: 0, type: file}}]\n    selectors:\n    - matchArgs: [{{index: 0, operator: Prefix, values: [{values}]}}]\n"
    );
    let begin = std::time::Instant::now();
    let compiled = compile_yaml("many.yaml", &text);
    assert!(compiled.policies[0].plan.is_some(), "{:?}", compiled.diagnostics);
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
}
