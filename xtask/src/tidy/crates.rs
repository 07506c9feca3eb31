//! The table of crates in `docs/architecture.md`: a crate uses no other one of the workspace that its row does not
//! name.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{Finding, Tree};
use crate::tools::{command, output, root};

const PAGE: &str = "docs/architecture.md";
/// A row that allows every crate.
const ALL: &str = "everything";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or none.
    kind: Option<String>,
    /// Where it lies, if it is of the workspace.
    path: Option<String>,
}

pub(super) fn check(_: &Tree) -> Result<Vec<Finding>> {
    let page = super::text(Path::new(PAGE))?;
    let rows = rows(&page);
    let mut findings = Vec::new();
    for package in packages()? {
        let folder = folder_of(&package.manifest_path);
        let Some(row) = rows.get(&folder) else {
            findings.push(format!("{PAGE}: the crate in `{folder}/` has no row"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| d.kind.as_deref() != Some("dev")) {
            let Some(path) = &dependency.path else { continue };
            let path = folder_of(&format!("{path}/Cargo.toml"));
            let names = [path.as_str(), &dependency.name];
            if !row.contains(ALL) && !names.iter().any(|name| row.contains(&format!("`{name}`"))) {
                findings.push(format!(
                    "{folder}/Cargo.toml: `{}` uses `{path}`, and its row in {PAGE} allows: {row}",
                    package.name
                ));
            }
        }
    }
    Ok(findings)
}

/// By folder, the last column of its row: `| folder | crate | purpose | may depend on |`.
fn rows(page: &str) -> BTreeMap<String, &str> {
    let mut rows = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        if let [folder, _, _, allowed] = cells.as_slice()
            && let Some(folder) =
                folder.strip_prefix('`').and_then(|f| f.strip_suffix("/`")).filter(|f| !f.contains('`'))
        {
            rows.insert(folder.to_owned(), *allowed);
        }
    }
    rows
}

fn packages() -> Result<Vec<Package>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let words = ["metadata", "--no-deps", "--format-version=1", "--offline"];
    let text = output(command(cargo, words).current_dir(root()))?;
    let metadata: Metadata = serde_json::from_str(&text).context("what `cargo metadata` says")?;
    Ok(metadata.packages)
}

/// `node-ebpf/objects` of the manifest in it.
fn folder_of(manifest: &str) -> String {
    let folder = Path::new(manifest).parent().unwrap_or(Path::new(""));
    folder.strip_prefix(root()).unwrap_or(folder).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_folders() {
        let page = "| folder | crate | what | may |\n| --- | --- | --- | --- |\n| `a/b/` | `ab` | x | `c`, serde |\n| `d/`, `e/` | | y | |\n";
        assert_eq!(rows(page), [("a/b".to_owned(), "`c`, serde")].into());
    }
}
