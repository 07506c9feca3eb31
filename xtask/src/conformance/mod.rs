//! `cargo xtask conformance`: cases that say what an agent must report and do, each in a fresh guest.

mod case;
mod judge;
mod one;
mod pattern;
mod tree;

pub(crate) use case::parse_yaml;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use crate::arch::Arch;
use crate::build::{self, Agent};
use crate::tools::{cache, root, say};
use crate::vm::machine::{Hardware, Machine};
use crate::vm::saved::{self, Saved};
use crate::{kernels, packages};
use case::Case;

/// Which cases, on what.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// A folder of cases, or one that has a folder `cases`, or one case [default: e2e/conformance]
    dir: Option<PathBuf>,
    /// Only on this kernel (may be repeated); 6.12-arm64 is one of arm64, which `make test` leaves out
    #[arg(long, value_name = "SERIES")]
    kernel: Vec<String>,
    /// Only this case (may be repeated; `*` stands for anything)
    #[arg(long, value_name = "NAME")]
    case: Vec<String>,
    /// Write the results to a file, too: a list of objects
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many guests run at once [default: the number of CPUs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Use this agent instead of building the repository's; a `tetra` beside it is taken too
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Build and use the agent in release mode
    #[arg(long, conflicts_with = "agent")]
    release: bool,
    /// The seed policies and what names its kernels on every kernel, each other case on one: in turn the oldest
    /// and the newest (what `make test` does)
    #[arg(long)]
    quick: bool,
}

impl Options {
    /// What `make test` runs, and with `long` what `make test-long` runs.
    pub(crate) fn of_the_tests(long: bool) -> Options {
        Options { quick: !long, ..Options::default() }
    }

    /// Whether the case with this number is run on that kernel.
    fn takes(&self, case: &Case, number: usize, kernel: &str) -> bool {
        let everywhere = !self.quick || !case.kernels.is_empty() || case.name.starts_with("seed-");
        case.is_for(kernel) && (everywhere || kernel == IN_TURN[number % IN_TURN.len()])
    }
}

/// The oldest and the newest: of all that decides how hooks are attached and judged, the others have what one of
/// these has.
const IN_TURN: [&str; 2] = [kernels::BED[0], kernels::BED[kernels::BED.len() - 1]];

/// What came of one case on one kernel.
#[derive(Debug)]
struct Row {
    case: String,
    kernel: String,
    backend: String,
    /// Why it failed; empty when it passed.
    reasons: Vec<String>,
    seconds: f64,
}

/// A saved guest of a kernel, or why there is none.
type Prepared = Result<Arc<(Machine, Saved)>, String>;

/// What the workers share.
struct Shared {
    set: String,
    cases: Vec<(PathBuf, Result<Case, String>)>,
    /// By architecture of the kernels.
    agents: BTreeMap<Arch, Agent>,
    queue: Mutex<VecDeque<(String, usize)>>,
    /// By kernel, and whether the agent runs in it. One lock for each, so that one worker boots it while the
    /// others go on with another.
    guests: BTreeMap<(String, bool), Mutex<Option<Prepared>>>,
    logs: PathBuf,
}

/// Runs the cases; gives the exit code.
pub(crate) fn run(options: &Options) -> Result<i32> {
    let dir = options.dir.clone().unwrap_or_else(|| root().join("e2e/conformance"));
    let (set, folders) = folders(&dir)?;
    let cases = chosen(&folders, &options.case)?;
    let kernels: Vec<String> = match options.kernel.as_slice() {
        [] => kernels::BED.iter().map(ToString::to_string).collect(),
        some => some.to_vec(),
    };
    let agents = agents(options, &kernels)?;
    let mut queue = VecDeque::new();
    for kernel in &kernels {
        for (index, (_, case)) in cases.iter().enumerate() {
            if case.as_ref().map_or(true, |c| options.takes(c, index, kernel)) {
                queue.push_back((kernel.clone(), index));
            }
        }
    }
    if queue.is_empty() {
        bail!("none of the cases is for kernel {}", kernels.join(" or "));
    }
    let jobs =
        options.jobs.map_or_else(|| std::thread::available_parallelism().map_or(2, usize::from), usize::from);
    let shared = Shared {
        set,
        guests: kernels
            .iter()
            .flat_map(|k| [true, false].map(|r| ((k.clone(), r), Mutex::new(None))))
            .collect(),
        logs: cache().join("conformance"),
        queue: Mutex::new(queue),
        cases,
        agents,
    };
    say(&format!("what each case did is kept in {}", shared.logs.display()));
    let rows = std::thread::scope(|scope| {
        let (sender, rows) = channel();
        for _ in 0..jobs {
            let sender = sender.clone();
            let shared = &shared;
            scope.spawn(move || work(shared, &sender));
        }
        drop(sender);
        table(&rows, &shared)
    });
    if let Some(file) = &options.json {
        write_json(file, &rows)?;
    }
    let failed = rows.iter().filter(|r| !r.reasons.is_empty()).count();
    println!("{} passed, {failed} failed", rows.len() - failed);
    Ok(i32::from(failed > 0))
}

/// An agent for each architecture.
fn agents(options: &Options, kernels: &[String]) -> Result<BTreeMap<Arch, Agent>> {
    let mut agents = BTreeMap::new();
    for arch in kernels.iter().map(|k| Arch::of_kernel(k).1) {
        if agents.contains_key(&arch) {
            continue;
        }
        packages::install_for(arch)?;
        let agent = match &options.agent {
            Some(path) => build::given_agent(arch, path)?,
            None => build::agent(arch, options.release)
                .with_context(|| format!("building the agent for {}", arch.debian()))?,
        };
        agents.insert(arch, agent);
    }
    Ok(agents)
}

/// The set's name, and the folders of its cases.
fn folders(dir: &Path) -> Result<(String, Vec<PathBuf>)> {
    let dir = dir.canonicalize().with_context(|| format!("there is no folder {}", dir.display()))?;
    let name = |p: &Path| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if dir.join("case.yaml").is_file() {
        return Ok((dir.parent().map_or_else(String::new, name), vec![dir]));
    }
    for parent in [dir.join("cases"), dir.clone()] {
        let mut found: Vec<PathBuf> = std::fs::read_dir(&parent)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.join("case.yaml").is_file())
            .collect();
        if !found.is_empty() {
            found.sort();
            return Ok((name(&dir), found));
        }
    }
    bail!("{} has no cases: right would be a folder with folders that have a case.yaml", dir.display())
}

/// The cases that were asked for. One that cannot be read is a failed case.
fn chosen(folders: &[PathBuf], wanted: &[String]) -> Result<Vec<(PathBuf, Result<Case, String>)>> {
    let name = |p: &PathBuf| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names: Vec<String> = folders.iter().map(name).collect();
    for pattern in wanted {
        if !names.iter().any(|n| is_like(pattern, n)) {
            bail!("there is no case `{pattern}`; there are: {}", names.join(", "));
        }
    }
    Ok(folders
        .iter()
        .zip(&names)
        .filter(|(_, n)| wanted.is_empty() || wanted.iter().any(|p| is_like(p, n)))
        .map(|(folder, _)| (folder.clone(), Case::read(folder).map_err(|e| format!("{e:#}"))))
        .collect())
}

/// Whether a name is as a pattern with `*` says.
fn is_like(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            rest.is_empty() || name.char_indices().any(|(i, _)| is_like(rest, &name[i..]))
        }),
    }
}

fn work(shared: &Shared, rows: &Sender<Row>) {
    loop {
        let next = shared.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((kernel, index)) = next else { return };
        let (folder, case) = &shared.cases[index];
        let begin = std::time::Instant::now();
        let (backend, reasons) = match case {
            Err(wrong) => (String::new(), vec![wrong.clone()]),
            Ok(case) => match prepared(shared, &kernel, case.for_running_agent().is_some()) {
                Err(reason) => (String::new(), vec![reason]),
                Ok(guest) => one::run(shared, &kernel, &guest, case),
            },
        };
        let row = Row {
            case: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            kernel,
            backend,
            reasons,
            seconds: begin.elapsed().as_secs_f64(),
        };
        if rows.send(row).is_err() {
            return;
        }
    }
}

fn prepared(shared: &Shared, kernel: &str, running: bool) -> Prepared {
    let Some(slot) = shared.guests.get(&(kernel.to_owned(), running)) else {
        return Err(format!("kernel {kernel} was not asked for"));
    };
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || -> Result<Arc<(Machine, Saved)>> {
        let machine = Machine::prepare(kernel, &Hardware::default())?;
        let save = if running { saved::with_running_agent } else { saved::with_agent };
        let agent = shared.agents.get(&machine.kernel.arch).context("there is no agent for it")?;
        let saved = save(&machine, agent)?;
        Ok(Arc::new((machine, saved)))
    };
    slot.get_or_insert_with(|| make().map_err(|e| format!("no guest: {e:#}"))).clone()
}

/// Prints each row when it comes.
fn table(rows: &Receiver<Row>, shared: &Shared) -> Vec<Row> {
    let names =
        shared.cases.iter().filter_map(|(f, _)| Some(f.file_name()?.to_string_lossy().chars().count()));
    let width = names.max().unwrap_or(0).max(4);
    println!("{:<width$}  {:<6}  {:<14}  {:>6}  RESULT", "CASE", "KERNEL", "BACKEND", "TIME");
    let mut all = Vec::new();
    while let Ok(row) = rows.recv() {
        let mut line = String::new();
        let backend = if row.backend.is_empty() { "-" } else { &row.backend };
        let _ =
            write!(line, "{:<width$}  {:<6}  {backend:<14}  {:>5.1}s  ", row.case, row.kernel, row.seconds);
        match row.reasons.as_slice() {
            [] => line += "pass",
            [first, rest @ ..] => {
                let _ = write!(line, "FAIL: {first}");
                for reason in rest {
                    let _ = write!(line, "\n{:width$}  and: {reason}", "");
                }
            }
        }
        println!("{line}");
        all.push(row);
    }
    all.sort_by(|a, b| (&a.case, &a.kernel).cmp(&(&b.case, &b.kernel)));
    all
}

fn write_json(file: &Path, rows: &[Row]) -> Result<()> {
    let list: Vec<_> = rows
        .iter()
        .map(|r| {
            json!({"case": r.case, "kernel": r.kernel, "backend": r.backend, "pass": r.reasons.is_empty(),
                   "reason": r.reasons.join("; "), "seconds": (r.seconds * 1000.0).round() / 1000.0})
        })
        .collect();
    let text = serde_json::to_string_pretty(&list)? + "\n";
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_pattern() {
        for (pattern, name, right) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("*b", "abc", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("*", "", true),
        ] {
            assert_eq!(is_like(pattern, name), right, "{pattern} {name}");
        }
    }

    #[test]
    fn every_case_of_the_project_can_be_read() {
        let (_, folders) = folders(&root().join("e2e/conformance")).expect("cases");
        for (folder, case) in chosen(&folders, &[]).expect("all") {
            let case = case.unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
            let says_something = case.load_error
                || !case.warnings.is_empty()
                || case.exit.is_some()
                || !case.expect.is_empty()
                || !case.forbid.is_empty();
            assert!(says_something, "{} cannot fail", folder.display());
        }
    }
}
