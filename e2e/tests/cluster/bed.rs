//! The tools that the tests use, as a person would, and what they say.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tetragon_e2e::Printed;

/// Where everything is installed.
pub(crate) const NAMESPACE: &str = "kube-system";
/// The node in the guest: its kernel has kprobes and BPF LSM.
pub(crate) const GUEST: &str = "guest1";
/// The node on this machine: its kernel may have tracepoints only.
pub(crate) const HOST: &str = "host1";

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the repository").to_owned()
}

/// A program that the set-up names.
pub(crate) fn program(variable: &str) -> Result<PathBuf> {
    let path = std::env::var_os(variable).with_context(|| {
        format!("{variable} is not set: run `cargo xtask test --only cluster`, which makes the cluster")
    })?;
    Ok(path.into())
}

/// What a command printed, with its exit code.
pub(crate) struct Said {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl Said {
    pub(crate) fn new(output: &Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { stdout: text(&output.stdout), stderr: text(&output.stderr), code: output.status.code() }
    }

    /// Both streams.
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs a command, whatever its exit code.
pub(crate) fn run(variable: &str, args: &[&str], input: &str) -> Result<Said> {
    let program = program(variable)?;
    eprintln!("$ {} {}", variable.to_lowercase(), args.join(" "));
    let mut child = Command::new(&program)
        .args(args)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    child.stdin.take().expect("a pipe").write_all(input.as_bytes())?;
    let said = Said::new(&child.wait_with_output()?);
    for line in said.all().lines().take(60) {
        eprintln!("  {line}");
    }
    Ok(said)
}

fn good(variable: &str, args: &[&str], input: &str) -> Result<String> {
    let said = run(variable, args, input)?;
    ensure!(said.code == Some(0), "{variable} {args:?} exits with {:?}:\n{}", said.code, said.all());
    Ok(said.stdout)
}

/// kubectl that must succeed; its standard output.
pub(crate) fn kubectl(args: &[&str]) -> Result<String> {
    good("KUBECTL", args, "")
}

/// kubectl that must succeed; its standard output, which is too long to be shown.
pub(crate) fn kubectl_quiet(args: &[&str]) -> Result<String> {
    let output = Command::new(program("KUBECTL")?).args(args).output()?;
    ensure!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// kubectl, whatever comes of it.
pub(crate) fn try_kubectl(args: &[&str]) -> Result<Said> {
    run("KUBECTL", args, "")
}

/// `kubectl apply -f -`, whatever comes of it.
pub(crate) fn apply(manifest: &str) -> Result<Said> {
    run("KUBECTL", &["apply", "-f", "-"], manifest)
}

/// helm that must succeed.
pub(crate) fn helm(args: &[&str]) -> Result<String> {
    good("HELM", args, "")
}

/// A command in a node, whatever comes of it.
pub(crate) fn on_node(node: &str, command: &[&str]) -> Result<Said> {
    let name = std::env::var("CLUSTER_NAME")?;
    run("XTASK", &[&["cluster", "run", "--name", &name, node, "--"], command].concat(), "")
}

/// An object as JSON.
pub(crate) fn get(args: &[&str]) -> Result<Value> {
    let mut all = vec!["get"];
    all.extend(args);
    all.extend(["-o", "json"]);
    Ok(serde_json::from_str(&kubectl(&all)?)?)
}

/// How long is waited for anything: machines may be slow and busy, and only what never comes is to fail.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Asks again until the answer is yes, less and less often: after half a second, later a fifth of the time so far.
/// The last `Err` is told when patience is at its end.
pub(crate) fn wait<T>(what: &str, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let begin = Instant::now();
    loop {
        match ask() {
            Ok(answer) => {
                eprintln!("  {what}: after {:.1} s", begin.elapsed().as_secs_f64());
                return Ok(answer);
            }
            Err(e) if begin.elapsed() > PATIENCE => {
                bail!("{what}: not within {} s: {e:#}\n{}", PATIENCE.as_secs(), slow_parts());
            }
            Err(_) => {
                let pause = begin.elapsed() / 5;
                std::thread::sleep(pause.clamp(Duration::from_millis(500), Duration::from_secs(5)));
            }
        }
    }
}

/// How busy this machine and the guest are, and with what: whether something was slow, and which part.
fn slow_parts() -> String {
    let look = "echo load $(cat /proc/loadavg); cat /proc/pressure/cpu 2>/dev/null; top -b -n 1 | head -n 15";
    let here = Command::new("sh").args(["-c", look]).output();
    let here = here.map_or_else(|e| e.to_string(), |o| String::from_utf8_lossy(&o.stdout).into_owned());
    let guest = on_node(GUEST, &["/bin/sh", "-c", look]).map_or_else(|e| format!("{e:#}"), |said| said.all());
    format!("this machine:\n{here}\n{GUEST}:\n{guest}")
}

/// The status of a condition, and its reason.
pub(crate) fn condition(object: &Value, kind: &str) -> Option<(String, String)> {
    let all = object["status"]["conditions"].as_array()?;
    let found = all.iter().find(|c| c["type"] == kind)?;
    Some((found["status"].as_str()?.to_owned(), found["reason"].as_str()?.to_owned()))
}

/// Makes a namespace, and waits until pods can be made in it.
pub(crate) fn new_namespace(name: &str) -> Result<()> {
    kubectl(&["create", "namespace", name])?;
    wait("it has its service account", || get(&["serviceaccount", "default", "-n", name]))?;
    Ok(())
}

/// Waits until one node runs a TracingPolicyNamespaced.
pub(crate) fn in_force(name: &str, namespace: &str) -> Result<()> {
    wait(&format!("{name} is in force"), || {
        let object = get(&["tracingpolicynamespaced", name, "-n", namespace])?;
        ensure!(object["status"]["nodes"]["loaded"] == 1, "{}", object["status"]);
        Ok(())
    })
}

/// What the agent of a node says of itself, asked in a pod of that node, whose network is the node's.
pub(crate) fn metrics(pod: &[&str]) -> Result<String> {
    let wget = ["--", "/bin/wget", "-q", "-O", "-", "http://127.0.0.1:2112/metrics"];
    kubectl_quiet(&[&["exec"], pod, &wget[..]].concat())
}

/// A live `tetra getevents -o compact`.
pub(crate) struct Live {
    child: Child,
    printed: Printed,
}

impl Live {
    /// In an agent's pod, with more flags. It is not connected yet.
    pub(crate) fn start(agent: &str, flags: &[&str]) -> Result<Live> {
        let command = ["-n", NAMESPACE, agent, "-c", "tetragon", "--", "tetra", "getevents", "-o", "compact"];
        let mut child = Command::new(program("KUBECTL")?)
            .arg("exec")
            .args(command)
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let printed = Printed::of(child.stdout.take().context("no output")?);
        Ok(Live { child, printed })
    }

    /// What it has printed.
    pub(crate) fn printed(&self) -> String {
        self.printed.text()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does something until all of these have printed this.
pub(crate) fn until_printed(clients: &[Live], text: &str, mut act: impl FnMut() -> Result<()>) -> Result<()> {
    wait(&format!("{text} is printed"), || {
        act()?;
        let without = clients.iter().find(|c| !c.printed().contains(text));
        ensure!(without.is_none(), "a client printed:\n{}", without.map(Live::printed).unwrap_or_default());
        Ok(())
    })
}

/// The agent's pod of a node.
pub(crate) fn agent_pod(node: &str) -> Result<String> {
    let field = format!("spec.nodeName={node}");
    let pods =
        get(&["pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=tetragon", "--field-selector", &field])?;
    let running = pods["items"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|p| p["status"]["phase"] == "Running" && p["metadata"]["deletionTimestamp"].is_null());
    let name = running.and_then(|p| p["metadata"]["name"].as_str());
    Ok(name.with_context(|| format!("{node} has no running agent"))?.to_owned())
}
