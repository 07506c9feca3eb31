//! Sets `policy-mode` in the text of a policy file and leaves everything else, comments too, as it is.

use anyhow::{Context, bail};
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use tetragon_api::policy::{KIND, KIND_NAMESPACED};
use tetragon_compiler::LIST_KINDS;

/// The option's name.
const OPTION: &str = "policy-mode";

/// A change: the characters from `start` to `end` (line and column, from 0) become `text`.
struct Edit {
    start: (usize, usize),
    end: (usize, usize),
    text: String,
}

/// `text` with the mode of each of its policies set.
pub(crate) fn set(text: &str, mode: &str) -> anyhow::Result<String> {
    let documents = MarkedYaml::load_from_str(text).context("it is not YAML")?;
    let mut edits = Vec::new();
    for policy in documents.iter().flat_map(policies) {
        edits.push(edit(text, policy, mode)?);
    }
    if edits.is_empty() {
        bail!("it has no policy");
    }
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    // From the end, so that the places before stay what they are.
    for edit in edits.iter().rev() {
        let from = byte(&lines[edit.start.0], edit.start.1);
        let to = byte(&lines[edit.end.0], edit.end.1);
        let tail = lines[edit.end.0][to..].to_owned();
        lines[edit.start.0].truncate(from);
        lines[edit.start.0].push_str(&edit.text);
        lines[edit.start.0].push_str(&tail);
        lines.drain(edit.start.0 + 1..=edit.end.0);
    }
    Ok(lines.concat())
}

/// The policies of a document: itself, or the items of a list. Objects of other kinds are left as they are.
fn policies<'a, 'i>(document: &'a MarkedYaml<'i>) -> Vec<&'a MarkedYaml<'i>> {
    let kind = member(document, "kind").and_then(|(_, kind)| string(kind));
    match kind {
        Some(kind) if LIST_KINDS.contains(&kind) => {
            match member(document, "items").map(|(_, items)| &items.data) {
                Some(YamlData::Sequence(items)) => items.iter().flat_map(policies).collect(),
                _ => Vec::new(),
            }
        }
        Some(kind) if kind != KIND && kind != KIND_NAMESPACED => Vec::new(),
        _ if is_null(document) => Vec::new(),
        _ => vec![document],
    }
}

fn edit(text: &str, document: &MarkedYaml, mode: &str) -> anyhow::Result<Edit> {
    let (_, spec) = member(document, "spec").context("it has no spec")?;
    let YamlData::Mapping(fields) = &spec.data else { bail!("its spec is not a mapping with fields") };
    let Some((_, options)) = member(spec, "options") else {
        let (first, _) =
            fields.iter().next().context("its spec is empty: there is nothing to set a mode for")?;
        let indent =
            indent_of(text, first).context("its spec is written in flow style; write it as a block")?;
        let entry = entry(&indent, mode);
        return Ok(insert_before(first, format!("{indent}options:\n{entry}")));
    };
    let YamlData::Sequence(items) = &options.data else {
        bail!("its spec.options is not a list; remove it or write it as a list of name and value")
    };
    for item in items {
        let named = member(item, "name").is_some_and(|(_, name)| string(name) == Some(OPTION));
        if named {
            let (_, value) =
                member(item, "value").with_context(|| format!("its option {OPTION} has no value"))?;
            let (line, column) = (value.span.start.line() - 1, value.span.start.col());
            let length = written_length(text, value)
                .with_context(|| format!("its option {OPTION} has a value that is not a plain word"))?;
            return Ok(Edit {
                start: (line, column),
                end: (line, column + length),
                text: format!("{mode:?}"),
            });
        }
    }
    let flow = "its spec.options is empty or written in flow style; remove it or write it as a block";
    let first = items.first().context(flow)?;
    let YamlData::Mapping(first) = &first.data else {
        bail!("its spec.options has an item that is no option")
    };
    let (key, _) = first.iter().next().context(flow)?;
    let line = line_of(text, key);
    let indent: String = line.chars().take_while(|c| *c == ' ').collect();
    if !line.trim_start().starts_with('-') {
        bail!("{flow}");
    }
    Ok(insert_before(key, entry(&indent, mode)))
}

/// The option as an item of a list, indented.
fn entry(indent: &str, mode: &str) -> String {
    format!("{indent}- name: {OPTION:?}\n{indent}  value: {mode:?}\n")
}

/// Puts `text`, whole lines, before the line of `node`.
fn insert_before(node: &MarkedYaml, text: String) -> Edit {
    let place = (node.span.start.line() - 1, 0);
    Edit { start: place, end: place, text }
}

/// How many characters a scalar takes where it stands, quotes included. The parser's own end lies
/// behind a comment that follows.
fn written_length(text: &str, node: &MarkedYaml) -> Option<usize> {
    let content = string(node)?;
    let rest: String = line_of(text, node).chars().skip(node.span.start.col()).collect();
    let forms = [content.to_owned(), format!("'{content}'"), format!("\"{content}\"")];
    forms.iter().find(|form| rest.starts_with(form.as_str())).map(|form| form.chars().count())
}

/// The blanks before `node`, if nothing else is before it on its line.
fn indent_of(text: &str, node: &MarkedYaml) -> Option<String> {
    let before: String = line_of(text, node).chars().take(node.span.start.col()).collect();
    before.chars().all(|c| c == ' ').then_some(before)
}

fn line_of<'a>(text: &'a str, node: &MarkedYaml) -> &'a str {
    text.split('\n').nth(node.span.start.line() - 1).unwrap_or_default()
}

/// The byte at which character `column` of `line` begins.
fn byte(line: &str, column: usize) -> usize {
    line.char_indices().nth(column).map_or(line.len(), |(byte, _)| byte)
}

/// A member of a mapping: its key and its value.
fn member<'a, 'i>(node: &'a MarkedYaml<'i>, name: &str) -> Option<(&'a MarkedYaml<'i>, &'a MarkedYaml<'i>)> {
    match &node.data {
        YamlData::Mapping(fields) => fields.iter().find(|(key, _)| string(key) == Some(name)),
        _ => None,
    }
}

fn string<'a>(node: &'a MarkedYaml) -> Option<&'a str> {
    match &node.data {
        YamlData::Value(Scalar::String(text)) => Some(text),
        _ => None,
    }
}

fn is_null(node: &MarkedYaml) -> bool {
    matches!(&node.data, YamlData::Value(Scalar::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_set_and_the_rest_stays() {
        for (text, wanted) in [
            // Without options.
            (
                "kind: TracingPolicy\nspec:   # what\n    # first\n    kprobes: []\n",
                "kind: TracingPolicy\nspec:   # what\n    # first\n    options:\n    - name: \"policy-mode\"\n      value: \"monitor\"\n    kprobes: []\n",
            ),
            // With another mode, in any notation.
            (
                "spec:\n  options:\n  - name: policy-mode # m\n    value: 'enforce' # ü\n  kprobes: []\n",
                "spec:\n  options:\n  - name: policy-mode # m\n    value: \"monitor\" # ü\n  kprobes: []\n",
            ),
            (
                "spec: {options: [{name: policy-mode, value: enforce}], kprobes: []}",
                "spec: {options: [{name: policy-mode, value: \"monitor\"}], kprobes: []}",
            ),
            // With other options.
            (
                "spec:\n  options:\n    - name: a\n      value: b\n",
                "spec:\n  options:\n    - name: \"policy-mode\"\n      value: \"monitor\"\n    - name: a\n      value: b\n",
            ),
            // Several policies, one of them empty.
            (
                "---\nspec:\n  a: 1\n---\n---\nspec:\n  b: 1\n",
                "---\nspec:\n  options:\n  - name: \"policy-mode\"\n    value: \"monitor\"\n  a: 1\n---\n---\nspec:\n  options:\n  - name: \"policy-mode\"\n    value: \"monitor\"\n  b: 1\n",
            ),
            // A list, with something else in it.
            (
                "items:\n- kind: TracingPolicy\n  spec:\n    a: 1\n- kind: Deployment\n  spec:\n    b: 1\n- spec:\n    c: 1\nkind: List\n",
                "items:\n- kind: TracingPolicy\n  spec:\n    options:\n    - name: \"policy-mode\"\n      value: \"monitor\"\n    a: 1\n- kind: Deployment\n  spec:\n    b: 1\n- spec:\n    options:\n    - name: \"policy-mode\"\n      value: \"monitor\"\n    c: 1\nkind: List\n",
            ),
        ] {
            assert_eq!(set(text, "monitor").expect(text), wanted);
        }
    }

    #[test]
    fn setting_twice_changes_nothing() {
        let once = set("spec:\n  kprobes: []\n", "enforce").expect("it is set");
        assert_eq!(set(&once, "enforce").expect("it is set"), once);
    }

    #[test]
    fn what_cannot_be_set_says_why() {
        for (text, wanted) in [
            ("a: [", "not YAML"),
            ("", "no policy"),
            ("kind: TracingPolicy", "no spec"),
            ("kind: Deployment\nspec:\n  replicas: 1\n", "no policy"),
            ("kind: List\nitems: []\n", "no policy"),
            ("kind: List\nitems: [{kind: TracingPolicy, spec: {kprobes: []}}]\n", "flow style"),
            ("spec:\n", "not a mapping"),
            ("spec: {}", "its spec is empty"),
            ("spec: {kprobes: []}", "flow style"),
            ("spec:\n  options: []\n", "is empty or written in flow style"),
            ("spec:\n  options: [{name: a, value: b}]\n", "flow style"),
            ("spec:\n  options: x\n", "is not a list"),
            ("spec:\n  options:\n  - name: policy-mode\n", "has no value"),
            ("spec:\n  options:\n  - name: policy-mode\n    value: >\n      enforce\n", "not a plain word"),
            ("spec:\n  options:\n  - name: policy-mode\n    value: [a]\n", "not a plain word"),
        ] {
            let error = set(text, "monitor").expect_err(text).to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
