//! `cargo xtask test`: everything that `make test` does, step by step, with a table at the end.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::build::{cargo, workspace};
use crate::progress::{self, Counting, Ticker, duration};
use crate::tools::{output, root, run, say};
use crate::{chart, cluster, conformance, ebpf, kernels, packages, suite};

/// Which steps.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these steps, separated by commas; without it all but api
    #[arg(long, value_name = "STEPS", value_delimiter = ',')]
    only: Vec<Step>,
    /// The long tests, too: every case and scenario on every kernel, all of the cluster's tests, and the step api
    #[arg(long)]
    long: bool,
}

/// Tests that run only when they are named: they need guests, an API server, a search server.
const NAMED: [&str; 6] = ["e2e", "search", "api", "policies", "k8s", "cluster"];

/// A step. The order is theirs: cheap ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Step {
    /// Install what is missing
    Setup,
    /// Formatting
    Fmt,
    /// The eBPF objects that are checked in are what their sources give
    Ebpf,
    /// Compiles everything, with lints, all of them errors
    Clippy,
    /// Tests that need no guest
    Unit,
    /// The Helm chart and the kustomize bases, without a cluster; `api` asks API servers about them too
    Chart,
    /// The Elasticsearch export against a real search server
    Search,
    /// Conformance cases
    Conformance,
    /// Tests of the whole in guests
    E2e,
    /// Operator and agent against real API servers, the newest and the oldest
    Api,
    /// Everything installed on a real cluster; beside the steps from chart on, if they run too
    Cluster,
}

impl Step {
    /// Runs when no step is named. `api` needs a second version of Kubernetes' programs, which are built from
    /// source the first time.
    fn is_chosen(self, options: &Options) -> bool {
        match options.only.as_slice() {
            [] => options.long || self != Step::Api,
            only => only.contains(&self),
        }
    }

    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Of what a run without --long leaves out, and why.
    fn left_out(self) -> &'static str {
        match self {
            Step::Conformance => {
                "each case on one kernel, the oldest and the newest in turn; the seed's on all"
            }
            Step::E2e => "scenarios that another guest of the list shows as well",
            Step::Api => "a second version of Kubernetes would be built",
            _ => "",
        }
    }

    fn run(self, long: bool) -> Result<()> {
        match self {
            Step::Setup => packages::install(packages::ALL),
            Step::Fmt => fmt(),
            Step::Ebpf => ebpf::check(),
            Step::Clippy => {
                alike()?;
                // With --all-targets cargo does not look at names.
                let named = NAMED.iter().flat_map(|name| ["--test", name]).collect();
                [vec!["--all-targets"], named].into_iter().try_for_each(|targets: Vec<&str>| lint(&targets))
            }
            Step::Unit => run(workspace(["test", "--no-fail-fast"]).env("INSTA_UPDATE", "no")),
            Step::Chart => match chart::run(&chart::Options::default())? {
                0 => Ok(()),
                _ => bail!("the chart has failed"),
            },
            Step::Search => run(&mut workspace(["test", "--test", "search"])),
            Step::Conformance => match conformance::run(&conformance::Options::of_the_tests(long))? {
                0 => Ok(()),
                _ => bail!("cases failed"),
            },
            Step::E2e => {
                progress::run("building what runs in guests", &mut workspace(["build"]), Counting::Cargo)?;
                let mut tests = workspace(["test", "--test", "e2e"]);
                run(tests.env("XTASK", std::env::current_exe()?).env(LONG, if long { "1" } else { "" }))
            }
            Step::Api => suite::parts(),
            Step::Cluster => suite::whole(long),
        }
    }
}

/// Set for tests that have a long form, which is wanted.
pub(crate) const LONG: &str = "TETRAGON_LONG";

/// A line that cargo writes for programs.
#[derive(Deserialize)]
struct Line {
    message: Option<Message>,
    package_id: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    rendered: Option<String>,
}

/// Compiles these targets; a warning is an error, also one of a build before.
fn lint(targets: &[&str]) -> Result<()> {
    let mut build = workspace(["test", "--no-run", "--quiet", "--message-format=json"]);
    let mut build = build.args(targets).stdout(Stdio::piped()).spawn().context("starting cargo")?;
    let lines = BufReader::new(build.stdout.take().context("cargo has no output")?).lines();
    let (mut warnings, mut units, mut last) = (0, 0, String::new());
    let mut ticker = Ticker::new("compiling everything");
    for line in lines {
        let line: Line = serde_json::from_str(&line?).context("what cargo says")?;
        if let Some(text) = line.message.and_then(|m| m.rendered) {
            ticker.end();
            eprintln!("{text}");
            warnings += 1;
        }
        if let Some(id) = line.package_id {
            units += 1;
            last = id;
        }
        let name = last.rsplit(['/', '#']).next().unwrap_or_default();
        ticker.tick(|| format!("{units} parts, the last of {name}"));
    }
    ensure!(build.wait()?.success() && warnings == 0, "{warnings} warnings and errors");
    Ok(())
}

/// Tests switch on no feature of a crate that is not on without them: everything above that crate would be
/// built twice.
fn alike() -> Result<()> {
    let crates = |edges: &str| -> Result<BTreeSet<String>> {
        let tree = ["tree", "--locked", "--prefix", "none", "--format", "{p} {f}", "--edges", edges];
        let text = output(workspace(tree).stdout(Stdio::piped()))?;
        Ok(text.lines().map(|l| l.trim_end_matches(" (*)").to_owned()).collect())
    };
    let (without, with) = (crates("no-dev")?, crates("all")?);
    match without.difference(&with).next() {
        None => Ok(()),
        Some(one) => bail!(
            "tests switch on more features of a crate than `{one}` has without them; add those to its line in \
             [workspace.dependencies], or everything that depends on it is built twice"
        ),
    }
}

/// Every crate, also the one for the eBPF target, which is no member of the workspace.
fn fmt() -> Result<()> {
    run(&mut cargo(["fmt", "--all", "--check"]))?;
    let mut ebpf: Command = cargo(["fmt", "--check", "--manifest-path"]);
    run(ebpf.arg(root().join("node-ebpf/Cargo.toml")))
}

/// The cluster's tests, which wait much of their time, beside other steps: what they say goes to a file.
struct Beside(JoinHandle<Result<Duration>>);

impl Beside {
    fn start(long: bool) -> Beside {
        Beside(std::thread::spawn(move || {
            let begin = Instant::now();
            let test: &[&str] =
                if long { &["test", "--long", "--only", "cluster"] } else { &["test", "--only", "cluster"] };
            suite::into_file("cluster", test).map(|()| begin.elapsed())
        }))
    }

    fn end(self) -> Result<Duration> {
        let mut ticker = Ticker::new("the cluster's tests");
        let log = root().join("target/cluster.log");
        while !self.0.is_finished() {
            std::thread::sleep(Duration::from_millis(100));
            ticker.tick(|| suite::last_line(&log));
        }
        ticker.end();
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// `cargo xtask test-needs`: kernels, and the programs of clusters and of the search server.
pub(crate) fn make_needs() -> Result<i32> {
    let kernels = std::thread::spawn(|| kernels::BED.iter().try_for_each(|k| kernels::get(k).map(drop)));
    cluster::prepare_tests()?;
    kernels.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    Ok(0)
}

/// Begins to make what later steps need, beside the first ones. A step that finds something missing makes it.
fn start_needs(steps: &[Step]) {
    if !steps.contains(&Step::Setup) || !steps.iter().any(|s| *s > Step::Unit) {
        return;
    }
    std::thread::spawn(|| {
        if let Err(error) = suite::into_file("test-needs", &["test-needs"]) {
            eprintln!("error: what later steps need could not be made: {error:#}");
        }
    });
}

/// What came of a step.
struct Row {
    step: Step,
    failed: bool,
    time: Duration,
}

/// Runs the steps; gives the exit code. A failed step does not hide what the later ones find.
fn run_steps(steps: &[Step], all: bool, long: bool) -> i32 {
    let begin = Instant::now();
    let mut rows = Vec::new();
    let mut beside = None;
    let mut needs_begun = false;
    for (number, step) in steps.iter().enumerate() {
        // When everything is compiled, not alone, and not beside `api`, which judges what processes of this
        // machine do.
        let later = *step > Step::Unit && *step < Step::Cluster && steps.contains(&Step::Cluster);
        if later && beside.is_none() && !steps.contains(&Step::Api) {
            beside = Some(Beside::start(long));
            // The cluster's tests have times to keep; the other steps take what they leave.
            let _ = rustix::process::nice(10);
        }
        say(&format!(
            "[{}/{}] {} (after {})",
            number + 1,
            steps.len(),
            step.name(),
            duration(begin.elapsed())
        ));
        if *step > Step::Setup && !std::mem::replace(&mut needs_begun, true) {
            start_needs(steps);
        }
        let started = Instant::now();
        let ended = beside.take_if(|_| *step == Step::Cluster).map(Beside::end);
        let result = match ended {
            Some(result) => result,
            None => step.run(long).map(|()| started.elapsed()),
        };
        if let Err(error) = &result {
            eprintln!("error: {error:#}");
        }
        let failed = result.is_err();
        rows.push(Row { step: *step, failed, time: result.unwrap_or_else(|_| started.elapsed()) });
        if failed && *step == Step::Setup {
            break;
        }
    }
    table(&rows, all, long, begin.elapsed());
    i32::from(rows.iter().any(|r| r.failed))
}

/// What came of each step, how long it took, and what was left out.
fn table(rows: &[Row], all: bool, long: bool, time: Duration) {
    println!("\n{:<12} {:<6} {:>8}  LEFT OUT", "STEP", "RESULT", "TIME");
    for row in rows {
        let left_out = if long { "" } else { row.step.left_out() };
        let result = if row.failed { "FAIL" } else { "pass" };
        println!("{:<12} {result:<6} {:>7.1}s  {left_out}", row.step.name(), row.time.as_secs_f64());
    }
    if all && !long {
        let missing = Step::value_variants().iter().filter(|s| rows.iter().all(|r| r.step != **s));
        for step in missing {
            println!("{:<12} {:<6} {:>8}  {}", step.name(), "-", "", step.left_out());
        }
        println!("What is left out runs with `make test-long`.");
    }
    let failed = rows.iter().filter(|r| r.failed).count();
    println!("All of it took {}.", duration(time));
    println!("{} passed, {failed} failed", rows.len() - failed);
}

/// `cargo xtask test`.
pub(crate) fn run_all(options: &Options) -> Result<i32> {
    let steps: Vec<Step> = Step::value_variants().iter().filter(|s| s.is_chosen(options)).copied().collect();
    Ok(run_steps(&steps, options.only.is_empty(), options.long))
}
