//! What a cluster consists of while it runs, kept in a file, so that another command can find and stop it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::daemon::Daemon;
use super::network::Network;
use crate::tools::root;

/// How many clusters can run at once; each has its own addresses.
pub(crate) const SLOTS: u8 = 16;

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

    /// A new cluster, with the first slot that is free. It has it once this returns.
    pub(crate) fn new(name: &str, version: &str) -> Result<State> {
        if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            || name.is_empty()
            || name.len() > 20
        {
            bail!("`{name}` cannot name a cluster; right would be up to 20 of a-z, 0-9 and -");
        }
        fs::create_dir_all(all())?;
        let lock = File::create(all().with_extension("lock"))?;
        lock.lock().context("waiting for another one who starts a cluster")?;
        let taken: Vec<u8> = State::every()?.iter().map(|s| s.slot).collect();
        // A bridge may also be that of a cluster which another copy of this repository has started.
        let slot =
            (0..SLOTS).find(|slot| !taken.contains(slot) && !Network { slot: *slot }.exists()).with_context(
                || format!("{SLOTS} clusters exist already; `cargo xtask cluster down` ends one"),
            )?;
        let (name, version) = (name.to_owned(), version.to_owned());
        let state = State { name, version, slot, daemons: BTreeMap::new(), nodes: BTreeMap::new() };
        state.save()?;
        Ok(state)
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
        Path::new("/run").join(format!("tetragon-rs-{}", self.slot))
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
        let daemon = Daemon::start(command, &self.log(name)).with_context(|| format!("starting {name}"))?;
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
    pub(crate) fn wait_for(&self, name: &str, limit: Duration, ready: impl FnMut() -> bool) -> Result<()> {
        let daemon = self.daemons.get(name).with_context(|| format!("{name} was not started"))?;
        daemon.wait_for(&self.log(name), limit, ready).with_context(|| format!("waiting for {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_clusters() {
        for wrong in ["", "A", "a/b", "..", "a-name-that-is-much-too-long"] {
            let error = State::new(wrong, "v1.37.2").expect_err(wrong).to_string();
            assert!(error.contains("right would be"), "{error}");
        }
    }
}
