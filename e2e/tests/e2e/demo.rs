//! The demo shows what its transcript says: the README's picture is made of that.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use setup::tools::{output_of_both, root};

/// The kernel that the demo starts when none is named.
pub(crate) const KERNEL: &str = "6.12";
const TRANSCRIPT: &str = "docs/demo.transcript";

/// Runs the demo of the agent alone and compares what it shows with the transcript, line by line.
pub(crate) fn transcript(xtask: &Path) -> Result<String> {
    let mut demo = Command::new(xtask);
    demo.args(["demo", "alone", "--color", "never"]).stdin(Stdio::null());
    let out = demo.output().with_context(|| format!("cannot run {demo:?}"))?;
    let shown = String::from_utf8_lossy(&out.stdout);
    ensure!(
        out.status.success(),
        "{demo:?}: {}:\n{shown}{}",
        out.status,
        String::from_utf8_lossy(&out.stderr)
    );
    let transcript =
        fs::read_to_string(root().join(TRANSCRIPT)).with_context(|| format!("reading {TRANSCRIPT}"))?;
    let (expected, shown) = (comparable(&transcript), comparable(&shown));
    if expected != shown {
        bail!(
            "the demo does not show what {TRANSCRIPT} says:\n{}\nIf the new lines are right: `cargo xtask demo alone \
             --color always --transcript {TRANSCRIPT}`, then `cargo xtask picture`, and look at the picture.",
            difference(&expected, &shown)?
        );
    }
    Ok(format!("{} lines are those of {TRANSCRIPT}", shown.lines().count()))
}

/// What is the same in every run, with colours and without.
///
/// Nothing that is shown differs from run to run: no time, no number of a process, no kernel's release. So nothing is
/// masked but the spaces at the end of a line: `tetra` fills lines up to a column, and counts escapes.
fn comparable(shown: &str) -> String {
    shown.lines().map(|line| format!("{}\n", plain(line).trim_end())).collect()
}

/// A line without ANSI's escapes for colours and styles.
fn plain(line: &str) -> String {
    let mut pieces = line.split("\x1b[");
    let first = pieces.next().unwrap_or_default();
    let others = pieces.map(|piece| piece.split_once('m').map_or(piece, |(_, text)| text));
    std::iter::once(first).chain(others).collect()
}

/// What `diff` says. It has read these files, which stay.
fn difference(expected: &str, shown: &str) -> Result<String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (old, new) = (folder.join("demo.expected"), folder.join("demo.shown"));
    fs::write(&old, expected)?;
    fs::write(&new, shown)?;
    output_of_both(
        Command::new("diff").args(["-U2", "--label", TRANSCRIPT, "--label", "this run"]).args([old, new]),
    )
}
