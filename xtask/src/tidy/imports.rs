//! Imports within a crate: no circle of files, and none upwards between its rooms.
//!
//! A room is a folder or a file beside the crate's first page (`lib.rs`, else `main.rs`). A crate with several folders
//! lists them there, from top to bottom, in lines such as ``//! - `events/` `api/`: what they are for``, and the files
//! that have a place among them. A room imports only what stands in its own line or below it.

mod source;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::Result;
use regex::Regex;

use self::source::{Crate, Imports};
use super::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for one in source::crates(tree)? {
        let imports = one.imports();
        findings.extend(circles(&imports).iter().map(|files| circle(files)));
        findings.extend(upwards(&one, &imports));
    }
    Ok(findings)
}

fn circle(files: &[PathBuf]) -> Finding {
    let names: Vec<_> = files.iter().map(|f| f.display().to_string()).collect();
    format!("{}: imports itself by way of {}", names[0], names[1..].join(", "))
}

/// A shortest circle for each file that is in one and in none that was found before.
fn circles(imports: &Imports) -> Vec<Vec<PathBuf>> {
    let mut found: Vec<Vec<PathBuf>> = Vec::new();
    for file in imports.keys() {
        if found.iter().flatten().any(|f| f == file) {
            continue;
        }
        found.extend(way_back(imports, file));
    }
    found
}

/// The files of the shortest way from a file to itself.
fn way_back(imports: &Imports, start: &Path) -> Option<Vec<PathBuf>> {
    let mut ways = vec![vec![start.to_path_buf()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in way.last().and_then(|last| imports.get(last)).into_iter().flatten() {
                if next == start {
                    return Some(way);
                }
                if seen.insert(next.clone()) {
                    longer.push([way.as_slice(), std::slice::from_ref(next)].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

fn upwards(one: &Crate, imports: &Imports) -> Vec<Finding> {
    let floors = floors(&one.page);
    let folders = one.folders();
    let missing = folders.iter().filter(|folder| folders.len() > 1 && !floors.contains_key(*folder));
    let mut findings: Vec<Finding> = missing
        .map(|folder| format!("{}: has no line for the folder `{folder}/`", one.first.display()))
        .collect();
    // The first page is above all rooms.
    let floor = |file: &Path| one.room(file).map_or(Some(0), |room| floors.get(&room).map(|line| line + 1));
    for (file, targets) in imports {
        let above = |target: &Path| floor(target).zip(floor(file)).is_some_and(|(to, from)| to < from);
        for target in targets.iter().filter(|target| above(target)) {
            findings.push(format!("{}: imports {}, which stands above it", file.display(), target.display()));
        }
    }
    findings
}

/// Each room's line in a first page, counted from the top.
fn floors(page: &str) -> BTreeMap<String, usize> {
    static LINE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?m)^//! - ((?:`[a-z_/.]+`[ ,]*)+): ").expect("a valid expression"));
    let mut floors = BTreeMap::new();
    for (number, line) in LINE.captures_iter(page).enumerate() {
        for name in line[1].split(['`', ' ', ',']).filter(|name| !name.is_empty()) {
            floors.insert(name.trim_end_matches('/').trim_end_matches(".rs").to_owned(), number);
        }
    }
    floors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(arrows: &[(&str, &str)]) -> Imports {
        let mut imports = Imports::new();
        for (from, to) in arrows {
            imports.entry(from.into()).or_default().insert(to.into());
        }
        imports
    }

    #[test]
    fn circles_are_found_once() {
        let found = circles(&imports(&[("a", "b"), ("b", "c"), ("c", "a"), ("b", "a"), ("d", "a")]));
        assert_eq!(
            found,
            [["a", "b"].map(PathBuf::from).to_vec(), ["c", "a", "b"].map(PathBuf::from).to_vec()]
        );
        assert!(circles(&imports(&[("a", "b"), ("a", "c"), ("b", "c")])).is_empty());
    }

    #[test]
    fn rooms_are_lines_of_the_first_page() {
        let page = "//! A crate.\n//!\n//! - `main` `run.rs`: start\n//! - `events/`, `api/`: more\n//! - other: text\n";
        let floors = floors(page);
        assert_eq!(floors.get("run"), Some(&0));
        assert_eq!(floors.get("api"), floors.get("events"));
        assert_eq!(floors.len(), 4);
    }
}
