//! Long work that shows that it moves: on a terminal in one line that is rewritten, elsewhere in a line every
//! 15 seconds, with what is done, how much of it, and the time that it has taken.
//!
//! What a program writes goes to a file of `target/logs/`, never to a pipe: a package manager must go on when the
//! program that started it ends.

use std::fs::{self, File};
use std::io::{IsTerminal, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::tools::{describe, root};

/// Between two lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(15);
/// How much of the end of a log is looked at.
const END: u64 = 4096;
/// How many lines of a log are shown when its program fails.
const SHOWN: usize = 60;

/// How to read from a program's output how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// cargo's `Building [==> ] 131/245: name`.
    Cargo,
    /// go's `-v`: a line for each of so many packages.
    Go(usize),
    /// apt's `Get:3 ... [1,234 kB]` and `Unpacking name`.
    Apt,
    /// Only the time.
    Nothing,
}

/// Runs a command to its end and shows that it moves; fails unless it succeeds, with what it said.
///
/// On a terminal cargo shows its own progress.
pub fn run(what: &str, command: &mut Command, counting: Counting) -> Result<()> {
    if counting == Counting::Cargo && std::io::stderr().is_terminal() {
        return crate::tools::run(command);
    }
    let log = log_file(what);
    let mut child = start(command, counting, &log)?;
    let status = watch(what, &mut child, counting, &log)?;
    if status.success() {
        return Ok(());
    }
    eprintln!("{}", last_words(&log, counting));
    bail!("{} failed ({status}); its output is in {}", describe(command), log.display())
}

/// Where the output of some work goes: `target/logs/building-the-agent.log`.
#[must_use]
pub fn log_file(what: &str) -> PathBuf {
    let name: String =
        what.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    root().join("target/logs").join(format!("{}.log", name.trim_matches('-').to_lowercase()))
}

fn start(command: &mut Command, counting: Counting, log: &Path) -> Result<Child> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = File::create(log).with_context(|| format!("writing {}", log.display()))?;
    if counting == Counting::Cargo {
        command.env("CARGO_TERM_PROGRESS_WHEN", "always").env("CARGO_TERM_PROGRESS_WIDTH", "100");
        command.env("CARGO_TERM_COLOR", "never");
    }
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    command.spawn().with_context(|| format!("cannot start {}", describe(command)))
}

/// Waits for a program and shows meanwhile how far it is.
fn watch(what: &str, child: &mut Child, counting: Counting, log: &Path) -> Result<ExitStatus> {
    let mut ticker = Ticker::new(what);
    loop {
        if let Some(status) = child.try_wait()? {
            ticker.end();
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(100));
        ticker.tick(|| far(counting, log));
    }
}

/// Shows some work of this program as moving until it is dropped.
#[derive(Debug)]
pub struct Ticker {
    what: String,
    begin: Instant,
    shown: Instant,
    terminal: bool,
    drawn: bool,
}

impl Ticker {
    /// Of work that begins now.
    #[must_use]
    pub fn new(what: &str) -> Ticker {
        let now = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        Ticker { what: what.to_owned(), begin: now, shown: now, terminal, drawn: false }
    }

    /// Shows how far the work is, when it is time for that.
    pub fn tick(&mut self, far: impl FnOnce() -> String) {
        let pause = if self.terminal { Duration::from_secs(1) } else { PAUSE };
        if self.shown.elapsed() < pause {
            return;
        }
        self.shown = Instant::now();
        let far = far();
        let far = if far.is_empty() { String::new() } else { format!(", {far}") };
        let line = format!("    {}: {}{far}", self.what, duration(self.begin.elapsed()));
        if self.terminal {
            let width = 100.min(line.chars().count());
            eprint!("\r\x1b[K{}", line.chars().take(width).collect::<String>());
            self.drawn = true;
        } else {
            eprintln!("{line}");
        }
    }

    /// Removes what was drawn.
    pub fn end(&mut self) {
        if self.drawn {
            eprint!("\r\x1b[K");
            self.drawn = false;
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.end();
    }
}

/// A time as a person says it: `45 s`, `2 min 5 s`.
#[must_use]
pub fn duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// How far a program is, by the end of what it has said.
fn far(counting: Counting, log: &Path) -> String {
    match counting {
        Counting::Nothing => String::new(),
        Counting::Go(of) => {
            let lines = fs::read_to_string(log).unwrap_or_default();
            let built = lines.lines().filter(|l| l.contains('/') && !l.contains(' ')).count();
            format!("{} of {of} packages", built.min(of))
        }
        Counting::Cargo => cargo(&end_of(log)),
        Counting::Apt => apt(&end_of(log)),
    }
}

fn end_of(log: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(END)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// `131 of 245 crates, now kube-client` of cargo's progress; what it downloads before.
fn cargo(end: &str) -> String {
    let pieces = || end.rsplit(['\r', '\n']).map(str::trim);
    let building = pieces().find_map(|p| p.strip_prefix("Building [")?.split_once("] "));
    if let Some((_, state)) = building {
        let (count, names) = state.split_once(": ").unwrap_or((state, ""));
        let now = names.split(',').next().unwrap_or_default().trim();
        let now = if now.is_empty() { String::new() } else { format!(", now {now}") };
        return format!("{} crates{now}", count.trim().replace('/', " of "));
    }
    pieces().find(|p| p.starts_with("Download") || p.starts_with("Updating")).unwrap_or_default().to_owned()
}

/// The package that is being fetched, with its size, or unpacked.
fn apt(end: &str) -> String {
    let lines = || end.rsplit(['\r', '\n']).map(str::trim);
    let line = lines().find(|l| ["Get:", "Unpacking ", "Setting up "].iter().any(|w| l.starts_with(w)));
    let Some(line) = line else { return String::new() };
    let words: Vec<_> = line.split_whitespace().collect();
    match line.split_once(" [") {
        // Get:3 URL SUITE ARCH NAME ARCH VERSION [SIZE]
        Some((_, size)) if line.starts_with("Get:") => {
            let name = words.iter().rev().nth(size.split_whitespace().count() + 2).unwrap_or(&"");
            format!("downloading {name} ({})", size.trim_end_matches(']'))
        }
        _ => words
            .iter()
            .take(if words[0] == "Setting" { 3 } else { 2 })
            .copied()
            .collect::<Vec<_>>()
            .join(" "),
    }
}

/// What a person must see of a failed program: for cargo all but its progress, else the end.
fn last_words(log: &Path, counting: Counting) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let progress = |line: &str| {
        let word = line.split_whitespace().next().unwrap_or_default();
        let words = ["Compiling", "Building", "Downloaded", "Downloading", "Locking", "Updating", "Blocking"];
        counting == Counting::Cargo && words.contains(&word)
    };
    let lines: Vec<_> =
        text.split(['\r', '\n']).map(str::trim_end).filter(|l| !l.is_empty() && !progress(l)).collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_says_how_far_it_is() {
        let end = "   Compiling a v1.0.0\n    Building [=>      ] 131/245: kube-client, b(bin)\r";
        assert_eq!(cargo(end), "131 of 245 crates, now kube-client");
        assert_eq!(
            cargo("  Downloaded 245 crates (23.1MiB) in 3.2s\n"),
            "Downloaded 245 crates (23.1MiB) in 3.2s"
        );
        assert_eq!(cargo(""), "");
    }

    #[test]
    fn apt_says_what_it_does() {
        let get = "Get:3 http://mirror/debian bookworm/main amd64 busybox-static amd64 1:1.35.0-4 [855 kB]\n";
        assert_eq!(apt(get), "downloading busybox-static (855 kB)");
        assert_eq!(apt(&format!("{get}Unpacking zstd (1.5.4) ...\n")), "Unpacking zstd");
        assert_eq!(apt("Setting up zstd (1.5.4) ...\n"), "Setting up zstd");
        assert_eq!(apt("Reading package lists...\n"), "");
    }

    #[test]
    fn times_are_said_in_minutes() {
        assert_eq!(duration(Duration::from_secs(59)), "59 s");
        assert_eq!(duration(Duration::from_secs(125)), "2 min 5 s");
    }

    #[test]
    fn a_failure_shows_what_was_said() {
        let mut fails = Command::new("sh");
        fails.args(["-c", "echo all is lost >&2; exit 3"]);
        let error =
            run("a test that fails", &mut fails, Counting::Nothing).expect_err("it fails").to_string();
        assert!(error.contains("exit status: 3") && error.contains("a-test-that-fails.log"), "{error}");
        let log = log_file("a test that fails");
        assert_eq!(last_words(&log, Counting::Nothing), "all is lost");
    }
}
