//! The agent as a process of this guest, and `tetra`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tetragon_e2e::Printed;

use crate::bench::wait_for;
use crate::stuck;

/// Where the test puts it.
const PROGRAM: &str = "/usr/bin/tetragon";
const TETRA: &str = "/usr/bin/tetra";
const SOCKET: &str = "unix:///var/run/tetragon/tetragon.sock";
const METRICS: &str = "127.0.0.1:2112";
const READY: &str = "Listening for events";
/// A start takes seconds: the kernel checks the programs, and the guest is emulated.
const START: Duration = Duration::from_secs(900);
const STOP: Duration = Duration::from_secs(600);

/// The folder of policies.
pub(crate) const POLICIES: &str = "/etc/tetragon/tetragon.tp.d";
/// The events.
pub(crate) const EVENTS: &str = "/run/tetragon/events.log";
/// Where it pins.
pub(crate) const PINS: &str = "/sys/fs/bpf/tetragon";

/// A running agent. Dropped, it is ended, so that a scenario that fails leaves nothing in force.
pub(crate) struct Agent {
    child: Child,
    log: Printed,
    /// How long it took to be ready.
    pub(crate) start: Duration,
}

/// Empties what an agent of an earlier scenario has left, and puts policies (file name, text).
pub(crate) fn prepare(policies: &[(&str, &str)]) -> Result<()> {
    for dir in [POLICIES, "/run/tetragon"] {
        // It may not exist.
        let _ = std::fs::remove_dir_all(dir);
        std::fs::create_dir_all(dir)?;
    }
    for (name, text) in policies {
        std::fs::write(format!("{POLICIES}/{name}"), text)?;
    }
    Ok(())
}

impl Agent {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(more: &[&str]) -> Result<Agent> {
        let mut child = Command::new(PROGRAM)
            .args(["--tracing-policy-dir", POLICIES, "--export-filename", EVENTS])
            .args(["--export-file-max-size-mb", "1024", "--metrics-server", METRICS])
            .args(more)
            .env("TETRAGON_SERVER_ADDRESS", SOCKET)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {PROGRAM}"))?;
        let log = Printed::of(child.stderr.take().context("no standard error")?);
        let mut agent = Agent { child, log, start: Duration::ZERO };
        let begin = Instant::now();
        while !agent.log().contains(READY) {
            if let Some(status) = agent.child.try_wait()? {
                bail!("the agent ended before it was ready, {status}:\n{}", agent.log());
            }
            ensure!(
                begin.elapsed() < START,
                "the agent is not ready after {START:?}:\n{}{}",
                agent.log(),
                stuck::report(agent.child.id())
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        agent.start = begin.elapsed();
        Ok(agent)
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: i32) -> Result<()> {
        // SAFETY: numbers only; the process is our child and not yet waited for.
        let sent = unsafe { libc::kill(self.child.id() as i32, signal) };
        ensure!(sent == 0, "cannot signal the agent: {}", std::io::Error::last_os_error());
        Ok(())
    }

    /// Ends it as a crash would.
    pub(crate) fn crash(mut self) -> Result<()> {
        self.signal(libc::SIGKILL)?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it as it should be ended; it must have nothing to complain of.
    pub(crate) fn stop(mut self) -> Result<String> {
        self.signal(libc::SIGTERM)?;
        let end = Instant::now() + STOP;
        let status: ExitStatus = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(
                Instant::now() < end,
                "the agent does not end after {STOP:?}:\n{}{}",
                self.log(),
                stuck::report(self.child.id())
            );
            std::thread::sleep(Duration::from_millis(10));
        };
        ensure!(status.success(), "the agent ended with {status}:\n{}", self.log());
        Ok(self.log())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let ended = |child: &mut Child| child.try_wait().ok().flatten().is_some();
        if ended(&mut self.child) {
            return;
        }
        // It may be stopped.
        for signal in [libc::SIGCONT, libc::SIGTERM] {
            let _ = self.signal(signal);
        }
        let end = Instant::now() + STOP;
        while !ended(&mut self.child) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All events in the file; each line must be one.
pub(crate) fn events() -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(EVENTS).with_context(|| format!("reading {EVENTS}"))?;
    text.lines().map(|l| serde_json::from_str(l).with_context(|| format!("not an event: {l}"))).collect()
}

/// The part of an event that its kind's name leads to, and that name.
pub(crate) fn body(event: &Value) -> Option<(&str, &Value)> {
    event
        .as_object()?
        .iter()
        .find(|(k, v)| v.is_object() && k.starts_with("process_"))
        .map(|(k, v)| (k.as_str(), v))
}

/// A value of an event by its path, such as `process.binary` or `args.0.int_arg`.
pub(crate) fn field<'a>(of: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(of, |v, key| match key.parse::<usize>() {
        Ok(n) => &v[n],
        Err(_) => &v[key],
    })
}

/// Metrics as they are served now: the sample's name with its labels, and the value.
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Asks the agent.
    pub(crate) fn scrape() -> Result<Metrics> {
        let mut s = TcpStream::connect(METRICS).context("the agent serves no metrics")?;
        write!(s, "GET /metrics HTTP/1.1\r\nHost: {METRICS}\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        s.read_to_string(&mut text)?;
        ensure!(text.starts_with("HTTP/1.1 200"), "metrics: {}", text.lines().next().unwrap_or_default());
        let samples = text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| {
            let (name, value) = l.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(Metrics(samples.collect()))
    }

    /// The sum of the samples of that name which have all these labels (`stage="ringbuf"`).
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> u64 {
        let has = |sample: &str| {
            let (n, l) = sample.split_once('{').unwrap_or((sample, ""));
            n == name && labels.iter().all(|x| l.contains(x))
        };
        self.0.iter().filter(|(k, _)| has(k)).map(|(_, v)| *v as u64).sum()
    }

    /// There is a sample of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.keys().any(|k| k.split('{').next() == Some(name))
    }
}

/// Runs `tetra` with the agent's socket: standard output, if it succeeds.
pub(crate) fn tetra(args: &[&str]) -> Result<String> {
    tetra_alone(&[&["--server-address", SOCKET], args].concat())
}

/// The same, where the arguments say how the agent is reached, or nothing does.
pub(crate) fn tetra_alone(args: &[&str]) -> Result<String> {
    let out = Command::new(TETRA).args(["--timeout", "300s"]).args(args).stdin(Stdio::null()).output();
    let out = out.with_context(|| format!("cannot start {TETRA}"))?;
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    ensure!(out.status.success(), "tetra {}: {}: {}", args.join(" "), out.status, text(&out.stderr));
    Ok(text(&out.stdout))
}

/// A `tetra getevents` that runs while something happens: what it printed.
pub(crate) struct Following {
    child: Child,
    printed: Printed,
}

impl Following {
    /// Starts it, and waits until it prints events.
    pub(crate) fn start(args: &[&str]) -> Result<Following> {
        let mut child = Command::new(TETRA)
            .args(["--server-address", SOCKET, "getevents"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {TETRA}"))?;
        let printed = Printed::of(child.stdout.take().context("no output")?);
        let following = Following { child, printed };
        following.wait_for("first")?;
        Ok(following)
    }

    /// Executes a program until it is printed: from the first time on events are seen, and those before are
    /// printed.
    fn wait_for(&self, mark: &str) -> Result<()> {
        wait_for("tetra getevents prints an event", Duration::from_secs(900), || {
            let ran = Command::new("/bin/true").arg(mark).status().is_ok_and(|s| s.success());
            ran && self.printed.text().contains(&format!("/bin/true {mark}"))
        })
    }

    /// Ends it, once it has printed what happened.
    pub(crate) fn stop(mut self) -> Result<String> {
        self.wait_for("last")?;
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.printed.text())
    }
}

/// Whether anything is pinned.
pub(crate) fn pinned() -> bool {
    Path::new(PINS).exists()
}
