//! docs/helm.md: the tables of values, from the comments of values.yaml.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::helm::Chart;
use super::values::unsupported_leaves;
use crate::tools::root;

/// A longer default is left to values.yaml.
const LONG: usize = 100;

/// The page, with the tables between its marks made anew.
pub(super) fn page(chart: &Chart) -> Result<String> {
    let file = root().join("docs/helm.md");
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let text = between(&text, "values", &values(chart)?)?;
    between(&text, "unsupported", &unsupported(chart)?)
}

/// Replaces what stands between `<!-- NAME -->` and `<!-- end of NAME -->`.
fn between(text: &str, name: &str, table: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let marks = text.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = marks.with_context(|| format!("docs/helm.md has no marks for {name}"))?;
    Ok(format!("{before}{begin}{table}{end}{after}"))
}

/// A described value.
#[derive(Debug)]
struct Described {
    path: String,
    about: String,
}

/// Reads the comments that begin with `# --`, each for the key below it.
fn described(text: &str) -> Vec<Described> {
    let mut all = Vec::new();
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut about: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if let Some(comment) = trimmed.strip_prefix('#') {
            match (comment.trim().strip_prefix("--"), &mut about) {
                (Some(begin), _) => about = Some(begin.trim().to_owned()),
                (None, Some(text)) => {
                    text.push(' ');
                    text.push_str(comment.trim());
                }
                (None, None) => {}
            }
            continue;
        }
        let Some((key, _)) = trimmed.split_once(':').filter(|(key, _)| !key.contains([' ', '"', '-', '{']))
        else {
            continue;
        };
        above.retain(|(i, _)| *i < indent);
        above.push((indent, key.to_owned()));
        if let Some(about) = about.take() {
            let path: Vec<&str> = above.iter().map(|(_, key)| key.as_str()).collect();
            all.push(Described { path: path.join("."), about });
        }
    }
    all
}

fn values(chart: &Chart) -> Result<String> {
    let described = described(&std::fs::read_to_string(chart.path("values.yaml"))?);
    let values = chart.yaml("values.yaml")?;
    let mut silent = Vec::new();
    leaves("", &values, &mut |path| {
        let about = |d: &Described| path == d.path || path.starts_with(&format!("{}.", d.path));
        if !described.iter().any(about) {
            silent.push(path.to_owned());
        }
    });
    ensure!(silent.is_empty(), "values.yaml says nothing about {}", silent.join(", "));
    let mut table = String::from("| value | default | |\n| --- | --- | --- |\n");
    for Described { path, about } in &described {
        let pointer = format!("/{}", path.replace('.', "/"));
        let default = values.pointer(&pointer).with_context(|| format!("values.yaml has no {path}"))?;
        let mut default = default.to_string().replace('|', "\\|");
        if default.len() > LONG {
            default = "see values.yaml".to_owned();
        } else {
            default = format!("`{default}`");
        }
        writeln!(table, "| `{path}` | {default} | {about} |")?;
    }
    Ok(table)
}

fn leaves(path: &str, value: &Value, leaf: &mut impl FnMut(&str)) {
    match value.as_object().filter(|o| !o.is_empty()) {
        Some(object) => {
            for (key, inner) in object {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(&path, inner, leaf);
            }
        }
        None => leaf(path),
    }
}

/// A row for each group of values that nothing here can honour.
fn unsupported(chart: &Chart) -> Result<String> {
    let mut table = String::from("| values of Tetragon's chart | why not |\n| --- | --- |\n");
    let groups = chart.yaml("files/unsupported.yaml")?;
    let all = unsupported_leaves(chart)?.len();
    let mut count = 0;
    for group in groups.as_array().context("files/unsupported.yaml is no list")? {
        let mut paths = Vec::new();
        leaves("", &group["values"], &mut |path| paths.push(path.to_owned()));
        count += paths.len();
        let whole =
            paths.iter().filter_map(|p| p.split('.').next()).collect::<std::collections::BTreeSet<_>>();
        let names = match whole.into_iter().collect::<Vec<_>>().as_slice() {
            ["certgen"] => "`certgen.*`".to_owned(),
            _ => paths.iter().map(|p| format!("`{p}`")).collect::<Vec<_>>().join(", "),
        };
        writeln!(table, "| {names} | {} |", group["why"].as_str().context("a group without a reason")?)?;
    }
    ensure!(count == all, "{all} values are listed, and {count} are in the table");
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_belong_to_the_key_below() {
        let text = "# About the file.\n\n# -- One.\na: 1\nb:\n  # -- Two,\n  # on two lines.\n  c:\n    - x: 1\n  d: 2\n# -- Three.\ne: {}\n";
        let found: Vec<_> = described(text).into_iter().map(|d| (d.path, d.about)).collect();
        let expected = [("a", "One."), ("b.c", "Two, on two lines."), ("e", "Three.")];
        assert_eq!(found, expected.map(|(p, a)| (p.to_owned(), a.to_owned())));
    }

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = "before\n<!-- v -->\nold\n<!-- end of v -->\nafter\n";
        let made = between(text, "v", "new\n").expect("it has marks");
        assert_eq!(made, "before\n<!-- v -->\nnew\n<!-- end of v -->\nafter\n");
        assert!(between(text, "w", "").is_err());
    }
}
