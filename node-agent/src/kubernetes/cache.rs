//! Plans on the node's disk, so that the agent starts without the API server. A file for each plan:
//!
//! ```text
//! tetragon-rs plan 1 SHA-256 of the rest
//! {"annotations": those of the ConfigMap, "limited": the policy is in monitor mode here}
//! the plan's canonical JSON
//! ```
//!
//! A file is written beside and renamed, so that it is there whole or not at all. The file `complete` says
//! that a complete list was kept: what is missing beside it is gone from the cluster. A file that is
//! damaged is moved aside, and as long as it lies there the folder is not complete.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tetragon_api::plan::Plan;
use tetragon_api::published::{self, PlanMeta, PublishedError};

const MAGIC: &str = "tetragon-rs plan 1 ";
const COMPLETE: &str = "complete";
const PLAN: &str = "plan";
const DAMAGED: &str = "damaged";
const UNFINISHED: &str = "tmp";

/// The second line of a file.
#[derive(Serialize, Deserialize)]
struct Header {
    annotations: BTreeMap<String, String>,
    limited: bool,
}

/// A plan that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Cached {
    /// What its ConfigMap said.
    pub meta: PlanMeta,
    /// The policy was switched to monitor mode on this node.
    pub limited: bool,
    /// The plan.
    pub plan: Arc<Plan>,
}

/// A file is not what was written.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is not of this form.
    #[error("it is no plan of this version of the agent")]
    Form,
    /// It is cut or was changed.
    #[error("it was changed or cut after it was written")]
    Changed,
    /// It has another plan's name.
    #[error("it holds {0}")]
    Name(String),
    /// The plan is not what it should be.
    #[error(transparent)]
    Plan(#[from] PublishedError),
}

impl CacheError {
    /// A word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            CacheError::Plan(e) => e.reason(),
            _ => "CacheDamaged",
        }
    }
}

/// The folder.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    /// What its files say, by the name of the ConfigMap.
    held: BTreeMap<String, (PlanMeta, bool)>,
    /// Plans that could not be written.
    failed: BTreeSet<String>,
    damaged: Vec<PathBuf>,
    marked: bool,
    /// Names were changed since they were last made durable.
    dirty: bool,
}

/// What was found in the folder.
#[derive(Debug, Default)]
pub struct Found {
    /// The plans.
    pub plans: Vec<Cached>,
    /// Files that are damaged; they are moved aside.
    pub damaged: Vec<(PathBuf, CacheError)>,
}

impl Cache {
    /// Reads the folder; it is made if it does not exist.
    pub fn open(dir: &Path) -> io::Result<(Cache, Found)> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut cache = Cache {
            dir: dir.to_owned(),
            held: BTreeMap::new(),
            failed: BTreeSet::new(),
            damaged: Vec::new(),
            marked: dir.join(COMPLETE).exists(),
            dirty: false,
        };
        let mut found = Found::default();
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            match path.extension().and_then(|e| e.to_str()) {
                Some(PLAN) => cache.take(path, &mut found),
                Some(DAMAGED) => cache.damaged.push(path),
                // The agent was killed while it wrote.
                Some(UNFINISHED) => drop(std::fs::remove_file(&path)),
                _ => {}
            }
        }
        found.plans.sort_by_key(|c| (c.meta.policy.uid.clone(), c.meta.revision));
        Ok((cache, found))
    }

    fn take(&mut self, path: PathBuf, found: &mut Found) {
        match read(&path) {
            Ok(cached) => {
                self.held.insert(cached.meta.object_name(), (cached.meta.clone(), cached.limited));
                found.plans.push(cached);
            }
            Err(e) => {
                let aside = path.with_extension(DAMAGED);
                // If it cannot be moved, it is found again by the next start.
                let moved = std::fs::rename(&path, &aside).is_ok();
                self.damaged.push(if moved { aside.clone() } else { path.clone() });
                found.damaged.push((if moved { aside } else { path }, e));
            }
        }
    }

    /// It has all plans that the cluster had for this node when the agent last ran.
    pub fn is_complete(&self) -> bool {
        self.marked && self.damaged.is_empty()
    }

    /// Keeps a plan, unless it is kept like this already.
    pub fn put(&mut self, meta: &PlanMeta, limited: bool, plan: &Plan) -> io::Result<()> {
        let name = meta.object_name();
        if self.held.get(&name).is_some_and(|(m, l)| m == meta && *l == limited) {
            return Ok(());
        }
        let written = self.write(&format!("{name}.{PLAN}"), &encode(meta, limited, plan));
        if let Err(e) = written {
            // What is in force is not what is kept: the next start must not take one for the other.
            self.failed.insert(name);
            self.unmark();
            return Err(e);
        }
        self.failed.remove(&name);
        self.held.insert(name, (meta.clone(), limited));
        Ok(())
    }

    /// Forgets all plans but these.
    pub fn retain(&mut self, keep: &BTreeSet<String>) {
        let gone: Vec<String> = self.held.keys().filter(|name| !keep.contains(*name)).cloned().collect();
        for name in gone {
            let path = self.path(&format!("{name}.{PLAN}"));
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    tracing::error!("{}: cannot be removed: {e}", path.display());
                    continue;
                }
                _ => {}
            }
            self.held.remove(&name);
            self.dirty = true;
        }
        self.failed.retain(|name| keep.contains(name));
    }

    /// The plans that are kept are those of a complete list.
    pub fn mark_complete(&mut self) -> io::Result<()> {
        if !self.failed.is_empty() || self.is_complete() {
            return Ok(());
        }
        for path in std::mem::take(&mut self.damaged) {
            // One that cannot be removed is found again by the next start.
            let _ = std::fs::remove_file(path);
        }
        self.write(COMPLETE, b"")?;
        self.marked = true;
        Ok(())
    }

    /// Makes durable which files there are.
    pub fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.dirty) {
            File::open(&self.dir)?.sync_all()?;
        }
        Ok(())
    }

    fn unmark(&mut self) {
        if std::mem::take(&mut self.marked) {
            // Removing works on a full disk.
            let _ = std::fs::remove_file(self.path(COMPLETE));
            self.dirty = true;
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.path(&format!("{name}.{UNFINISHED}"));
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, self.path(name))?;
        self.dirty = true;
        Ok(())
    }
}

fn encode(meta: &PlanMeta, limited: bool, plan: &Plan) -> Vec<u8> {
    let header = Header { annotations: meta.annotations(), limited };
    // Both hold only strings, numbers and lists of them: they always serialise.
    let header = serde_json::to_string(&header).expect("a header serialises");
    let body = serde_json::to_string(plan).expect("a plan serialises");
    let rest = format!("{header}\n{body}");
    format!("{MAGIC}{}\n{rest}", digest(&rest)).into_bytes()
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

fn read(path: &Path) -> Result<Cached, CacheError> {
    let text = String::from_utf8(std::fs::read(path)?).map_err(|_| CacheError::Changed)?;
    let (first, rest) = text.split_once('\n').ok_or(CacheError::Form)?;
    if first.strip_prefix(MAGIC).ok_or(CacheError::Form)? != digest(rest) {
        return Err(CacheError::Changed);
    }
    let (header, body) = rest.split_once('\n').ok_or(CacheError::Form)?;
    let header: Header = serde_json::from_str(header).map_err(|_| CacheError::Form)?;
    let metadata = ObjectMeta { annotations: Some(header.annotations), ..ObjectMeta::default() };
    let meta = PlanMeta::from_meta(&metadata)?;
    let name = meta.object_name();
    if path.file_stem().and_then(|s| s.to_str()) != Some(&name) {
        return Err(CacheError::Name(name));
    }
    let plan = published::read(body.as_bytes(), &meta)?;
    Ok(Cached { meta, limited: header.limited, plan: Arc::new(plan) })
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
