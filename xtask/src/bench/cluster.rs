//! `cargo xtask bench cluster`: what the control plane costs, with a real API server, the real operator
//! and thousands of nodes that one process simulates (real TetragonNode objects, written as agents do).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::bed::{Kubectl, Running, wait};
use super::rows::{self, Row as Judged};
use crate::build::{TARGET, workspace};
use crate::cluster;
use crate::tools::{itself, root, run, say};

/// Name of the cluster.
const NAME: &str = "bench";
/// How long a change may take to be told, before the run is given up.
const GIVE_UP: Duration = Duration::from_secs(900);

/// How large.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Simulated nodes
    #[arg(long, default_value_t = 5000)]
    nodes: usize,
    /// Policies that are applied at once, after one alone
    #[arg(long, default_value_t = 1000)]
    policies: usize,
    /// Simulated nodes while there are that many policies: every node's object names them all
    #[arg(long, default_value_t = 100)]
    nodes_with_policies: usize,
    /// Write the rows to a file, too: a list of objects
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One measured step.
struct Row {
    what: String,
    /// Its name among the aims: `one/apply`.
    name: &'static str,
    /// Changes of what nodes are to load.
    changes: usize,
    nodes: usize,
    policies: usize,
    /// From the start of `kubectl apply` to the status that says so.
    seconds: f64,
    /// Writes by agents, and by the operator.
    node_writes: usize,
    operator_writes: usize,
    /// Largest status of a policy, in bytes.
    status: usize,
    /// Highest resident memory of the operator so far, in MiB.
    rss: f64,
    /// Processor time of the operator in this step, in seconds.
    cpu: f64,
}

/// Runs it all; gives the exit code.
pub(crate) fn run_all(options: &Options) -> Result<i32> {
    cluster::refuse_foreign("bench cluster")?;
    ensure!(options.nodes >= options.nodes_with_policies, "--nodes is the larger number");
    build()?;
    this(&["cluster", "up", "--name", NAME])?;
    let rows = measure(options);
    let down = this(&["cluster", "down", "--name", NAME]);
    let rows = rows?;
    down?;
    if let Some(file) = &options.json {
        let all: Vec<Value> = rows.iter().map(Row::json).collect();
        std::fs::write(file, serde_json::to_vec_pretty(&all)?)?;
    }
    let judged: Vec<Judged> = rows.iter().flat_map(Row::judged).collect();
    println!("\n{}", rows::table(&judged, ""));
    Ok(i32::from(judged.iter().any(|r| r.met() == Some(false))))
}

fn build() -> Result<()> {
    say("building operator and fleet in release mode");
    let programs = ["--bin", "tetragon-operator", "--bin", "fleet"];
    run(workspace(["build", "--release", "--quiet"]).args(programs))
}

fn this(args: &[&str]) -> Result<()> {
    run(&mut itself(args)?)
}

/// The cluster and what runs in it.
struct Bed {
    kubectl: Kubectl,
    audit: PathBuf,
    operator: Running,
}

fn measure(options: &Options) -> Result<Vec<Row>> {
    // Its node controller would write about nodes that have no kubelet.
    cluster::stop_controllers(NAME)?;
    let bed = Bed::new()?;
    let mut rows = Table::new();
    {
        let mut fleet = Fleet::start(&bed, options.nodes)?;
        fleet.ready()?;
        let step = |name, what, changes| Step { name, what, changes, nodes: options.nodes, policies: 1 };
        rows.push(bed.step(step("one/apply", "one policy", 1), &|bed| bed.apply(&policy(0, "a")))?);
        rows.push(bed.step(step("one/change", "it changes", 1), &|bed| bed.apply(&policy(0, "b")))?);
        rows.push(bed.step(step("one/labels", "its labels change", 0), &|bed| bed.label("a"))?);
        rows.push(bed.idle(step("one/idle", "nothing happens for 30 s", 0))?);
    }
    bed.shrink(options.nodes)?;
    {
        let mut fleet = Fleet::start(&bed, options.nodes_with_policies)?;
        fleet.ready()?;
        let nodes = options.nodes_with_policies;
        let all: String = (0..options.policies).map(|i| policy(i, "a")).collect();
        let policies = options.policies;
        let step = |name, what, changes| Step { name, what, changes, nodes, policies };
        let at_once = format!("{policies} policies at once");
        rows.push(bed.step(step("many/apply", &at_once, policies), &|bed| bed.apply(&all))?);
        let one = step("many/change", "one of them changes", 1);
        rows.push(bed.step(one, &|bed| bed.apply(&policy(1, "b")))?);
        rows.push(bed.idle(step("many/idle", "nothing happens for 30 s", 0))?);
    }
    Ok(rows.0)
}

/// A policy like thousands of others: one hook, three values.
fn policy(i: usize, version: &str) -> String {
    format!(
        "---\napiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {{name: bench-{i:04}}}\nspec:\n  \
         kprobes:\n  - call: security_file_open\n    syscall: false\n    args: [{{index: 0, type: file}}]\n    \
         selectors:\n    - matchArgs:\n      - {{index: 0, operator: Equal, values: [/etc/{version}-{i}-1, \
         /etc/{version}-{i}-2, /etc/{version}-{i}-3]}}\n"
    )
}

/// What is measured.
#[derive(Clone, Copy)]
struct Step<'a> {
    name: &'static str,
    what: &'a str,
    changes: usize,
    nodes: usize,
    /// Policies that there are afterwards.
    policies: usize,
}

impl Bed {
    fn new() -> Result<Bed> {
        let kubectl = Kubectl::of(NAME)?;
        let folder = kubectl.kubeconfig.parent().context("the kubeconfig is in a folder")?.to_owned();
        let program = root().join("target").join(TARGET).join("release/tetragon-operator");
        say("starting the operator");
        let operator = Command::new(program)
            .arg("serve")
            .arg(format!("--kube-config={}", kubectl.kubeconfig.display()))
            .args(["--namespace=kube-system", "--webhook-address=", "--leader-election=false"])
            .args(["--metrics-address=127.0.0.1:12113", "--health-probe-bind-address="])
            .stderr(File::create(folder.join("operator.log"))?)
            .spawn()?;
        let bed = Bed { audit: folder.join("audit.log"), kubectl, operator: Running(operator) };
        let crds =
            ["wait", "--for=condition=Established", "crd/tetragonnodes.tetragon-rs.dev", "--timeout=60s"];
        wait(Duration::from_secs(60), || bed.kubectl.run(&crds, "").map(drop))?;
        Ok(bed)
    }

    fn apply(&self, manifests: &str) -> Result<()> {
        self.kubectl.run(&["apply", "--server-side", "-f", "-"], manifests).map(drop)
    }

    fn label(&self, value: &str) -> Result<()> {
        self.kubectl
            .run(&["label", "--overwrite", "tracingpolicy/bench-0000", &format!("team={value}")], "")
            .map(drop)
    }

    /// Does something, and waits until all policies are Ready in their own generation.
    fn step(&self, step: Step<'_>, change: &dyn Fn(&Bed) -> Result<()>) -> Result<Row> {
        say(&format!("{}, {} nodes", step.what, step.nodes));
        let (writes, cpu) = (self.writes()?, self.cpu()?);
        // Applying many takes its time, in which the first of them are compiled and loaded.
        let begin = Instant::now();
        change(self)?;
        wait(GIVE_UP, || {
            let (found, all) = (self.ready()?, step.policies);
            ensure!(found == all, "{found} of {all} policies are Ready");
            Ok(())
        })?;
        let seconds = begin.elapsed().as_secs_f64();
        // What is still written afterwards counts, too.
        std::thread::sleep(Duration::from_secs(5));
        self.row(&step, seconds, (&writes, cpu))
    }

    /// Half a minute in which nothing changes.
    fn idle(&self, step: Step<'_>) -> Result<Row> {
        say("half a minute without a change");
        let (writes, cpu) = (self.writes()?, self.cpu()?);
        std::thread::sleep(Duration::from_secs(30));
        self.row(&step, 0.0, (&writes, cpu))
    }

    fn row(&self, step: &Step<'_>, seconds: f64, before: (&Writes, f64)) -> Result<Row> {
        let writes = self.writes()?;
        let list: Value =
            serde_json::from_str(&self.kubectl.run(&["get", "tracingpolicies", "-o", "json"], "")?)?;
        let status = list["items"].as_array().into_iter().flatten().map(|p| p["status"].to_string().len());
        Ok(Row {
            what: step.what.to_owned(),
            name: step.name,
            changes: step.changes,
            nodes: step.nodes,
            policies: step.policies,
            seconds,
            node_writes: writes.nodes - before.0.nodes,
            operator_writes: writes.operator - before.0.operator,
            status: status.max().unwrap_or(0),
            rss: self.operator.memory("VmHWM:")?,
            cpu: self.cpu()? - before.1,
        })
    }

    /// Policies that are Ready, as of what their authors wrote last.
    fn ready(&self) -> Result<usize> {
        let columns = "custom-columns=G:.metadata.generation,O:.status.observedGeneration,R:.status.conditions[?(@.type==\"Ready\")].status,L:.status.nodes.summary";
        let table = self.kubectl.run(&["get", "tracingpolicies", "--no-headers", "-o", columns], "")?;
        let ready = |line: &&str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            matches!(words.as_slice(), [g, o, "True", _] if g == o)
        };
        Ok(table.lines().filter(ready).count())
    }

    /// Takes away nodes and policies.
    fn shrink(&self, nodes: usize) -> Result<()> {
        say("taking the nodes away");
        self.kubectl.run(&["delete", "tracingpolicies", "--all"], "")?;
        run(Fleet::command(self).args(["--nodes", &nodes.to_string(), "--remove"]))
    }

    fn cpu(&self) -> Result<f64> {
        let stat = self.operator.proc("stat")?;
        // After the name, which may hold anything.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
        Ok(ticks as f64 / 100.0)
    }

    /// Writes that the API server has noted.
    fn writes(&self) -> Result<Writes> {
        let mut writes = Writes::default();
        for line in BufReader::new(File::open(&self.audit)?).lines() {
            let Ok(entry) = serde_json::from_str::<Value>(&line?) else { continue };
            if !matches!(entry["verb"].as_str(), Some("create" | "update" | "patch" | "delete")) {
                continue;
            }
            let resource = entry["objectRef"]["resource"].as_str().unwrap_or_default().to_owned();
            let kubectl = entry["userAgent"].as_str().is_some_and(|a| a.starts_with("kubectl"));
            match resource.as_str() {
                "tetragonnodes" => writes.nodes += 1,
                "nodes" | "leases" => {}
                _ if kubectl => {}
                _ => writes.operator += 1,
            }
            *writes.by_resource.entry(resource).or_default() += 1;
        }
        Ok(writes)
    }
}

/// Writes since the API server's start.
#[derive(Default)]
struct Writes {
    nodes: usize,
    operator: usize,
    by_resource: BTreeMap<String, usize>,
}

/// The process that simulates nodes.
struct Fleet {
    _process: Running,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Fleet {
    fn command(bed: &Bed) -> Command {
        let mut fleet = Command::new(root().join("target").join(TARGET).join("release/fleet"));
        fleet.env("KUBECONFIG", &bed.kubectl.kubeconfig);
        fleet
    }

    fn start(bed: &Bed, nodes: usize) -> Result<Fleet> {
        say(&format!("making {nodes} nodes"));
        let mut process =
            Fleet::command(bed).args(["--nodes", &nodes.to_string()]).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(process.stdout.take().context("a pipe")?).lines();
        Ok(Fleet { _process: Running(process), lines })
    }

    /// Waits until every node has its objects.
    fn ready(&mut self) -> Result<()> {
        for line in self.lines.by_ref() {
            let event: Value = serde_json::from_str(&line?)?;
            if event["event"] == json!("ready") {
                say(&format!(
                    "{} nodes after {:.1} s",
                    event["nodes"],
                    event["seconds"].as_f64().unwrap_or(0.0)
                ));
                // The operator hears of the last ones.
                std::thread::sleep(Duration::from_secs(5));
                return Ok(());
            }
        }
        bail!("the simulated nodes have ended")
    }
}

impl Row {
    fn json(&self) -> Value {
        json!({
            "what": self.what,
            "nodes": self.nodes,
            "policies": self.policies,
            "seconds": self.seconds,
            "node_writes": self.node_writes,
            "operator_writes": self.operator_writes,
            "status_bytes": self.status,
            "operator_rss_mib": self.rss,
            "operator_cpu_seconds": self.cpu,
            "met": self.judged().iter().all(|r| r.met() != Some(false)),
        })
    }

    /// What there is an aim for.
    fn judged(&self) -> Vec<Judged> {
        let row = |what: &str, value: f64, unit| Judged {
            name: format!("cluster/{}/{what}", self.name),
            agent: "tetragon-rs",
            kernel: String::new(),
            value: Ok(value),
            unit,
            baseline: None,
        };
        let each = (self.nodes * self.changes.max(1)).max(1) as f64;
        vec![
            row("ready", self.seconds, "s"),
            row("node-writes", self.node_writes as f64 / each, "a node and change"),
            row("operator-rss", self.rss, "MiB"),
            row("status", self.status as f64, "bytes"),
        ]
    }
}

/// Rows are shown as they are measured: a run takes minutes.
struct Table(Vec<Row>);

impl Table {
    fn new() -> Table {
        println!(
            "{:<26} {:>6} {:>9} {:>9} {:>12} {:>15} {:>13} {:>10} {:>9}",
            "WHAT",
            "NODES",
            "POLICIES",
            "READY",
            "NODE WRITES",
            "OPERATOR WRITES",
            "STATUS BYTES",
            "RSS",
            "CPU"
        );
        Table(Vec::new())
    }

    fn push(&mut self, r: Row) {
        println!(
            "{:<26} {:>6} {:>9} {:>7.1} s {:>12} {:>15} {:>13} {:>6.1} MiB {:>7.2} s",
            r.what, r.nodes, r.policies, r.seconds, r.node_writes, r.operator_writes, r.status, r.rss, r.cpu
        );
        self.0.push(r);
    }
}
