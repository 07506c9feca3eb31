//! `cargo xtask tidy`: what the structure of the code and the docs promise, read from their text.
//!
//! - No circle of files in a crate, and no import upwards between its rooms ([`imports`]).
//! - No crate uses one that its row in `docs/architecture.md` does not name ([`crates`]).
//! - No path of somebody's machine is in the tree ([`machine`]).
//! - Links of the docs lead somewhere, and what the docs name exists ([`links`], [`names`]).

mod crates;
mod imports;
mod links;
mod machine;
mod names;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::build;
use crate::progress::{self, Counting};
use crate::tools::{command, output, root};

/// Something that is not as it should be, and where: `docs/node.md:12: ...`.
type Finding = String;

/// A check: what it looks for, and how.
type Check = (&'static str, fn(&Tree) -> Result<Vec<Finding>>);

const CHECKS: &[Check] = &[
    ("circles and imports upwards", imports::check),
    ("crates beyond their row", crates::check),
    ("paths of a machine", machine::check),
    ("links of the docs that lead nowhere", links::check),
    ("names in the docs of what does not exist", names::check),
];

/// The files that git knows.
struct Tree {
    files: Vec<PathBuf>,
}

impl Tree {
    fn read() -> Result<Tree> {
        let list = output(
            command("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
                .current_dir(root()),
        )?;
        let files = list.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
        // A file that was deleted and not yet committed is in the list, too.
        Ok(Tree { files: files.filter(|f| root().join(f).is_file()).collect() })
    }

    /// The files with this ending, with their text.
    fn with_ending(&self, ending: &str) -> Result<Vec<(&Path, String)>> {
        let files = self.files.iter().filter(|f| f.extension().is_some_and(|e| e == ending));
        files.map(|f| Ok((f.as_path(), text(f)?))).collect()
    }

    /// README, CONTRIBUTING and the pages of docs/.
    fn pages(&self) -> Result<Vec<(&Path, String)>> {
        let all = self.with_ending("md")?;
        Ok(all
            .into_iter()
            .filter(|(f, _)| f.parent().is_some_and(|p| p == Path::new("") || p == Path::new("docs")))
            .collect())
    }
}

fn text(file: &Path) -> Result<String> {
    fs::read_to_string(root().join(file)).with_context(|| format!("reading {}", file.display()))
}

/// Runs all checks; gives the exit code.
pub(crate) fn run() -> Result<i32> {
    // Their `--help` is looked into.
    progress::run("building the programs", &mut build::workspace(["build", "--bins"]), Counting::Cargo)?;
    let tree = Tree::read()?;
    let mut all = 0;
    for (what, check) in CHECKS {
        let findings = check(&tree).with_context(|| format!("looking for {what}"))?;
        println!("{what}: {}", if findings.is_empty() { "none".into() } else { findings.len().to_string() });
        findings.iter().for_each(|finding| println!("  {finding}"));
        all += findings.len();
    }
    Ok(i32::from(all > 0))
}
