//! Paths of somebody's machine: the repository's place, the home folder, and home folders of others.

use std::path::PathBuf;
use std::sync::LazyLock;

use anyhow::Result;
use regex::Regex;

use super::{Finding, Tree};
use crate::tools::root;

/// A home folder, but for the one that examples use.
static HOME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"/(?:home|Users)/([a-z][a-z0-9_-]*)/").expect("a valid expression"));
const EXAMPLE: &str = "me";

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let own: Vec<String> = [Some(root()), std::env::home_dir()]
        .into_iter()
        .flatten()
        // `/root` and `/src` are words of policies and containers, too.
        .filter(|folder: &PathBuf| folder.components().count() > 2)
        .map(|folder| folder.display().to_string())
        .collect();
    let mut findings = Vec::new();
    for file in &tree.files {
        // What is no text holds no path that somebody wrote.
        let Ok(text) = super::text(file) else { continue };
        for (number, line) in text.lines().enumerate() {
            let own = own.iter().find(|folder| line.contains(folder.as_str()));
            let other = HOME.captures(line).filter(|found| &found[1] != EXAMPLE);
            let found = own.cloned().or_else(|| Some(other?[0].to_owned()));
            findings.extend(
                found.map(|path| format!("{}:{}: {path} is a path of a machine", file.display(), number + 1)),
            );
        }
    }
    Ok(findings)
}
