//! A real API server, the operator, and agents on two nodes with different kernels: policies are applied,
//! a broken one is refused with the reasons, events are shown live, and a policy that one of the kernels
//! cannot load is told apart in its status.
//!
//! The nodes are guests: the machine's own kernel is not touched.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::MARK;
use crate::cluster;
use crate::packages::{self, Kind};
use crate::progress::{self, Counting, Ticker, duration, log_file};
use crate::tools::{PATIENCE, command, itself, output, root, run as run_command, say};

/// How it is shown.
#[derive(Debug, Args)]
#[group(id = "whole")]
pub(crate) struct Options {
    /// Leave the cluster running, to go on with it
    #[arg(long)]
    keep: bool,
}

/// Name of the cluster.
const NAME: &str = "demo";
/// What it has: a newer kernel, and an older one that lacks some hooks.
const KERNELS: [&str; 2] = ["6.12", "5.10"];
/// The newer kernel.
const NEW: &str = "guest1";
/// Where the chart's bed values are; guests have no address of this machine's.
const VALUES: &str = "xtask/src/demo/values.yaml";

/// A policy with a missing setting and a wrong operator.
const BROKEN: &str = "\
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata:
  name: broken
spec:
  kprobes:
  - call: security_file_open
    args:
    - index: 0
      type: file
    selectors:
    - matchArgs:
      - index: 0
        operator: GT
        values: [\"/etc/shadow\"]
";

/// Opening /etc/shadow fails: by a hook that kernels have from 6.9 on.
const DENY: &str = "\
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata:
  name: deny-shadow
spec:
  lsmhooks:
  - hook: file_post_open
    args:
    - index: 0
      type: file
    selectors:
    - matchArgs:
      - index: 0
        operator: Equal
        values: [/etc/shadow]
      matchBinaries:
      - operator: In
        values: [/bin/cat]
      matchActions:
      - action: Override
        argError: -1
";

/// A workload on the newer kernel.
const WORKLOAD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: shell, namespace: default}
spec:
  nodeName: guest1
  hostNetwork: true
  terminationGracePeriodSeconds: 0
  containers:
  - name: shell
    image: localhost/busybox:1
    imagePullPolicy: Never
    command: [/bin/sleep, '36000']
";

/// What the cluster needs, in the making: at low priority, by a program of its own.
pub(super) struct Needs {
    program: Child,
    log: PathBuf,
}

impl Needs {
    /// Begins.
    pub(super) fn start() -> Result<Needs> {
        let log = log_file("what the cluster needs");
        std::fs::create_dir_all(log.with_file_name(""))?;
        let output = File::create(&log)?;
        let mut program = command("nice", ["-n", "15"]);
        program.arg(std::env::current_exe()?).arg("demo-needs");
        program.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        say(&format!("building what the cluster needs meanwhile; progress is in {}", log.display()));
        Ok(Needs { program: program.spawn().context("cannot start nice")?, log })
    }

    /// Waits until all is there, and shows how far it is.
    fn wait(mut self) -> Result<()> {
        let mut ticker = Ticker::new("what the cluster needs");
        let last = || {
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            text.lines().last().unwrap_or_default().trim_start_matches("==>").trim().to_owned()
        };
        loop {
            match self.program.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    let text = std::fs::read_to_string(&self.log)?;
                    bail!("what the cluster needs could not be made ({status}):\n{text}");
                }
                None => std::thread::sleep(Duration::from_millis(100)),
            }
            ticker.tick(last);
        }
    }
}

/// `cargo xtask demo-needs`: everything that the second stage runs.
pub(crate) fn make_needs() -> Result<i32> {
    packages::install(&[Kind::Cluster])?;
    cluster::prepare_demo(&KERNELS)?;
    this(&["image"])?;
    Ok(0)
}

/// Runs the second stage.
pub(super) fn run(options: &Options, needs: Needs) -> Result<i32> {
    needs.wait()?;
    let nodes = format!("guest:{}", KERNELS.len());
    this(&["cluster", "up", "--name", NAME, "--nodes", &nodes, "--guest-kernel", &KERNELS.join(",")])?;
    let shown = Stage::open().and_then(|stage| stage.play());
    if options.keep {
        say(&format!(
            "the cluster runs on: export KUBECONFIG=$(cargo xtask cluster kubeconfig --name {NAME})"
        ));
        say(&format!("when you are done: cargo xtask cluster down --name {NAME}"));
    } else {
        this(&["cluster", "down", "--name", NAME])?;
    }
    shown.map(i32::from)
}

fn this(args: &[&str]) -> Result<()> {
    run_command(&mut itself(args)?)
}

/// The terminal and the tools.
struct Stage {
    kubectl: PathBuf,
    helm: PathBuf,
    kubeconfig: PathBuf,
    colour: bool,
}

impl Stage {
    fn open() -> Result<Stage> {
        let stage = Stage {
            kubectl: cluster::program("kubectl")?,
            helm: cluster::program("helm")?,
            kubeconfig: cluster::own_kubeconfig(NAME)?,
            colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        };
        for image in ["tetragon", "tetragon-operator"] {
            let archive = root().join(format!("target/image/{image}.tar"));
            this(&["cluster", "load-image", "--name", NAME, &archive.display().to_string()])?;
        }
        Ok(stage)
    }

    /// Plays everything; true: something was wrong.
    fn play(&self) -> Result<bool> {
        self.title("8. Install", "One command, with Tetragon's own chart values.");
        self.helm(&[
            "upgrade",
            "--install",
            "tetragon",
            "charts/tetragon",
            "-n",
            "kube-system",
            "-f",
            VALUES,
        ])?;
        self.is_rolled_out("deploy/tetragon-operator")?;
        self.is_rolled_out("ds/tetragon")?;
        self.wait_for_nodes()?;
        self.show(
            &["get", "pods", "-n", "kube-system", "-l", "app.kubernetes.io/name=tetragon", "-o", "wide"],
            "",
        )?;
        self.show(&["get", "tetragonnodes"], "")?;

        self.title("9. Four policies", "Compiled once by the operator; what they warn of is said at once.");
        self.show(&["apply", "-f", "config/samples/seed/"], "")?;
        self.settle(4)?;
        self.show(&["get", "tracingpolicy"], "")?;

        self.title(
            "10. A broken one",
            "Refused before it reaches any node, with every reason and what would be right.",
        );
        println!("{BROKEN}");
        let refused = !self.show(&["apply", "-f", "-"], BROKEN)?;

        self.title("11. Events", "Live, from the node in the cluster, while a pod opens a secret file.");
        self.quiet_with(&["apply", "-f", "-"], WORKLOAD)?;
        let wait = ["wait", "--for=condition=Ready", "pod/shell", &timeout()];
        self.waiting("the pod starts", &mut self.command(&wait))?;
        let seen = self.events()?;

        self.title("12. What one kernel cannot do", "A policy that denies, by a hook that only newer kernels have: its status says where it is not in\nforce, and why.");
        println!("{DENY}");
        self.show(&["apply", "-f", "-"], DENY)?;
        self.settle(5)?;
        self.show(&["get", "tracingpolicy"], "")?;
        self.show(
            &["get", "tracingpolicy", "deny-shadow", "-o", "jsonpath={.status.failures}{\"\\n\"}"],
            "",
        )?;
        let denied = !self.show(&["exec", "shell", "--", "/bin/cat", "/etc/shadow"], "")?;
        self.show(&["get", "tetragonnodes"], "")?;
        for (right, wrong) in [
            (refused, "the broken policy was accepted"),
            (seen, "the open of /etc/shadow was not reported, or that of /etc/passwd was"),
            (denied, "/etc/shadow was opened"),
        ] {
            if !right {
                println!("WRONG: {wrong}");
            }
        }
        Ok(!(refused && seen && denied))
    }

    fn title(&self, title: &str, text: &str) {
        let (bold, plain) = if self.colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        println!("\n{bold}{title}{plain}\n{text}");
    }

    fn prompt(&self, words: &str) {
        let (dim, plain) = if self.colour { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        println!("{dim}$ {words}{plain}");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut kubectl = command(&self.kubectl, args);
        kubectl.env("KUBECONFIG", &self.kubeconfig).current_dir(root());
        kubectl
    }

    /// A kubectl that is shown; true: it succeeded.
    fn show(&self, args: &[&str], input: &str) -> Result<bool> {
        self.prompt(&format!("kubectl {}", args.join(" ")));
        let mut child = self.command(args).stdin(Stdio::piped()).spawn()?;
        child.stdin.take().context("a pipe")?.write_all(input.as_bytes())?;
        Ok(child.wait()?.success())
    }

    fn quiet(&self, args: &[&str]) -> Result<String> {
        output(&mut self.command(args))
    }

    fn quiet_with(&self, args: &[&str], input: &str) -> Result<()> {
        let mut child = self.command(args).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        child.stdin.take().context("a pipe")?.write_all(input.as_bytes())?;
        ensure!(child.wait()?.success(), "kubectl {args:?} failed");
        Ok(())
    }

    fn helm(&self, args: &[&str]) -> Result<()> {
        self.prompt(&format!("helm {}", args.join(" ")));
        let mut helm = command(&self.helm, args);
        run_command(helm.env("KUBECONFIG", &self.kubeconfig).current_dir(root()).stdout(Stdio::null()))
    }

    /// Waits for a workload of the chart.
    fn is_rolled_out(&self, workload: &str) -> Result<()> {
        let status = ["rollout", "status", "-n", "kube-system", workload, &timeout()];
        self.waiting(&format!("{workload} starts"), &mut self.command(&status))
    }

    /// Runs a command that waits, and shows that it does.
    fn waiting(&self, what: &str, command: &mut Command) -> Result<()> {
        progress::run(what, command, Counting::Nothing)
    }

    /// Both agents have said what their kernels can do.
    fn wait_for_nodes(&self) -> Result<()> {
        let ready = "jsonpath={range .items[*]}{.status.conditions[?(@.type==\"Ready\")].status}{end}";
        self.until("both nodes are Ready", || {
            Ok(self.quiet(&["get", "tetragonnodes", "-o", ready])? == "TrueTrue")
        })
    }

    /// Every policy is told about by every node.
    fn settle(&self, policies: usize) -> Result<()> {
        let columns = "custom-columns=M:.status.nodes.matched,P:.status.nodes.pending";
        self.until("every node has told of every policy", || {
            let table = self.quiet(&["get", "tracingpolicies", "--no-headers", "-o", columns])?;
            Ok(table.lines().filter(|l| l.split_whitespace().eq(["2", "0"])).count() == policies)
        })
    }

    fn until(&self, what: &str, ask: impl Fn() -> Result<bool>) -> Result<()> {
        let begin = Instant::now();
        let mut ticker = Ticker::new(what);
        let mut last = String::new();
        while begin.elapsed() < PATIENCE {
            // The API server may be busy: an error is shown while it lasts, and when it does not end.
            match ask() {
                Ok(true) => {
                    ticker.end();
                    return Ok(());
                }
                Ok(false) => last.clear(),
                Err(error) => last = format!("{error:#}"),
            }
            std::thread::sleep(Duration::from_millis(500));
            ticker.tick(|| last.clone());
        }
        bail!("not within {}: {what} {last}", duration(PATIENCE))
    }

    /// Shows events while the workload provokes them; true: the open was among them.
    fn events(&self) -> Result<bool> {
        let field = format!("spec.nodeName={NEW}");
        let label = "app.kubernetes.io/name=tetragon";
        let pod = self.quiet(&[
            "get",
            "pods",
            "-n",
            "kube-system",
            "-l",
            label,
            "--field-selector",
            &field,
            "-o",
            "jsonpath={.items[0].metadata.name}",
        ])?;
        let when = if self.colour { "always" } else { "never" };
        let watch = [
            "exec",
            "-n",
            "kube-system",
            pod.trim(),
            "-c",
            "tetragon",
            "--",
            "tetra",
            "getevents",
            "-o",
            "compact",
            "--color",
            when,
        ];
        self.prompt(&format!("kubectl {} &", watch.join(" ")));
        let mut live = self.command(&watch).stdout(Stdio::piped()).spawn()?;
        let lines = lines(&mut live)?;
        self.wait_for_client(&lines)?;
        let mut reported = Vec::new();
        for file in ["/etc/shadow", "/etc/passwd"] {
            self.show(&["exec", "shell", "--", "/bin/head", "-n1", file], "")?;
            reported.push(self.events_of(&lines, file)?);
        }
        live.kill()?;
        live.wait()?;
        let right = reported == [true, false];
        if right {
            println!("The open of /etc/shadow was reported; that of /etc/passwd was not.");
        }
        Ok(right)
    }

    /// Makes events until the client shows one: it is connected then.
    fn wait_for_client(&self, lines: &Receiver<String>) -> Result<()> {
        self.until("`tetra getevents` shows events", || {
            self.quiet(&["exec", "shell", "--", "/bin/true", MARK])?;
            Ok(lines.try_iter().any(|line| line.contains(MARK)))
        })
    }

    /// Shows the events of `head` on that file up to its end; true: the open was among them.
    fn events_of(&self, lines: &Receiver<String>, file: &str) -> Result<bool> {
        let mut seen = false;
        loop {
            let line = lines.recv_timeout(PATIENCE).context("`tetra getevents` shows no end of /bin/head")?;
            // Events of the kubelet and the runtime are no part of the act.
            if !line.contains("/bin/head") {
                continue;
            }
            println!("{line}");
            seen |= line.contains("security_file_open");
            if line.contains("exit") && line.contains(file) {
                return Ok(seen);
            }
        }
    }
}

fn lines(child: &mut Child) -> Result<Receiver<String>> {
    let stdout = child.stdout.take().context("a pipe")?;
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    Ok(receive)
}

/// kubectl's limit of a wait.
fn timeout() -> String {
    format!("--timeout={}s", PATIENCE.as_secs())
}
