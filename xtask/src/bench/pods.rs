//! `cargo xtask bench pods`: what the agent needs with a thousand pods on its node. The API server, the
//! agent and the processes are real; the node has no kubelet, so pods and cgroups are made here.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::bed::{Kubectl, Running, wait};
use super::rows::{self, Row, number};
use crate::arch::Arch;
use crate::build;
use crate::cluster;
use crate::tools::{itself, root, run, say};

/// Name of the cluster, of the node, and a part of the cgroups' name.
const NAME: &str = "bench-pods";
/// How long the agent may take for anything.
const GIVE_UP: Duration = Duration::from_secs(300);

/// How large.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Pods on the node, each with a container that runs a process
    #[arg(long, default_value_t = 1000)]
    pods: usize,
    /// Policies, each for one of the pods
    #[arg(long, default_value_t = 1000)]
    policies: usize,
    /// Write the rows to a file, too: a list of objects
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs it all; gives the exit code.
pub(crate) fn run_all(options: &Options) -> Result<i32> {
    cluster::refuse_foreign("bench pods")?;
    let agent = build::agent(Arch::Amd64, true).context("building the agent in release mode")?;
    run(&mut itself(["cluster", "up", "--name", NAME])?)?;
    let measured = measure(options, &agent.tetragon);
    let down = run(&mut itself(["cluster", "down", "--name", NAME])?);
    let rows = measured?;
    down?;
    if let Some(file) = &options.json {
        fs::write(file, serde_json::to_vec_pretty(&rows::to_json(&rows))?)?;
    }
    println!("\n{} pods\n{}", options.pods, rows::table(&rows, ""));
    Ok(i32::from(rows.iter().any(|r| r.met() == Some(false))))
}

fn measure(options: &Options, program: &Path) -> Result<Vec<Row>> {
    // They would take away pods of a node that has no kubelet.
    cluster::stop_controllers(NAME)?;
    let bed = Bed::new()?;
    let mut rows = Vec::new();
    let mut push = |name: String, value: f64, unit: &'static str| {
        // A run takes minutes: told as it is measured.
        say(&format!("{name}: {} {unit}", number(value)));
        let (agent, kernel) = ("tetragon-rs", String::new());
        rows.push(Row { name, agent, kernel, value: Ok(value), unit, baseline: None });
    };
    bed.make_pods(options.pods)?;
    let uids = bed.uids()?;
    ensure!(uids.len() == options.pods, "{} of {} pods are there", uids.len(), options.pods);
    for policies in [1, options.policies] {
        let mut agent = bed.start(program, policies)?;
        let with = format!("pods/{policies}-policies");
        let containers = Containers::make(&uids)?;
        let begin = Instant::now();
        let seen = agent.wait_for_pods(options.pods)?;
        push(format!("{with}/first-execs-with-pod"), seen as f64, "events");
        push(format!("{with}/until-the-last"), begin.elapsed().as_secs_f64(), "s");
        // What is only for the start is given back.
        std::thread::sleep(Duration::from_secs(10));
        push(format!("{with}/rss"), agent.process.memory("VmRSS:")?, "MiB");
        push(format!("{with}/highest-rss"), agent.process.memory("VmHWM:")?, "MiB");
        drop(containers);
        agent.stop()?;
    }
    Ok(rows)
}

/// The API server, and a folder for the agent.
struct Bed {
    folder: PathBuf,
    kubectl: Kubectl,
}

impl Bed {
    fn new() -> Result<Bed> {
        let kubectl = Kubectl::of(NAME)?;
        let folder = kubectl.kubeconfig.parent().context("the kubeconfig is in a folder")?.join("agent");
        fs::create_dir_all(&folder)?;
        let bed = Bed { folder, kubectl };
        let crds = root().join("config/crd");
        bed.kubectl.run(&["apply", "--server-side", "-k", &crds.display().to_string()], "")?;
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME}});
        bed.kubectl.run(&["apply", "-f", "-"], &node.to_string())?;
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "default"}});
        bed.kubectl.run(&["apply", "-f", "-"], &account.to_string())?;
        Ok(bed)
    }

    /// Pods with the status that a kubelet would write.
    fn make_pods(&self, count: usize) -> Result<()> {
        say(&format!("making {count} pods"));
        let list = |pods: Vec<Value>| json!({"apiVersion": "v1", "kind": "List", "items": pods}).to_string();
        self.kubectl.run(&["apply", "--server-side", "-f", "-"], &list((0..count).map(pod).collect()))?;
        let status = ["apply", "--server-side", "--subresource=status", "--force-conflicts", "-f", "-"];
        // The uid is the API server's choice, and cgroups are named by it.
        self.kubectl.run(&status, &list((0..count).map(running).collect())).map(drop)
    }

    /// The pods' uids, in the order of their names.
    fn uids(&self) -> Result<Vec<String>> {
        let table = ["get", "pods", "--no-headers", "-o", "custom-columns=U:.metadata.uid"];
        Ok(self.kubectl.run(&table, "")?.lines().map(|l| l.trim().to_owned()).collect())
    }

    /// An agent with that many policies, which has read all pods.
    fn start(&self, program: &Path, policies: usize) -> Result<Agent> {
        say(&format!("starting the agent with {policies} policies"));
        let of = |name: &str| self.folder.join(name);
        let _ = fs::remove_dir_all(&self.folder);
        fs::create_dir_all(of("policies"))?;
        for i in 0..policies {
            fs::write(of(&format!("policies/{i:04}.yaml")), policy(i))?;
        }
        let flag = |name: &str, value: String| format!("--{name}={value}");
        let process = Command::new(program)
            .args(["--enable-k8s-api", "--export-stdout=false", "--metrics-server=", "--server-address="])
            // One file, in which everything is looked for.
            .arg("--export-file-max-size-mb=4096")
            .args([
                flag("k8s-kubeconfig-path", self.kubectl.kubeconfig.display().to_string()),
                flag("plan-dir", of("plans").display().to_string()),
                flag("tracing-policy-dir", of("policies").display().to_string()),
                flag("bpf-dir", NAME.to_owned()),
                flag("export-filename", of("events.json").display().to_string()),
            ])
            .env("NODE_NAME", NAME)
            .env_remove("POD_NAMESPACE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(of("log"))?)
            .spawn()?;
        let agent = Agent { process: Running(process), log: of("log"), events: of("events.json") };
        wait(GIVE_UP, || {
            let log = fs::read_to_string(&agent.log)?;
            ensure!(log.contains("Listening for events"), "{}", log.lines().last().unwrap_or_default());
            Ok(())
        })?;
        Ok(agent)
    }
}

fn name(i: usize) -> String {
    format!("bench-{i:04}")
}

/// The container's id. Cgroups' names may be cut after 31 characters: the beginning tells them apart.
fn id(i: usize) -> String {
    format!("{i:08x}{:056x}", 0)
}

/// A pod as a Deployment's: labels, an owner, a few annotations.
fn pod(i: usize) -> Value {
    let app = format!("app-{i}");
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{app}-5d4f8b7c9"),
        "uid": format!("00000000-0000-4000-8000-{i:012}"), "controller": true});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name(i), "namespace": "default", "ownerReferences": [owner],
            "labels": {"app": app, "pod-template-hash": "5d4f8b7c9", "app.kubernetes.io/part-of": "bench"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
        },
        "spec": {
            "nodeName": NAME, "automountServiceAccountToken": false,
            "containers": [{"name": "main", "image": "docker.io/library/busybox:1.37",
                "command": ["sleep", "3600"], "resources": {"requests": {"cpu": "1m"}}}],
        },
    })
}

fn running(i: usize) -> Value {
    let started = "2026-11-20T08:15:09Z";
    let status = json!({"name": "main", "ready": true, "restartCount": 0, "started": true,
        "image": "docker.io/library/busybox:1.37", "containerID": format!("containerd://{}", id(i)),
        "imageID": format!("docker.io/library/busybox@sha256:{}", id(7)),
        "state": {"running": {"startedAt": started}}});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name(i), "namespace": "default"},
        "status": {"phase": "Running", "startTime": started, "containerStatuses": [status]}})
}

/// Every kernel has this hook.
fn policy(i: usize) -> String {
    format!(
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {{name: bench-{i:04}}}\nspec:\n  podSelector: \
         {{matchLabels: {{app: app-{i}}}}}\n  tracepoints:\n  - subsystem: syscalls\n    event: sys_enter_lseek\n    \
         args: [{{index: 5, type: uint64}}]\n    selectors:\n    - matchArgs: [{{index: 5, operator: Equal, values: \
         ['{}', '{}']}}]\n",
        4000 + i,
        6000 + i
    )
}

/// The agent's process.
struct Agent {
    process: Running,
    log: PathBuf,
    events: PathBuf,
}

impl Agent {
    /// Waits until each pod's first exec is exported, and names the pod; gives how many.
    fn wait_for_pods(&self, pods: usize) -> Result<usize> {
        wait(GIVE_UP, || {
            let mut named = std::collections::BTreeSet::new();
            for line in BufReader::new(File::open(&self.events)?).lines() {
                let event: Value = serde_json::from_str(&line?)?;
                let process = &event["process_exec"]["process"];
                if process["pod"]["container"]["name"] == "main" {
                    named.extend(process["pod"]["name"].as_str().map(str::to_owned));
                }
            }
            ensure!(named.len() == pods, "{} of {pods} pods have an event", named.len());
            Ok(named.len())
        })
    }

    fn stop(&mut self) -> Result<()> {
        run(&mut crate::tools::command("kill", [self.process.0.id().to_string()]))?;
        let status = self.process.0.wait()?;
        ensure!(status.success(), "the agent ended with {status}: {}", fs::read_to_string(&self.log)?);
        Ok(())
    }
}

/// A process for each pod, in a cgroup named as kubelet names them.
struct Containers {
    root: PathBuf,
    processes: Vec<Child>,
}

impl Containers {
    fn make(uids: &[String]) -> Result<Containers> {
        say(&format!("starting {} processes", uids.len()));
        let mut all =
            Containers { root: hierarchy()?.join("kubepods-tetragon-bench"), processes: Vec::new() };
        for (i, uid) in uids.iter().enumerate() {
            let cgroup = all.root.join(format!("pod{uid}/{}", id(i)));
            fs::create_dir_all(&cgroup).with_context(|| format!("making {}", cgroup.display()))?;
            let enter = format!("echo $$ > {}/cgroup.procs && exec sleep 3600", cgroup.display());
            all.processes.push(Command::new("/bin/sh").args(["-c", &enter]).spawn()?);
        }
        Ok(all)
    }

    fn take_down(&mut self) -> Result<()> {
        for process in &mut self.processes {
            process.kill()?;
            process.wait()?;
        }
        for pod in fs::read_dir(&self.root)?.flatten().filter(|e| e.path().is_dir()) {
            for container in fs::read_dir(pod.path())?.flatten().filter(|e| e.path().is_dir()) {
                fs::remove_dir(container.path())?;
            }
            fs::remove_dir(pod.path())?;
        }
        Ok(fs::remove_dir(&self.root)?)
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        if let Err(error) = self.take_down() {
            eprintln!("error: {} is left: {error:#}", self.root.display());
        }
    }
}

/// Where the cgroups are that the agent looks at.
fn hierarchy() -> Result<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return Ok(root.to_owned());
    }
    let all = ["memory", "pids", "cpuset"].map(|name| root.join(name));
    let found = all.into_iter().find(|path| path.join("cgroup.procs").exists());
    found.context("this machine has no cgroups at /sys/fs/cgroup")
}
