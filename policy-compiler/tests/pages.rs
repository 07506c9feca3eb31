//! Every page of `resources/codes/` is a test: its examples raise what their comments say, and
//! nothing else.

use std::collections::BTreeSet;

use tetragon_compiler::{Code, Compiled, FOUND_ELSEWHERE, Severity, compile_yaml, explain};

const HEAD: &str = "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata:\n  name: example\n";

/// The ```yaml blocks of a page. A block that begins with its spec gets the usual head.
fn blocks(page: &str) -> Vec<String> {
    let mut parts = page.split("```yaml\n");
    parts.next();
    parts
        .map(|part| part.split("```").next().unwrap_or_default().to_owned())
        .map(|block| if block.starts_with("spec:") { format!("{HEAD}{block}") } else { block })
        .collect()
}

/// (line, `error[code]`) of each comment `# error: [code]`.
fn expected(block: &str) -> BTreeSet<(usize, String)> {
    let mut found = BTreeSet::new();
    for (i, line) in block.lines().enumerate() {
        for severity in ["error", "warning", "note"] {
            for part in line.split(&format!("# {severity}: [")).skip(1) {
                let code = part.split(']').next().unwrap_or_default();
                found.insert((i + 1, format!("{severity}[{code}]")));
            }
        }
    }
    found
}

fn actual(compiled: &Compiled) -> BTreeSet<(usize, String)> {
    let line = |d: &tetragon_compiler::Diagnostic| d.span.map_or(0, |s| s.line);
    compiled
        .diagnostics
        .iter()
        .map(|d| (line(d), format!("{}[{}]", d.severity.name(), d.code.id())))
        .collect()
}

#[test]
fn examples_raise_what_they_say() {
    let mut wrong = Vec::new();
    for code in Code::ALL {
        let page = code.page();
        let blocks = blocks(page);
        assert!(blocks.len() >= 2, "{}: an example and the right form", code.id());
        let own = format!("{}[{}]", code.severity().name(), code.id());
        let mut raised = false;
        for block in &blocks {
            let compiled = compile_yaml("example.yaml", block);
            let expected = expected(block);
            let mut actual = actual(&compiled);
            // Notes that an example is not about may be there too.
            actual.retain(|found| !found.1.starts_with("note[") || expected.contains(found));
            if actual != expected {
                let found: String = compiled.diagnostics.iter().map(|d| d.render(block, false)).collect();
                wrong.push(format!("{}: expected {expected:?}, found\n{found}", code.id()));
            }
            raised |= expected.iter().any(|(_, e)| *e == own);
        }
        assert_eq!(raised, !FOUND_ELSEWHERE.contains(code), "an example of {} raises it", code.id());
        let last = blocks.last().map(|b| compile_yaml("right.yaml", b));
        let worst = last.and_then(|c| c.diagnostics.iter().map(|d| d.severity).min());
        assert!(
            worst.is_none_or(|s| s == Severity::Note),
            "the last example of {} is the right form",
            code.id()
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pages_and_codes_are_the_same_set() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/resources/codes");
    let files: BTreeSet<String> = std::fs::read_dir(dir)
        .expect("the pages are there")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    let codes: BTreeSet<String> = Code::ALL.iter().map(|c| format!("{}.md", c.id())).collect();
    assert_eq!(files, codes);
}

#[test]
fn pages_are_found_by_code_and_begin_with_it() {
    for code in Code::ALL {
        let page = explain(code.id()).expect("a page");
        assert!(page.starts_with(&format!("# {}\n", code.id())));
        assert!(page.lines().count() < 90, "{}: a short page", code.id());
    }
    assert_eq!(explain("no-such-code"), None);
}
