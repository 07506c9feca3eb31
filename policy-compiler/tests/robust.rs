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
    if errors == 0 {
        assert!(!compiled.policies.is_empty(), "no policy and no error:\n{text}");
    }
    for d in &compiled.diagnostics {
        let line = d.one_line();
        assert!(!line.contains('\n'), "{line}");
        assert!(d.render(text, false).starts_with(&line));
        assert!(d.render(text, true).contains(d.code.id()));
    }
}

const SEED: &str = include_str!("../../config/samples/monitor-sensitive-files-fixed.yaml");

const PIECES: &[&str] = &[
    "", " ", "\n", "\t", "---\n", "...\n", "- ", ": ", "{", "}", "[", "]", "\"", "'", "&a ", "*a", "<<: *a\n", "!x ",
    "!!str ", "|\n", ">\n", "# c\n", "~", "null", "0x", "-1", "99999999999999999999", "é", "\u{feff}", "\u{0}", "%YAML 1.2\n",
    "spec:", "kprobes:", "list:", "syscall: false\n", "selectors: {}\n", "values: []\n", "macros: [a]\n", "? ", "@", "`",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_policy_is_answered(
        edits in prop::collection::vec((any::<Index>(), 0usize..40, select(PIECES.to_vec())), 1..8),
    ) {
        let mut text = SEED.to_owned();
        for (at, remove, insert) in edits {
            let at = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text.ceil_char_boundary((at + remove).min(text.len()));
            text.replace_range(at..end, insert);
        }
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
        serde_json::Value::Array(list) => list.iter().enumerate().for_each(|(i, v)| collect(&format!("{path}/{i}"), v, out)),
        serde_json::Value::Object(map) => map.iter().for_each(|(k, v)| collect(&format!("{path}/{k}"), v, out)),
        _ => {}
    }
}

#[test]
fn a_bomb_is_refused_at_once() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..60 {
        let last = format!("*a{}", i - 1);
        text.push_str(&format!("a{i}: &a{i} [{}]\n", vec![last; 10].join(", ")));
    }
    let compiled = compile_yaml("bomb.yaml", &text);
    assert_eq!(compiled.diagnostics.len(), 1, "{:?}", compiled.diagnostics);
    assert_eq!(compiled.diagnostics[0].code.id(), "yaml-limit");
    let deep = "[".repeat(100_000);
    assert!(compile_yaml("deep.yaml", &deep).has_errors());
    let long = format!("a: \"{}\"", "x".repeat(17 << 20));
    assert_eq!(compile_yaml("long.yaml", &long).diagnostics[0].code.id(), "yaml-limit");
}
