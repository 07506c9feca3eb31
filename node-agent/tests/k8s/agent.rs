//! The agent as a process, a way to the API server that can be cut, and what provokes events.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::bed::{Place, eventually, kubeconfig_for, server_of};

/// A way to the API server that can be cut.
pub struct Way {
    port: u16,
    open: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Way {
    /// An open way to `server`.
    pub fn to(server: &str) -> Result<Way> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let way = Way { port, open: Arc::new(AtomicBool::new(true)), connections: Arc::default() };
        let (open, connections, server) = (way.open.clone(), way.connections.clone(), server.to_owned());
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // A connection that is refused, as nearly as a listener can.
                let Some(far) =
                    open.load(Ordering::SeqCst).then(|| TcpStream::connect(&server).ok()).flatten()
                else {
                    continue;
                };
                let mut all = connections.lock().expect("no thread panics with it");
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { continue };
                    all.extend(from.try_clone());
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Both);
                    });
                }
            }
        });
        Ok(way)
    }

    /// The API server is away from here on.
    pub fn cut(&self) {
        self.open.store(false, Ordering::SeqCst);
        for connection in self.connections.lock().expect("no thread panics with it").drain(..) {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
    }

    /// It is back.
    pub fn mend(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

/// An agent, again and again with the same folders.
pub struct Agent<'a> {
    place: &'a Place<'a>,
    dir: tempfile::TempDir,
    /// To the API server.
    pub way: Way,
    child: Option<Child>,
    metrics: u16,
}

impl<'a> Agent<'a> {
    /// An agent that does not run yet.
    pub fn new(place: &'a Place<'a>) -> Result<Agent<'a>> {
        let metrics = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let way = Way::to(&server_of(place.bed)?)?;
        Ok(Agent { place, dir: tempfile::tempdir()?, way, child: None, metrics })
    }

    /// Where plans are kept.
    pub fn plans(&self) -> PathBuf {
        self.dir.path().join("plans")
    }

    /// Names of the plans that are kept.
    pub fn kept(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.plans()).into_iter().flatten().flatten();
        let names = entries.map(|e| e.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> =
            names.filter_map(|n| n.strip_suffix(".plan").map(str::to_owned)).collect();
        names.sort_unstable();
        names
    }

    /// Starts it and waits until it listens for events.
    pub fn start(&mut self) -> Result<()> {
        self.spawn(&[])?;
        self.wait_for_log("Listening for events")
    }

    /// Starts it.
    pub fn spawn(&mut self, more: &[&str]) -> Result<()> {
        let dir = self.dir.path();
        let kubeconfig = kubeconfig_for(self.place, dir, Some(self.way.port))?;
        let log = File::create(dir.join("log"))?;
        let flag = |name: &str, value: String| format!("--{name}={value}");
        let child = Command::new(env!("CARGO_BIN_EXE_tetragon"))
            .args([
                "--enable-k8s-api",
                "--export-stdout=false",
                "--tracing-policy-dir=",
                "--node-status-interval=3s",
            ])
            .args([
                flag("k8s-kubeconfig-path", kubeconfig.display().to_string()),
                flag("k8s-namespace", self.place.name.clone()),
                flag("plan-dir", self.plans().display().to_string()),
                flag("bpf-dir", format!("tetragon-{}", self.place.name)),
                flag("server-address", format!("unix://{}", dir.join("sock").display())),
                flag("metrics-server", format!("127.0.0.1:{}", self.metrics)),
                flag("export-filename", dir.join("events.json").display().to_string()),
            ])
            .args(more)
            .env("NODE_NAME", &self.place.name)
            .env_remove("POD_NAMESPACE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// What it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Waits for a line.
    pub fn wait_for_log(&mut self, text: &str) -> Result<()> {
        let path = self.dir.path().join("log");
        let child = self.child.as_mut().context("it does not run")?;
        let waited = eventually(&format!("the agent says {text:?}"), || {
            ensure!(child.try_wait()?.is_none(), "the agent has ended");
            Ok(std::fs::read_to_string(&path)?.contains(text).then_some(()))
        });
        waited.with_context(|| format!("its log:\n{}", self.log()))
    }

    /// Ends it with SIGTERM.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(libc::SIGTERM)?;
        let child = self.child.as_mut().context("it does not run")?;
        let status = child.wait()?;
        self.child = None;
        Ok(status)
    }

    /// Ends it with SIGKILL: what it has loaded goes on.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("it does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    fn signal(&self, signal: i32) -> Result<()> {
        let id = self.child.as_ref().context("it does not run")?.id();
        // SAFETY: two numbers; the process is a child that was not waited for.
        ensure!(unsafe { libc::kill(i32::try_from(id)?, signal) } == 0, "it cannot be signalled");
        Ok(())
    }

    /// How many events of a policy are exported.
    pub fn events(&self, policy: &str) -> usize {
        let text = std::fs::read_to_string(self.dir.path().join("events.json")).unwrap_or_default();
        let name = format!("\"policy_name\":\"{policy}\"");
        text.lines().filter(|l| l.contains(&name)).count()
    }

    /// Waits until events of a policy are exported that are more than `before`.
    pub fn wait_for_events(&self, policy: &str, before: usize) -> Result<()> {
        eventually(&format!("an event of {policy}"), || Ok((self.events(policy) > before).then_some(())))
    }

    /// A metric by its line up to the value.
    pub fn metric(&self, line: &str) -> Result<f64> {
        let text = self.metrics()?;
        let found = text.lines().find_map(|l| l.strip_prefix(line));
        found.with_context(|| format!("no metric {line}:\n{text}"))?.trim().parse().context("a number")
    }

    /// The sum of the series whose lines begin so.
    pub fn metric_sum(&self, begin: &str) -> Result<f64> {
        let text = self.metrics()?;
        let values = text.lines().filter(|l| l.starts_with(begin)).filter_map(|l| l.rsplit(' ').next());
        Ok(values.filter_map(|v| v.parse::<f64>().ok()).sum())
    }

    fn metrics(&self) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> Result<u64> {
        let id = self.child.as_ref().context("it does not run")?.id();
        let text = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }

    /// The pins that hold hooks.
    pub fn pinned_hooks(&self) -> usize {
        let root = format!("/sys/fs/bpf/tetragon-{}", self.place.name);
        let agents = std::fs::read_dir(root).into_iter().flatten().flatten();
        let pins = agents.filter_map(|a| std::fs::read_dir(a.path()).ok()).flatten().flatten();
        pins.filter(|p| p.file_name().to_string_lossy().starts_with("link_")).count()
    }
}

impl Drop for Agent<'_> {
    /// Nothing of a failed scenario stays: neither the process nor what it pinned.
    fn drop(&mut self) {
        if std::thread::panicking() || self.child.is_some() {
            eprintln!("--- the agent's log\n{}---", self.log());
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let root = format!("/sys/fs/bpf/tetragon-{}", self.place.name);
        let _ = std::fs::remove_dir_all(root);
    }
}

/// Argument by which this program becomes a child that seeks.
pub const SEEK: &str = "--seek";

/// Lets a process call lseek(2) with this `whence` so many times. False: it was killed.
pub fn seek(whence: u32, times: u32) -> Result<bool> {
    let me = std::env::current_exe()?;
    let status = Command::new(me).args([SEEK, &whence.to_string(), &times.to_string()]).status()?;
    Ok(status.success())
}

/// The child of [`seek`].
pub fn be_seeker(args: &[String]) -> Result<()> {
    let number = |n: usize| args.get(n).context("WHENCE TIMES")?.parse::<i32>().context("a number");
    let (whence, times) = (number(0)?, number(1)?);
    for _ in 0..times {
        // SAFETY: three numbers. It fails with EBADF, as it is meant to.
        unsafe { libc::lseek(-1, 0, whence) };
    }
    Ok(())
}
