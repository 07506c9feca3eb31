//! The `use` lines of a file.

use std::sync::LazyLock;

use regex::Regex;

/// One name that a `use` brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// `[crate, link, Unit]`; of a `*` the module.
    pub(super) path: Vec<String>,
    /// By which it is known here: another one after `as`; `*` for all.
    pub(super) name: String,
    /// Other modules may name it by this one.
    pub(super) public: bool,
}

/// All of a text.
pub(super) fn of(text: &str) -> Vec<Use> {
    static USE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^\s*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);").expect("a valid expression")
    });
    let mut uses = Vec::new();
    for found in USE.captures_iter(text) {
        let public = found.get(1).is_some();
        expand(&found[2], &[], &mut |path, name| uses.push(Use { path, name, public }));
    }
    uses
}

/// Each path of `a::{b, c::{self, d as e}}`.
fn expand(tree: &str, above: &[String], add: &mut impl FnMut(Vec<String>, String)) {
    let tree = tree.trim();
    if let Some((path, list)) = tree.split_once('{') {
        let mut path = path.trim().trim_end_matches("::").to_owned();
        path.retain(|c| !c.is_whitespace());
        let above = [above, &parts(&path)].concat();
        let list = list.trim_end();
        let list = list.strip_suffix('}').unwrap_or(list);
        split(list).iter().for_each(|part| expand(part, &above, add));
        return;
    }
    if tree.is_empty() {
        return;
    }
    let (path, alias) =
        tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim())));
    let mut path = [above, &parts(path.trim())].concat();
    let last = path.last().cloned().unwrap_or_default();
    if path.len() > 1 && (last == "self" || last == "*") {
        path.pop();
    }
    let own = if last == "self" { path.last().cloned().unwrap_or_default() } else { last };
    add(path, alias.map_or(own, str::to_owned));
}

fn parts(path: &str) -> Vec<String> {
    path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// At the commas that stand in no brace.
fn split(list: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().expect("one is there").push(c);
    }
    parts
}

/// A text without comments, and without what `#[cfg(test)]` stands before.
pub(super) fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        if line.trim() == "#[cfg(test)]" {
            skip_item(&mut lines, line.len() - line.trim_start().len());
            continue;
        }
        kept += line;
        kept.push('\n');
    }
    kept
}

/// Passes over the item that follows: to its `;`, or to the brace that closes it.
fn skip_item<'l>(lines: &mut impl Iterator<Item = &'l str>, indent: usize) {
    let end = format!("{}}}", " ".repeat(indent));
    for line in lines {
        if line.trim_end().ends_with(';') && !line.starts_with(&" ".repeat(indent + 1)) || line == end {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        of(text)
            .iter()
            .map(|u| format!("{}{} as {}", if u.public { "pub " } else { "" }, u.path.join("::"), u.name))
            .collect()
    }

    #[test]
    fn every_form() {
        let text = "use std::fs;\npub(crate) use a::{self, b::{C, d as e}, F};\nuse super::*;\n    use crate::{\n  x::Y,\n  z,\n};\n";
        assert_eq!(
            paths(text),
            [
                "std::fs as fs",
                "pub a as a",
                "pub a::b::C as C",
                "pub a::b::d as e",
                "pub a::F as F",
                "super as *",
                "crate::x::Y as Y",
                "crate::z as z",
            ]
        );
    }

    #[test]
    fn tests_are_left_out() {
        let text = "use a::b;\n#[cfg(test)]\n#[path = \"x_tests.rs\"]\nmod tests;\nuse c::d;\n#[cfg(test)]\nmod more {\n    use e::f;\n}\nuse g::h;\n";
        assert_eq!(paths(&without_tests(text)), ["a::b as b", "c::d as d", "g::h as h"]);
    }
}
