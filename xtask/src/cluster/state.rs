//! What a cluster consists of while it runs, kept in a file, so that another command can find and stop it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::network::Network;
use crate::tools::{describe, root};

/// How many clusters can run at once; each has its own addresses.
pub(crate) const SLOTS: u8 = 16;

/// A running process, or one that ran: the start time tells it from a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Daemon {
    pub(crate) pid: i32,
    /// In clock ticks since the machine's start, as /proc tells it.
    started: u64,
}

/// A node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Node {
    /// Where its kubelet runs.
    pub(crate) kind: NodeKind,
    /// The first is 1; it decides the node's addresses.
    pub(crate) number: u8,
    /// What it runs with: a guest's kernel series.
    pub(crate) kernel: Option<String>,
}

/// Where a node's kubelet runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NodeKind {
    /// On this machine.
    Host,
    /// In a QEMU guest.
    Guest,
}

impl std::fmt::Display for NodeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            NodeKind::Host => "host",
            NodeKind::Guest => "guest",
        })
    }
}

/// A cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) name: String,
    /// Kubernetes' version: `v1.37.2`.
    pub(crate) version: String,
    /// Decides the addresses.
    pub(crate) slot: u8,
    /// By name: `etcd`, `kube-apiserver`, `kubelet-host1`.
    pub(crate) daemons: BTreeMap<String, Daemon>,
    /// By name: `host1`, `guest1`.
    pub(crate) nodes: BTreeMap<String, Node>,
}

/// Where clusters keep what they write.
fn all() -> PathBuf {
    root().join("target/cluster")
}

impl State {
    /// A cluster that runs, or was not taken down yet.
    pub(crate) fn load(name: &str) -> Result<Option<State>> {
        let file = all().join(name).join("state.json");
        match fs::read(&file) {
            Ok(bytes) => {
                let state = serde_json::from_slice(&bytes);
                Ok(Some(state.with_context(|| format!("{} is not the state of a cluster", file.display()))?))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("reading {}", file.display())),
        }
    }

    /// The same; that there is none is an error.
    pub(crate) fn existing(name: &str) -> Result<State> {
        State::load(name)?.with_context(|| {
            format!(
                "there is no cluster `{name}`; right would be first `cargo xtask cluster up --name {name}`"
            )
        })
    }

    /// A new cluster, with the first slot that no other one has.
    pub(crate) fn new(name: &str, version: &str) -> Result<State> {
        if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            || name.is_empty()
            || name.len() > 20
        {
            bail!("`{name}` cannot name a cluster; right would be up to 20 of a-z, 0-9 and -");
        }
        let taken: Vec<u8> = State::every()?.iter().map(|s| s.slot).collect();
        let slot = (0..SLOTS).find(|s| !taken.contains(s)).with_context(|| {
            format!("{SLOTS} clusters exist already; `cargo xtask cluster down` ends one")
        })?;
        let (name, version) = (name.to_owned(), version.to_owned());
        Ok(State { name, version, slot, daemons: BTreeMap::new(), nodes: BTreeMap::new() })
    }

    /// All clusters.
    pub(crate) fn every() -> Result<Vec<State>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(all()).into_iter().flatten().flatten() {
            found.extend(State::load(&entry.file_name().to_string_lossy())?);
        }
        Ok(found)
    }

    /// The folder with everything that the cluster writes.
    pub(crate) fn folder(&self) -> PathBuf {
        all().join(&self.name)
    }

    /// The folder for sockets, whose paths must be short.
    pub(crate) fn sockets(&self) -> PathBuf {
        Path::new("/run").join(format!("tetragon-rs-{}", self.name))
    }

    /// The cluster's addresses.
    pub(crate) fn network(&self) -> Network {
        Network { slot: self.slot }
    }

    /// What an administrator uses.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder().join("kubeconfig")
    }

    /// Writes the state down.
    pub(crate) fn save(&self) -> Result<()> {
        let folder = self.folder();
        fs::create_dir_all(&folder)?;
        let new = folder.join("state.json.new");
        fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        fs::rename(new, folder.join("state.json"))
            .with_context(|| format!("writing the cluster's state to {}", folder.display()))
    }

    /// Whether a daemon of that name runs.
    pub(crate) fn runs(&self, name: &str) -> bool {
        self.daemons.get(name).is_some_and(|d| d.alive())
    }

    /// Where a daemon's output goes.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.log"))
    }

    /// Starts a daemon that outlives this program, unless it runs; gives whether it was started.
    pub(crate) fn start(&mut self, name: &str, command: &Command) -> Result<bool> {
        if self.runs(name) {
            return Ok(false);
        }
        let log = File::options().create(true).append(true).open(self.log(name))?;
        // A session of its own: what ends the terminal does not end it. `setsid` becomes the program.
        let mut detached = Command::new("setsid");
        detached.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => detached.env(key, value),
                None => detached.env_remove(key),
            };
        }
        detached.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = detached.spawn().with_context(|| format!("cannot start {}", describe(command)))?;
        let pid = i32::try_from(child.id())?;
        let daemon = Daemon::of(pid).with_context(|| self.ended(name))?;
        self.daemons.insert(name.to_owned(), daemon);
        self.save()?;
        Ok(true)
    }

    /// Stops a daemon: first kindly, then not. It is forgotten afterwards.
    pub(crate) fn stop(&mut self, name: &str, kindly: Duration) -> Result<()> {
        if let Some(daemon) = self.daemons.get(name) {
            daemon.stop(kindly).with_context(|| format!("stopping {name}"))?;
            self.daemons.remove(name);
            self.save()?;
        }
        Ok(())
    }

    /// Waits until something is so, as long as the daemon runs.
    pub(crate) fn wait_for(
        &self,
        name: &str,
        limit: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            if ready() {
                return Ok(());
            }
            if !self.runs(name) {
                bail!(self.ended(name));
            }
            if Instant::now() > end {
                bail!("{name} is not ready after {} s; {}", limit.as_secs(), self.last_words(name));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn ended(&self, name: &str) -> String {
        format!("{name} ended by itself; {}", self.last_words(name))
    }

    fn last_words(&self, name: &str) -> String {
        let log = self.log(name);
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        format!("the end of {}:\n{}", log.display(), lines[lines.len().saturating_sub(15)..].join("\n"))
    }
}

impl Daemon {
    /// The process with that pid, unless it has ended.
    fn of(pid: i32) -> Option<Daemon> {
        start_time(pid).map(|started| Daemon { pid, started })
    }

    /// Whether it runs.
    pub(crate) fn alive(self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Ends it; a time of zero means at once.
    pub(crate) fn stop(self, kindly: Duration) -> Result<()> {
        let pid = Pid::from_raw(self.pid).context("a pid of zero")?;
        if !kindly.is_zero() && self.alive() {
            let _ = kill_process(pid, Signal::TERM);
            self.wait(kindly);
        }
        if self.alive() {
            let _ = kill_process(pid, Signal::KILL);
            self.wait(Duration::from_secs(10));
        }
        if self.alive() {
            bail!("process {} does not end, not even by SIGKILL", self.pid);
        }
        Ok(())
    }

    fn wait(self, limit: Duration) {
        let end = Instant::now() + limit;
        while self.alive() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// When a process was started; nothing when there is none, or only what its parent has not read yet.
fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may contain anything; what follows its last parenthesis does not.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_its_successor() {
        let own = Daemon::of(std::process::id().cast_signed()).expect("this one runs");
        assert!(own.alive());
        assert!(!Daemon { started: own.started + 1, ..own }.alive(), "another one with this pid");
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let daemon = Daemon::of(child.id().cast_signed()).expect("it runs");
        daemon.stop(Duration::from_secs(5)).expect("it ends");
        assert!(!daemon.alive(), "although nobody has waited for it");
        child.wait().expect("now somebody has");
    }

    #[test]
    fn names_of_clusters() {
        for wrong in ["", "A", "a/b", "..", "a-name-that-is-much-too-long"] {
            let error = State::new(wrong, "v1.37.2").expect_err(wrong).to_string();
            assert!(error.contains("right would be"), "{error}");
        }
    }
}
