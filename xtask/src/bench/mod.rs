//! `cargo xtask bench`: what the agent costs, as ratios to the same without it.

mod agent;
mod bed;
mod cluster;
mod measure;
mod place;
mod pods;
mod policies;
mod rows;
mod workloads;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::arch::Arch;
use crate::build::{self, Agent, TARGET};
use crate::kernels;
use crate::tools::{output, root, run as run_command, say};
use crate::vm::guest::{Guest, Origin};
use crate::vm::machine::{Console, Hardware, Machine};
use agent::{Installed, Kind};
use measure::{Baselines, Effort, Measuring};
use place::Place;
use rows::{Row, is_like};

/// What is measured, and where.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: Option<What>,
    /// On this kernel, in a guest (may be repeated) [default: 6.12; with --wall: this machine]
    #[arg(long, value_name = "SERIES")]
    kernel: Vec<String>,
    /// Only these rows (may be repeated; `*` stands for anything)
    #[arg(long, value_name = "GLOB")]
    rows: Vec<String>,
    /// Write the raw rows to a file, too: a list of objects
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure time instead of guest instructions: on this machine itself (as root), or with --kernel in a
    /// guest
    #[arg(long)]
    wall: bool,
    /// Run the same rows with a real Tetragon beside ours: a folder with tetragon, tetra and bpf/*.o
    #[arg(long, value_name = "DIR")]
    tetragon: Option<PathBuf>,
    /// Use this agent instead of building the repository's in release mode
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// What else can be measured.
#[derive(Debug, Subcommand)]
enum What {
    /// The control plane: a real API server, the operator, thousands of simulated nodes
    Cluster(cluster::Options),
    /// The agent with a thousand pods: a real API server, real processes in cgroups of their own
    Pods(pods::Options),
}

/// The rows of one kernel, with the choice of which are wanted.
pub(crate) struct Rows {
    kernel: String,
    patterns: Vec<String>,
    all: Vec<Row>,
}

impl Rows {
    fn new(kernel: &str, patterns: &[String]) -> Rows {
        Rows { kernel: kernel.to_owned(), patterns: patterns.to_vec(), all: Vec::new() }
    }

    /// Whether a row is among those that were asked for, or one of a family of rows of that name is.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let family = format!("{name}/");
        self.patterns.is_empty()
            || self.patterns.iter().any(|p| is_in(p, name) || p.starts_with(&family) || is_like(p, &family))
    }

    /// Adds a row; one that only others need is kept, but not shown.
    pub(crate) fn push(
        &mut self,
        name: &str,
        agent: &'static str,
        value: Result<f64, String>,
        unit: &'static str,
        baseline: Option<f64>,
    ) {
        self.push_row(Row { name: name.to_owned(), agent, kernel: String::new(), value, unit, baseline });
    }

    fn push_row(&mut self, row: Row) {
        if let Ok(value) = row.value {
            say(&format!("{}: {} {}", row.name, rows::number(value), row.unit));
        }
        self.all.push(Row { kernel: self.kernel.clone(), ..row });
    }

    /// Says of all these rows that have no value yet why.
    fn fail(&mut self, names: &[&str], agent: &'static str, unit: &'static str, reason: &str) {
        say(&format!("{agent}: {reason}"));
        for name in names {
            let there = self.all.iter().any(|r| r.name == *name && r.agent == agent);
            if !there && self.wants(name) && !name.starts_with("flat/") {
                self.push(name, agent, Err(reason.to_owned()), unit, None);
            }
        }
    }

    /// How much a row's value is above its baseline.
    fn added(&self, name: &str, agent: &str) -> Option<f64> {
        let row = self.all.iter().find(|r| r.name == name && r.agent == agent)?;
        Some(*row.value.as_ref().ok()? - row.baseline?)
    }

    fn wanted(self) -> Vec<Row> {
        let chosen = |name: &str| self.patterns.is_empty() || self.patterns.iter().any(|p| is_in(p, name));
        self.all.iter().filter(|r| chosen(&r.name)).cloned().collect()
    }
}

/// Whether a pattern is of a row, or of a family of which it is one.
fn is_in(pattern: &str, name: &str) -> bool {
    is_like(pattern, name) || is_like(&format!("{pattern}/*"), name)
}

/// What is put at every place.
struct Programs {
    agent: Agent,
    bench: PathBuf,
    /// A program that does nothing.
    quiet: PathBuf,
}

/// The first parts of the names of rows.
const FAMILIES: &[&str] = &[
    "agent",
    "appear",
    "denied",
    "exec",
    "flat",
    "flood",
    "json",
    "memory",
    "open",
    "program",
    "rss",
    "workloads",
];

/// A choice that no row can be in is a mistake, better told before building and booting.
fn check_choice(patterns: &[String]) -> Result<()> {
    let can =
        |p: &&String| p.starts_with('*') || FAMILIES.iter().any(|f| p.split(['/', '*']).next() == Some(f));
    match patterns.iter().find(|p| !can(p)) {
        None => Ok(()),
        Some(wrong) => bail!(
            "--rows {wrong}: no row is called so; right would be a name such as open/monitor-misses or a \
             pattern such as 'open/*', with one of {}",
            FAMILIES.join(", ")
        ),
    }
}

/// Measures; gives the exit code.
pub(crate) fn run(options: &Options) -> Result<i32> {
    match &options.what {
        Some(What::Cluster(options)) => return cluster::run_all(options),
        Some(What::Pods(options)) => return pods::run_all(options),
        None => {}
    }
    check_choice(&options.rows)?;
    if let Some(folder) = &options.tetragon {
        agent::tetragon_files(folder)?;
    }
    let programs = programs(options)?;
    let here = options.wall && options.kernel.is_empty();
    let mut all = Vec::new();
    if here {
        let release = output(&mut crate::tools::command("uname", ["-r"]))?;
        let mut rows = Rows::new(release.trim(), &options.rows);
        this_machine(options, &programs, &mut rows)?;
        show(options, release.trim(), rows, &mut all);
    }
    let default = ["6.12".to_owned()];
    let kernels = if options.kernel.is_empty() { &default[..] } else { &options.kernel[..] };
    for kernel in kernels.iter().filter(|_| !here) {
        let mut rows = Rows::new(kernel, &options.rows);
        Arch::of_kernel(kernel).1.must_be_own("benchmarks", kernel)?;
        let release = kernels::get(kernel)?.release;
        in_guests(options, &programs, kernel, &mut rows)?;
        show(options, &release, rows, &mut all);
    }
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&rows::to_json(&all))? + "\n";
        std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    if all.is_empty() {
        bail!("no row is like {}", options.rows.join(" or "));
    }
    let ours = |r: &&Row| r.agent != Kind::Tetragon.name();
    Ok(i32::from(all.iter().filter(ours).any(|r| r.value.is_err())))
}

fn programs(options: &Options) -> Result<Programs> {
    let agent = match &options.agent {
        Some(path) => build::given_agent(Arch::Amd64, path)?,
        None => build::agent(Arch::Amd64, true).context("building the agent in release mode")?,
    };
    let (_, quiet) = build::guest_programs(Arch::Amd64)?;
    let words = ["build", "--quiet", "--package", "tetragon-guest", "--bin", "bench", "--profile", "guest"];
    run_command(build::cargo(words).args(["--target", TARGET]))?;
    let bench = root().join("target").join(TARGET).join("guest/bench");
    Ok(Programs { agent, bench, quiet })
}

/// The agents to measure at a place.
fn installed<'a>(options: &Options, programs: &Programs, place: &'a Place) -> Result<Vec<Installed<'a>>> {
    let mut agents = vec![Installed::ours(place, &programs.agent)?];
    if let Some(folder) = &options.tetragon {
        agents.push(Installed::tetragon(place, folder)?);
    }
    Ok(agents)
}

/// All rows but those of denied calls: one place, one after the other.
fn costs(
    options: &Options,
    programs: &Programs,
    place: &Place,
    effort: Effort,
    rows: &mut Rows,
) -> Result<()> {
    measure::prepare(place, &programs.bench, &programs.quiet)?;
    let agents = installed(options, programs, place)?;
    for agent in &agents {
        measure::warm_up(place, agent);
    }
    let needed = rows.patterns.is_empty()
        || rows
            .patterns
            .iter()
            .any(|p| ["open", "exec", "flat"].iter().any(|g| p.starts_with(g)) || p.starts_with('*'));
    let none = if needed { measure::baselines(place, effort, rows)? } else { Baselines::new() };
    for agent in &agents {
        Measuring::new(place, agent, effort, &none, rows).all();
    }
    Ok(())
}

fn this_machine(options: &Options, programs: &Programs, rows: &mut Rows) -> Result<()> {
    let place = Place::here()?;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    say(&format!(
        "the machine's load is {}: the less, the better",
        load.split(' ').next().unwrap_or("unknown")
    ));
    costs(options, programs, &place, Effort::TIMED, rows)?;
    denied(options, programs, &place, rows, "stock");
    Ok(())
}

fn in_guests(options: &Options, programs: &Programs, kernel: &str, rows: &mut Rows) -> Result<()> {
    // Tetragon's own files take 300 MB.
    let mem = if options.tetragon.is_some() { 3072 } else { 1024 };
    let others = |p: &String| !p.starts_with("denied") && !p.starts_with("workloads");
    // Guests that are measured have the same addresses at each boot.
    let hardware = Hardware { mem, smp: 2, append: "nokaslr".into(), icount: !options.wall };
    let effort = if options.wall { Effort::TIMED } else { Effort::COUNTED };
    if rows.patterns.is_empty() || rows.patterns.iter().any(others) {
        costs(options, programs, &boot(kernel, &hardware)?, effort, rows)?;
    }
    if rows.wants("workloads") {
        let drive = workloads::build()?;
        workloads::measure(&boot(kernel, &hardware)?, &drive, effort, rows);
    }
    for (kind, append) in [("stock", ""), ("preempt-full", "preempt=full")] {
        let names = [format!("denied/{kind}"), format!("denied/{kind}-refused")];
        // The choice came with 5.12.
        let can = append.is_empty() || kernel != "5.10";
        if can && names.iter().any(|n| rows.wants(n)) {
            let hardware = Hardware { mem, smp: 2, append: append.into(), icount: false };
            let place = boot(kernel, &hardware)?;
            measure::prepare(&place, &programs.bench, &programs.quiet)?;
            denied(options, programs, &place, rows, kind);
        }
    }
    Ok(())
}

fn denied(options: &Options, programs: &Programs, place: &Place, rows: &mut Rows, kind: &str) {
    let names = [format!("denied/{kind}"), format!("denied/{kind}-refused")];
    let names = [names[0].as_str(), names[1].as_str()];
    if !names.iter().any(|n| rows.wants(n)) {
        return;
    }
    let agents = match installed(options, programs, place) {
        Ok(agents) => agents,
        Err(error) => return rows.fail(&names, Kind::Ours.name(), "of 36,000", &format!("{error:#}")),
    };
    for agent in &agents {
        say(&format!("{}: denied calls, {kind}", agent.kind.name()));
        if let Err(error) = measure::denied(place, agent, rows, kind) {
            rows.fail(&names, agent.kind.name(), "of 36,000", &format!("{error:#}"));
        }
    }
}

fn boot(kernel: &str, hardware: &Hardware) -> Result<Place> {
    let machine = Machine::prepare(kernel, hardware)?;
    say(&format!("booting {}", machine.kernel.release));
    Ok(Place::guest(Guest::start(&machine, &Origin::Boot(None), Console::File)?))
}

/// How the numbers came about.
fn method(options: &Options) -> String {
    let how = if !options.wall {
        "One guest with one CPU under `-icount shift=0,sleep=off`: a guest nanosecond is one instruction, \
         whatever else the host does. Addresses are not random."
    } else if options.kernel.is_empty() {
        "Wall time on this machine."
    } else {
        "Wall time in a guest: with KVM that of this machine; emulated, only the ratios mean something."
    };
    let Effort { wall, opens, execs, repeats } = if options.wall { Effort::TIMED } else { Effort::COUNTED };
    let which = if wall { "the shortest" } else { "median" };
    let time =
        if wall { "wall time" } else { "CPU time of the caller and its children (the agent's is not in it)" };
    format!(
        "{how}
  open, exec  {which} of {repeats} rounds of {opens} open+close (tmpfs, four components) or {execs} fork+exec+exit of a
              static program: {time}, an operation
              misses, matches: of the policies' paths; listed: the caller is in a policy's matchBinaries
              unread: while the agent is stopped: what the programs cost without waking and running it
              watched: a file on the file system of the policies' folder, which the agent watches
  flat        what N policies add to an open, by what one adds
  program     mean of one run, by the kernel's BPF statistics (which cost time themselves)
  agent       CPU time of the agent's process
  flood       10,000 matching opens as fast as they go; counted: what the agent knows to have lost
  memory      (1,000 policies of 18 values - 100 of them) / 900: memlock of the maps; slab + vmalloc + per-CPU
  appear      from the rename of a policy's file into the watched folder to the first refused open; first: of
              its shape
  workloads   1,000 policies, each for one of 1,000 workloads, beside one such policy: what is added to an open
              and close by a caller on the host, in a container of no policy (none), of one (one); memory of
              a policy and of a cgroup; known: from a container's being told to the kernel's knowing it
  denied      3 rounds of six busy processes on two CPUs (in time): three open what a policy denies, 4,000
              times each; how many got through; refused: opens of the three others that were refused
"
    )
}

fn show(options: &Options, release: &str, rows: Rows, all: &mut Vec<Row>) {
    let rows = rows.wanted();
    println!("\nKernel {release}. {}", method(options));
    println!("{}", rows::table(&rows, Kind::Tetragon.name()));
    all.extend(rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_pattern_and_family() {
        let rows = |patterns: &[&str]| {
            Rows::new("6.12", &patterns.iter().map(|&p| p.to_owned()).collect::<Vec<_>>())
        };
        assert!(rows(&[]).wants("open/base"));
        assert!(rows(&["open/*"]).wants("open/base"));
        assert!(rows(&["open"]).wants("open/base"));
        assert!(!rows(&["open/*"]).wants("exec/base"));
        assert!(rows(&["program/*"]).wants("program/base"), "its rows have names below it");
        assert!(rows(&["program/base/wake*"]).wants("program/base"));
        assert!(!rows(&["program/base/wake*"]).wants("program/ten-misses"));
    }

    #[test]
    fn a_choice_of_nothing_is_refused() {
        let check = |pattern: &str| check_choice(&[pattern.to_owned()]);
        for right in ["open/*", "open", "*misses", "flat/ten-to-one", "exec*"] {
            assert!(check(right).is_ok(), "{right}");
        }
        for wrong in ["opens/*", "base", ""] {
            let error = check(wrong).expect_err(wrong).to_string();
            assert!(error.contains("right would be"), "{error}");
        }
    }

    #[test]
    fn a_family_is_shown_by_its_name() {
        let mut rows = Rows::new("6.12", &["program/base".into()]);
        for name in ["program/base/exit", "program/based", "open/base"] {
            rows.push(name, "", Ok(1.0), "ns", None);
        }
        let names: Vec<_> = rows.wanted().into_iter().map(|r| r.name).collect();
        assert_eq!(names, ["program/base/exit"]);
    }

    #[test]
    fn a_failed_group_says_so_once_in_each_row_without_value() {
        let mut rows = Rows::new("6.12", &["open/*".into()]);
        rows.push("open/base", "tetragon-rs", Ok(1.0), "ns", Some(0.5));
        rows.fail(&["open/base", "open/other", "rss/idle"], "tetragon-rs", "ns", "broken");
        assert_eq!(rows.added("open/base", "tetragon-rs"), Some(0.5));
        let rows = rows.wanted();
        let names: Vec<_> = rows.iter().map(|r| (r.name.as_str(), r.value.is_ok())).collect();
        assert_eq!(names, [("open/base", true), ("open/other", false)]);
    }
}
