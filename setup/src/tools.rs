//! Where things are, and how other programs are run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long is waited for what has no reason to fail: machines may be slow and busy, and only what never comes is to
/// fail.
pub const PATIENCE: Duration = Duration::from_secs(1800);

/// The repository's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// What is downloaded and saved between runs; git ignores it.
pub fn cache() -> PathBuf {
    root().join(".cache")
}

/// A command with its arguments.
pub fn command<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// This program with other arguments.
pub fn itself<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Result<Command> {
    Ok(command(std::env::current_exe().context("this program's own path is not known")?, args))
}

/// Runs a command with this terminal as its output; fails unless it succeeds.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", describe(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", describe(command));
    }
    Ok(())
}

/// Runs a command and gives its standard output; fails unless it succeeds.
pub fn output(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("cannot start {}", describe(command)))?;
    if !status.success() {
        bail!("{} failed ({status}): {}", describe(command), String::from_utf8_lossy(&stderr).trim());
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// Runs a command and gives what it wrote to both outputs, however it ended.
pub fn output_of_both(command: &mut Command) -> Result<String> {
    let Output { stdout, stderr, .. } =
        command.output().with_context(|| format!("cannot start {}", describe(command)))?;
    Ok([stdout, stderr].map(|s| String::from_utf8_lossy(&s).into_owned()).concat())
}

/// The command line, as one would type it.
pub fn describe(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    words.join(" ")
}

/// Where a program is, if it is in the search path.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|folder| folder.join(program)).find(|p| p.is_file())
}

/// Whether this program is root.
#[must_use]
pub fn is_root() -> bool {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Says what is being done, on standard error: standard output belongs to results.
pub fn say(what: &str) {
    use std::io::IsTerminal;
    if std::io::stderr().is_terminal() {
        // A line of progress that somebody has drawn, or `^C`, may stand here.
        eprintln!("\r\x1b[K\x1b[1;32m==>\x1b[0m {what}");
    } else {
        eprintln!("==> {what}");
    }
}
