//! `cargo xtask test`: everything that `make test` does, step by step, with a summary.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::build::{cargo, workspace};
use crate::tools::{output, root, run, say};
use crate::{chart, conformance, packages, suite};

/// Which steps.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these steps, separated by commas; without it all but api
    #[arg(long, value_name = "STEPS", value_delimiter = ',')]
    only: Vec<Step>,
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
    /// Compiles everything, with lints, all of them errors
    Clippy,
    /// Tests that need no guest
    Unit,
    /// The Helm chart and the kustomize bases, without a cluster; `api` asks API servers about them too
    Chart,
    /// The Elasticsearch export against a real search server
    Search,
    /// Conformance cases on every kernel
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
    /// source the first time: with it a fresh machine would need about an hour.
    fn is_default(self) -> bool {
        self != Step::Api
    }

    fn run(self) -> Result<()> {
        match self {
            Step::Setup => packages::install(packages::ALL),
            Step::Fmt => fmt(),
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
            Step::Conformance => match conformance::run(&conformance::Options::quick())? {
                0 => Ok(()),
                _ => bail!("cases failed"),
            },
            // Built anew in there, this program would be gone when the next step starts it.
            Step::E2e => {
                run(&mut workspace(["build", "--quiet"]))?;
                run(workspace(["test", "--test", "e2e"]).env("XTASK", std::env::current_exe()?))
            }
            Step::Api => suite::parts(),
            Step::Cluster => suite::whole(),
        }
    }
}

/// What cargo says while it builds.
#[derive(Deserialize)]
struct Said {
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    rendered: Option<String>,
}

/// Compiles these targets; a warning is an error, also one of a build before.
fn lint(targets: &[&str]) -> Result<()> {
    let mut build = workspace(["test", "--no-run", "--quiet", "--message-format=json"]);
    let mut build = build.args(targets).stdout(Stdio::piped()).spawn().context("starting cargo")?;
    let mut warnings = 0;
    for line in BufReader::new(build.stdout.take().context("cargo has no output")?).lines() {
        let said: Said = serde_json::from_str(&line?).context("what cargo says")?;
        if let Some(text) = said.message.and_then(|m| m.rendered) {
            eprintln!("{text}");
            warnings += 1;
        }
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
    fn start() -> Beside {
        Beside(std::thread::spawn(|| {
            let begin = Instant::now();
            suite::into_file("cluster", &["test", "--only", "cluster"]).map(|()| begin.elapsed())
        }))
    }

    fn end(self) -> Result<Duration> {
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Runs the steps; gives the exit code. A failed step does not hide what the later ones find.
fn run_steps(steps: &[Step]) -> i32 {
    let mut summary = Vec::new();
    let mut beside = None;
    for step in steps {
        // When everything is compiled, not alone, and not beside `api`, which judges what processes of this
        // machine do.
        let later = *step > Step::Unit && *step < Step::Cluster && steps.contains(&Step::Cluster);
        if later && beside.is_none() && !steps.contains(&Step::Api) {
            beside = Some(Beside::start());
            // The cluster's tests have times to keep; the other steps take what they leave.
            let _ = rustix::process::nice(10);
        }
        say(&format!("{step:?}").to_lowercase());
        let begin = Instant::now();
        let ended = beside.take_if(|_| *step == Step::Cluster).map(Beside::end);
        let result = match ended {
            Some(result) => result,
            None => step.run().map(|()| begin.elapsed()),
        };
        if let Err(error) = &result {
            eprintln!("error: {error:#}");
        }
        let failed = result.is_err();
        summary.push((*step, failed, result.unwrap_or_else(|_| begin.elapsed())));
        if failed && *step == Step::Setup {
            break;
        }
    }
    println!("\n{:<12} {:>8}  RESULT", "STEP", "TIME");
    for (step, failed, time) in &summary {
        let name = format!("{step:?}").to_lowercase();
        println!("{name:<12} {:>7.1}s  {}", time.as_secs_f64(), if *failed { "FAIL" } else { "pass" });
    }
    let failed = summary.iter().any(|(_, failed, _)| *failed);
    println!("{}", if failed { "failed" } else { "all passed" });
    i32::from(failed)
}

/// `cargo xtask test`.
pub(crate) fn run_all(options: &Options) -> Result<i32> {
    let chosen = |s: &&Step| if options.only.is_empty() { s.is_default() } else { options.only.contains(s) };
    let steps: Vec<Step> = Step::value_variants().iter().filter(chosen).copied().collect();
    Ok(run_steps(&steps))
}
