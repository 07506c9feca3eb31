//! What the benchmarks that need an API server share: kubectl, processes, waiting.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cluster;

/// kubectl, as a cluster's administrator.
pub(super) struct Kubectl {
    program: PathBuf,
    pub(super) kubeconfig: PathBuf,
}

impl Kubectl {
    pub(super) fn of(cluster: &str) -> Result<Kubectl> {
        Ok(Kubectl { program: cluster::program("kubectl")?, kubeconfig: cluster::own_kubeconfig(cluster)? })
    }

    /// Its standard output; fails unless it succeeds.
    pub(super) fn run(&self, args: &[&str], input: &str) -> Result<String> {
        let mut child = Command::new(&self.program)
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("a pipe")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// A process that ends with its owner.
pub(super) struct Running(pub(super) Child);

impl Running {
    /// A file of its folder in /proc.
    pub(super) fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.0.id());
        std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))
    }

    /// A line of its status, `VmHWM:` for its highest resident memory, in MiB.
    pub(super) fn memory(&self, what: &str) -> Result<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|l| l.strip_prefix(what)).context("no such line")?;
        let kib: f64 = line.split_whitespace().next().unwrap_or_default().parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks again until there is an answer; the last error when the time is up.
pub(super) fn wait<T>(within: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let begin = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(e) if begin.elapsed() > within => return Err(e),
            Err(_) => std::thread::sleep(Duration::from_millis(250)),
        }
    }
}
