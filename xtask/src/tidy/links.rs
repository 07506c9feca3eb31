//! Relative links of README, CONTRIBUTING and docs/: the file is there, and the heading in it.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use anyhow::Result;
use regex::Regex;

use super::{Finding, Tree};
use crate::tools::root;

static LINK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\]\(([^)\s]+)\)").expect("a valid expression"));

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (file, text) in tree.pages()? {
        let mut code = false;
        for (number, line) in text.lines().enumerate() {
            code ^= line.trim_start().starts_with("```");
            if code {
                continue;
            }
            // What stands in code is no link.
            let words: String = line.split('`').step_by(2).collect();
            for link in LINK.captures_iter(&words).map(|found| found[1].to_owned()) {
                if let Some(wrong) = wrong(file, &link)? {
                    findings.push(format!("{}:{}: {link}: {wrong}", file.display(), number + 1));
                }
            }
        }
    }
    Ok(findings)
}

/// Why a link leads nowhere.
fn wrong(file: &Path, link: &str) -> Result<Option<String>> {
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(None);
    }
    let (path, heading) = link.split_once('#').map_or((link, None), |(path, heading)| (path, Some(heading)));
    let to = if path.is_empty() { file.to_owned() } else { normal(&file.with_file_name(path)) };
    if !root().join(&to).exists() {
        return Ok(Some(format!("there is no {}", to.display())));
    }
    match heading {
        Some(heading) if !headings(&super::text(&to)?).contains(heading) => {
            Ok(Some(format!("{} has no such heading", to.display())))
        }
        _ => Ok(None),
    }
}

/// Without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

/// The anchors of a page, as GitHub makes them: lower case, spaces to hyphens, without other punctuation.
fn headings(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut code = false;
    for line in text.lines() {
        code ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if code || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let anchor: String = title
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        anchors.insert(anchor);
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_as_github_has_them() {
        let text = "# What only a node knows\n## `kprobes`, and so on\n```\n# no heading\n```\n#none\n";
        assert_eq!(headings(text), ["kprobes-and-so-on", "what-only-a-node-knows"].map(str::to_owned).into());
    }

    #[test]
    fn paths_go_up() {
        assert_eq!(normal(Path::new("docs/../README.md")), Path::new("README.md"));
    }
}
