//! The process cache: what events say of processes, by the name the kernel gives them (thread group
//! id and the time of the fork or exec). Parents stay while they have children; the rest is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tetragon_abi::config::NAMESPACES;
use tetragon_abi::engine::{PROC_CLONE, PROC_INIT_TREE};
use tetragon_abi::record;
use tetragon_api::event::{EnvVar, Process, UserRecord};
use tetragon_engine::ExecRecord;
use tetragon_filters::Redaction;

use crate::clock::Clock;
use crate::facts;
use crate::pods::cgroup::Place;
use crate::pods::object::{Container, Pod};
use crate::procfs::ProcInfo;
use crate::users::Users;

/// Name of a process: thread group id, and the time of its fork or last exec.
pub type Key = (u32, u64);

/// Ended processes that stay for a while even without children: records of other threads may follow.
const GRAVES: usize = 256;

/// Where namespaces stand in the order of their kinds.
const MNT: usize = 2;
const USER: usize = 9;

/// What decides how a process is shown.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Processes kept at most.
    pub capacity: usize,
    /// The node's name, for exec ids.
    pub node: String,
    /// Show capabilities and credentials.
    pub cred: bool,
    /// Show namespaces.
    pub ns: bool,
    /// The node's own namespaces, in the order of their kinds; 0: not known.
    pub host_ns: [u32; NAMESPACES],
    /// What of arguments and environments is hidden.
    pub redaction: Redaction,
    /// Of the environments that are read: variables with these names are shown; none: all.
    pub environment_names: Vec<String>,
}

/// A process as events show it. It does not change: an exec makes a new one.
#[derive(Clone, Debug)]
pub struct Proc {
    /// Its name.
    pub key: Key,
    /// The parent's name.
    pub parent: Option<Key>,
    /// What events say of it.
    pub message: Process,
    /// Its arguments as they were, if events hide some of them: for this program alone.
    pub hidden: Option<String>,
    /// Of the program: privileges that it gained.
    pub binary_properties: Option<tetragon_api::event::BinaryProperties>,
    /// Permitted capabilities.
    pub permitted: u64,
    /// The container that it is in.
    pub place: Place,
    /// Its id in its own PID namespace, 0 in the host's.
    pub nspid: u32,
    /// The pod that it was found in: it may outlive what is known of that.
    pub pod: OnceLock<(Arc<Pod>, Arc<Container>)>,
}

impl Proc {
    /// Bytes that it takes, roughly.
    fn size(&self) -> usize {
        let m = &self.message;
        let texts = [&m.exec_id, &m.cwd, &m.binary, &m.arguments, &m.flags, &m.docker, &m.parent_exec_id];
        let caps = m.cap.as_ref().map_or(0, |c| c.permitted.len() + c.effective.len() + c.inheritable.len());
        let hidden = self.hidden.as_ref().map_or(0, String::capacity);
        let variable = |v: &EnvVar| size_of::<EnvVar>() + v.key.capacity() + v.value.capacity();
        let environment: usize = m.environment_variables.iter().map(variable).sum();
        size_of::<Proc>()
            + hidden
            + environment
            + texts.iter().map(|t| t.capacity()).sum::<usize>()
            + 4 * caps
    }
}

/// What is known of a process.
#[derive(Debug)]
enum Body {
    /// All of it.
    Known(Arc<Proc>),
    /// It is a fork of this program that has executed nothing yet. Most forks execute or end soon:
    /// the message is made when somebody asks.
    Fork { of: Option<Arc<Proc>>, init_tree: bool, nspid: u32 },
}

#[derive(Debug)]
struct Entry {
    body: Body,
    parent: Option<Key>,
    children: u32,
    ended: bool,
    /// In the queue of recently ended ones.
    grave: bool,
}

/// Numbers of the cache, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Processes in it.
    pub size: usize,
    /// Processes that fit.
    pub capacity: usize,
    /// Bytes that they take, roughly.
    pub bytes: usize,
    /// Processes that were thrown out because it was full.
    pub evictions: u64,
    /// Look-ups that found nothing.
    pub misses: u64,
}

/// The cache.
#[derive(Debug)]
pub struct Cache {
    options: Options,
    /// Who users are, if events are to say.
    users: Option<Users>,
    clock: Clock,
    entries: BTreeMap<Key, Entry>,
    graves: VecDeque<Key>,
    /// Ended processes with children, oldest first; what is gone meanwhile is passed over.
    retained: VecDeque<Key>,
    bytes: usize,
    evictions: u64,
    misses: u64,
}

impl Cache {
    /// An empty cache.
    pub fn new(options: Options, clock: Clock) -> Cache {
        Cache {
            options,
            users: None,
            clock,
            entries: BTreeMap::new(),
            graves: VecDeque::new(),
            retained: VecDeque::new(),
            bytes: 0,
            evictions: 0,
            misses: 0,
        }
    }

    /// Processes of the node itself have the names of their users.
    pub fn with_users(self, users: Users) -> Cache {
        Cache { users: Some(users), ..self }
    }

    /// The user of a process, if it sees the node's files and users as the node does.
    fn user(&mut self, message: &Process, ns: &[u32; NAMESPACES]) -> Option<UserRecord> {
        let users = self.users.as_mut()?;
        let of_node = |kind: usize| ns[kind] != 0 && ns[kind] == self.options.host_ns[kind];
        if !of_node(MNT) || !of_node(USER) {
            return None;
        }
        users.name(message.uid?).map(|name| UserRecord { name: name.to_owned() })
    }

    /// The clock that turns kernel times into times of day.
    pub fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }

    /// The time of day of a kernel time.
    pub fn timestamp(&self, ktime: u64) -> tetragon_api::event::Timestamp {
        self.clock.timestamp(ktime)
    }

    /// How it is doing.
    pub fn stats(&self) -> Stats {
        Stats {
            size: self.entries.len(),
            capacity: self.options.capacity,
            bytes: self.bytes + self.entries.len() * (size_of::<Entry>() + size_of::<Key>()),
            evictions: self.evictions,
            misses: self.misses,
        }
    }

    /// A process was made.
    pub fn fork(&mut self, fork: &record::Fork) {
        let parent = self.resolve(fork.parent, fork.parent_ktime);
        let of = parent.and_then(|p| self.program(p));
        let init_tree = fork.flags & PROC_INIT_TREE != 0;
        let key = (fork.header.tgid, fork.header.process);
        self.insert(key, parent, Body::Fork { of, init_tree, nspid: fork.nspid });
    }

    /// A program was executed. The result is the process as it is from now on. `place` says where, from
    /// where it was before, or what made it.
    pub fn exec(&mut self, exec: &ExecRecord, place: impl FnOnce(&Place) -> Place) -> Arc<Proc> {
        let fixed = &exec.fixed;
        let tgid = fixed.header.tgid;
        let old = self.resolve(tgid, fixed.old_ktime);
        let before = old.and_then(|o| self.program(o));
        let old_permitted = before.as_ref().map(|p| p.permitted);
        // The first program of a process has the process's parent; a later one has the one before.
        let forked =
            old.and_then(|o| self.entries.get(&o)).is_some_and(|e| matches!(e.body, Body::Fork { .. }));
        let clone = fixed.flags & PROC_CLONE != 0;
        let parent = match old {
            Some(old) if !forked && !clone => Some(old),
            Some(old) => self.entries.get(&old).and_then(|e| e.parent).or(self.latest(fixed.parent)),
            None => self.latest(fixed.parent).filter(|p| p.0 != tgid),
        };
        let key = (tgid, fixed.header.process);
        let before = before.or_else(|| self.program(parent?));
        let place = place(&before.as_ref().map(|p| p.place.clone()).unwrap_or_default());
        // In the same container it is of the same pod, also when nobody knows that any more.
        let pod = before.filter(|p| p.place == place).map(|p| p.pod.clone()).unwrap_or_default();
        let mut message = facts::exec_message(exec, &self.options, &self.clock, key, parent);
        message.docker = place.shown().to_owned();
        let hidden = facts::redact(&mut message, &self.options);
        message.user = self.user(&message, &fixed.cred.ns);
        let proc = Arc::new(Proc {
            key,
            parent,
            message,
            hidden,
            binary_properties: facts::binary_properties(exec, old_permitted),
            permitted: fixed.cred.caps[1],
            place,
            nspid: fixed.nspid,
            pod,
        });
        self.insert(key, parent, Body::Known(proc.clone()));
        if let Some(old) = old.filter(|o| *o != key) {
            self.end(old);
        }
        proc
    }

    /// A process has entered another container. The result is the process as it is from now on.
    pub fn moved(&mut self, proc: &Proc, place: Place) -> Arc<Proc> {
        let mut moved = Proc { pod: OnceLock::new(), ..proc.clone() };
        moved.message.docker = place.shown().to_owned();
        moved.place = place;
        let moved = Arc::new(moved);
        if let Some(entry) = self.entries.get_mut(&proc.key)
            && let Body::Known(known) = &mut entry.body
        {
            self.bytes = self.bytes - known.size() + moved.size();
            *known = moved.clone();
        }
        moved
    }

    /// A process ended; it stays known for a while. `None`: it was not known.
    pub fn exit(&mut self, header: &record::Header) -> Option<Arc<Proc>> {
        let proc = self.find(header.tgid, header.process)?;
        let key = self.resolve(header.tgid, header.process)?;
        self.end(key);
        Some(proc)
    }

    /// A process of which a record speaks.
    pub fn find(&mut self, tgid: u32, ktime: u64) -> Option<Arc<Proc>> {
        let Some(key) = self.resolve(tgid, ktime) else {
            self.misses += 1;
            return None;
        };
        self.get(key)
    }

    /// A process by its name.
    pub fn get(&mut self, key: Key) -> Option<Arc<Proc>> {
        let entry = self.entries.get(&key)?;
        match &entry.body {
            Body::Known(proc) => Some(proc.clone()),
            Body::Fork { of, init_tree, nspid } => {
                let message = facts::fork_message(
                    of.as_deref(),
                    *init_tree,
                    &self.options,
                    &self.clock,
                    key,
                    entry.parent,
                );
                let permitted = of.as_ref().map_or(0, |p| p.permitted);
                let proc = Arc::new(Proc {
                    key,
                    parent: entry.parent,
                    message,
                    hidden: of.as_ref().and_then(|p| p.hidden.clone()),
                    binary_properties: None,
                    permitted,
                    place: of.as_ref().map(|p| p.place.clone()).unwrap_or_default(),
                    nspid: *nspid,
                    pod: of.as_ref().map(|p| p.pod.clone()).unwrap_or_default(),
                });
                // A fork that nobody knows the program of is not remembered as known.
                if of.is_some() {
                    self.bytes += proc.size();
                    if let Some(entry) = self.entries.get_mut(&key) {
                        // It stays a fork for its first exec: `exec` sees PROC_CLONE then.
                        entry.body = Body::Known(proc.clone());
                    }
                }
                Some(proc)
            }
        }
    }

    /// The parents of a process, the nearest first, at most `limit`.
    pub fn ancestors(&mut self, proc: &Proc, limit: usize) -> Vec<Arc<Proc>> {
        let mut list = Vec::new();
        let mut next = proc.parent;
        while let Some(key) = next.filter(|_| list.len() < limit) {
            let Some(parent) = self.get(key) else { break };
            next = parent.parent;
            list.push(parent);
        }
        list
    }

    /// Puts in what /proc says; parents are found whatever the order.
    pub fn seed(&mut self, infos: &[ProcInfo]) -> Vec<Arc<Proc>> {
        let starts: BTreeMap<u32, u64> = infos.iter().map(|i| (i.tgid, i.ktime)).collect();
        let mut list = Vec::with_capacity(infos.len());
        for info in infos {
            list.push(self.seed_one(info, starts.get(&info.parent).map(|k| (info.parent, *k))));
        }
        list
    }

    /// Puts in one process that /proc knows.
    pub fn seed_one(&mut self, info: &ProcInfo, parent: Option<Key>) -> Arc<Proc> {
        let parent = parent.or_else(|| self.latest(info.parent));
        let key = (info.tgid, info.ktime);
        let mut message = facts::proc_message(info, &self.options, &self.clock, key, parent);
        let hidden = facts::redact(&mut message, &self.options);
        message.user = self.user(&message, &info.cred.ns);
        let permitted = info.cred.caps[1];
        let (place, nspid) = (info.place.clone(), info.nspid);
        let proc = Arc::new(Proc {
            key,
            parent,
            message,
            hidden,
            binary_properties: None,
            permitted,
            place,
            nspid,
            pod: OnceLock::new(),
        });
        self.insert(key, parent, Body::Known(proc.clone()));
        proc
    }

    /// The name in the cache of what the kernel calls `(tgid, ktime)`. The kernel may not know the
    /// time of a process that is older than its tables (0), and what /proc said has a coarser one.
    fn resolve(&self, tgid: u32, ktime: u64) -> Option<Key> {
        let key = (tgid, ktime);
        if self.entries.contains_key(&key) {
            return Some(key);
        }
        let latest = self.latest(tgid)?;
        let old = match &self.entries.get(&latest)?.body {
            Body::Known(proc) => proc.message.flags.contains("procFS"),
            Body::Fork { .. } => false,
        };
        (ktime == 0 || old).then_some(latest)
    }

    /// The newest process with this id.
    fn latest(&self, tgid: u32) -> Option<Key> {
        self.entries.range((tgid, 0)..=(tgid, u64::MAX)).next_back().map(|(key, _)| *key)
    }

    /// The program that runs in a process, without making a message for a fork.
    fn program(&self, key: Key) -> Option<Arc<Proc>> {
        match &self.entries.get(&key)?.body {
            Body::Known(proc) => Some(proc.clone()),
            Body::Fork { of, .. } => of.clone(),
        }
    }

    fn insert(&mut self, key: Key, parent: Option<Key>, body: Body) {
        // The parent first: it must not be thrown out to make room for its child.
        let parent = parent.filter(|p| *p != key && self.entries.contains_key(p));
        if let Some(parent) = parent.and_then(|p| self.entries.get_mut(&p)) {
            parent.children += 1;
        }
        // The id is used again: what had it before is over, whether its exit was reported or not.
        if let Some(before) = self.latest(key.0).filter(|b| *b != key) {
            self.end(before);
        }
        while self.entries.len() >= self.options.capacity {
            self.evict();
        }
        if let Body::Known(proc) = &body {
            self.bytes += proc.size();
        }
        let entry = Entry { body, parent, children: 0, ended: false, grave: false };
        if let Some(replaced) = self.entries.insert(key, entry) {
            self.forget(&replaced);
            // Children stay children of the name.
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.children = replaced.children;
            }
        }
    }

    /// The process is over.
    fn end(&mut self, key: Key) {
        let Some(entry) = self.entries.get_mut(&key).filter(|e| !e.ended) else { return };
        entry.ended = true;
        entry.grave = true;
        self.graves.push_back(key);
        if self.graves.len() > GRAVES {
            self.bury();
        }
    }

    /// The longest ended process leaves the queue: it is removed unless it has children.
    fn bury(&mut self) -> bool {
        let Some(key) = self.graves.pop_front() else { return false };
        let Some(entry) = self.entries.get_mut(&key).filter(|e| e.grave) else { return true };
        entry.grave = false;
        if entry.children == 0 {
            self.remove(key);
            return true;
        }
        self.retained.push_back(key);
        if self.retained.len() > 2 * self.entries.len() + 64 {
            let entries = &self.entries;
            self.retained.retain(|k| entries.get(k).is_some_and(|e| e.ended && !e.grave));
        }
        true
    }

    /// Makes room: ended processes first, then ended ones with children, then any.
    fn evict(&mut self) {
        self.evictions += 1;
        let before = self.entries.len();
        while self.entries.len() == before {
            if self.bury() {
                continue;
            }
            let key = match self.retained.pop_front() {
                Some(key) if self.entries.get(&key).is_some_and(|e| e.ended) => Some(key),
                Some(_) => continue,
                // The longest living have the lowest ids, mostly.
                None => self.entries.keys().next_back().copied(),
            };
            let Some(key) = key else { return };
            self.remove(key);
        }
    }

    /// Removes a process, and those of its ancestors that were only kept for it.
    fn remove(&mut self, key: Key) {
        let mut next = Some(key);
        while let Some(key) = next {
            let Some(entry) = self.entries.remove(&key) else { return };
            next = self.forget(&entry);
        }
    }

    /// Accounts for an entry that is gone. The result is the parent, if it may go too.
    fn forget(&mut self, entry: &Entry) -> Option<Key> {
        if let Body::Known(proc) = &entry.body {
            self.bytes -= proc.size();
        }
        let key = entry.parent?;
        let parent = self.entries.get_mut(&key)?;
        parent.children = parent.children.saturating_sub(1);
        (parent.ended && !parent.grave && parent.children == 0).then_some(key)
    }
}

/// The exec id of a process.
pub fn exec_id(node: &str, key: Key) -> String {
    let mut text = String::with_capacity(node.len() + 32);
    text.push_str(node);
    text.push(':');
    text.push_str(&key.1.to_string());
    text.push(':');
    text.push_str(&key.0.to_string());
    STANDARD.encode(text)
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
