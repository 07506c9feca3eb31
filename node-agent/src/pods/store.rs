//! The pods of the node, by uid, and their containers, by id. What was deleted, or replaced by a restart,
//! stays for a while: its last events come later than the news of its end.
//!
//! The API server's word is the richer one and replaces what the container runtime has told, which is here
//! earlier; never the other way round.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tetragon_api::workload::Choice;

use super::cgroup::{OfPod, Place, SHOWN};
use super::counts::Counts;
use super::object::{Container, OfSpec, Pod};
use super::{Change, Subject};
use crate::counters::add;

/// How long what is gone stays.
pub const RETAIN: Duration = Duration::from_secs(60);

/// What is known of a place.
#[derive(Clone, Debug)]
pub enum Found {
    /// It is of no pod.
    None,
    /// It may be one of a pod that is not known yet.
    Unknown,
    /// The pod is known. Its container is not, or not yet.
    Pod(Arc<Pod>),
    /// It is the sandbox of a pod, which is no container.
    Sandbox(Arc<Pod>),
    /// Both are known.
    Container(Arc<Pod>, Arc<Container>),
}

type Listener = Box<dyn Fn(Change) + Send>;

/// The pods of the node.
pub struct Store {
    inner: Mutex<Inner>,
    /// Counts changes, so that who waits need not take the lock to see that there was none.
    changes: AtomicU64,
    /// Deleted pods kept at most.
    deleted_max: usize,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Inner {
    /// By uid.
    pods: HashMap<Arc<str>, Entry>,
    /// From the uid of cgroups to the pod's.
    by_cgroup: HashMap<Arc<str>, Arc<str>>,
    /// By the first characters of the id.
    containers: HashMap<Box<str>, (Arc<str>, Arc<Container>)>,
    /// Sandboxes that a runtime has told of, as containers are found: the uid in the paths of cgroups, and
    /// whether the runtime still has it.
    sandboxes: HashMap<Box<str>, (Arc<str>, bool)>,
    /// Pods that are gone, by uid, oldest first.
    gone_pods: VecDeque<(Instant, Arc<str>)>,
    deleted: usize,
    /// Containers that were replaced or removed, oldest first.
    gone_containers: VecDeque<(Instant, Box<str>)>,
    /// Since when, the last time, unless they were named again.
    ended: HashMap<Box<str>, Instant>,
    /// Uids that a list has told so far.
    listed: Option<HashSet<Arc<str>>>,
    /// All pods were told, once at least.
    whole: bool,
    listeners: Vec<Listener>,
    /// Namespaces and names of pods that were forgotten.
    forgotten: Vec<(String, String)>,
}

struct Entry {
    pod: Arc<Pod>,
    /// It is deleted since.
    deleted: Option<Instant>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("changes", &self.changes).finish_non_exhaustive()
    }
}

/// How a container is found.
fn key(id: &str) -> Box<str> {
    id.get(..SHOWN).unwrap_or(id).into()
}

impl Store {
    /// A store that knows nothing. `deleted_max`: deleted pods kept at most.
    pub fn new(deleted_max: usize, counts: Arc<Counts>) -> Store {
        Store { inner: Mutex::default(), changes: AtomicU64::new(0), deleted_max, counts }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that is another one after each change.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Who is told of changes from now on; what is known already is told first. It is called under the
    /// store's lock, in the order of the changes: it must neither wait nor use the store.
    pub fn subscribe(&self, listener: impl Fn(Change) + Send + 'static) {
        let mut inner = self.lock();
        for entry in inner.pods.values() {
            listener(pod_change(&entry.pod));
        }
        for (uid, container) in inner.containers.values() {
            if let Some(entry) = inner.pods.get(uid) {
                listener(container_change(&entry.pod, container));
            }
        }
        if inner.whole {
            listener(REST);
        }
        inner.listeners.push(Box::new(listener));
    }

    /// All pods are about to be told.
    pub fn begin_list(&self) {
        self.lock().listed = Some(HashSet::new());
    }

    /// All were told: the others are deleted.
    pub fn end_list(&self, now: Instant) {
        let mut inner = self.lock();
        let Some(listed) = inner.listed.take() else { return };
        let lives = inner.pods.iter().filter(|(_, e)| e.deleted.is_none());
        let gone: Vec<Arc<str>> =
            lives.map(|(uid, _)| uid.clone()).filter(|uid| !listed.contains(uid)).collect();
        for uid in gone {
            self.delete_in(&mut inner, &uid, now);
        }
        inner.end_first();
        drop(inner);
        self.changed();
    }

    /// The container runtime has told of all its pods, and there is nobody else who tells of any.
    pub fn runtime_has_told_all(&self) {
        self.lock().end_first();
    }

    /// A pod is new, or is another than before.
    pub fn apply(&self, pod: Pod, now: Instant) {
        let pod = Arc::new(pod);
        let mut inner = self.lock();
        if let Some(listed) = &mut inner.listed {
            listed.insert(pod.uid.clone());
        }
        let entry = Entry { pod: pod.clone(), deleted: None };
        let before = inner.pods.insert(pod.uid.clone(), entry);
        if before.as_ref().is_some_and(|b| b.deleted.is_some()) {
            inner.deleted -= 1;
        }
        inner.adopt(&pod);
        let before = before.map(|b| b.pod);
        if before.as_ref().is_none_or(|b| b.identity(None) != pod.identity(None)) {
            inner.tell(&pod_change(&pod));
            // Those that were replaced are still of this pod.
            inner.tell_old(&pod);
        }
        for named in &pod.containers {
            let known = inner.containers.get(&key(named.id())).map(|(_, c)| c.clone());
            // Of one before a restart only the id is told, beside its successor's image: what was told of it
            // while it ran stays.
            let told = before.as_ref().is_some_and(|b| has(b, named.id()));
            let container = known.clone().filter(|c| told && c.whole && !named.running);
            let container = container.unwrap_or_else(|| named.clone());
            inner.ended.remove(&key(container.id()));
            inner.containers.insert(key(container.id()), (pod.uid.clone(), container.clone()));
            let old = before.as_ref().zip(known).map(|(b, c)| b.identity(Some(&c)));
            if old != Some(pod.identity(Some(&container))) {
                inner.tell(&container_change(&pod, &container));
            }
        }
        for container in before.iter().flat_map(|b| &b.containers) {
            if !has(&pod, container.id()) {
                inner.end_container(container.id(), now);
            }
        }
        drop(inner);
        self.changed();
    }

    /// The container runtime has told of a pod, and of containers of it.
    pub fn learn(&self, mut told: Pod) {
        let containers = std::mem::take(&mut told.containers);
        let mut inner = self.lock();
        let pod = inner.learn_pod(told);
        for container in containers {
            inner.learn_container(&pod, &container);
        }
        drop(inner);
        self.changed();
    }

    /// The container runtime has told of the sandbox of a pod, by the uid in the paths of cgroups.
    pub fn learn_sandbox(&self, id: &str, uid: &str) {
        let mut inner = self.lock();
        inner.sandboxes.insert(key(id), (uid.into(), true));
        drop(inner);
        self.changed();
    }

    /// A runtime has told of a container of a pod, by the uid in the paths of cgroups. False: the pod is not
    /// known.
    pub fn learn_container(&self, uid: &str, told: &Container) -> bool {
        let mut inner = self.lock();
        let known = inner.by_cgroup.get(uid).and_then(|uid| inner.pods.get(uid));
        let Some(pod) = known.map(|e| e.pod.clone()) else { return false };
        inner.learn_container(&pod, told);
        drop(inner);
        self.changed();
        true
    }

    /// The container runtime has removed a container.
    pub fn removed_container(&self, id: &str, now: Instant) {
        self.lock().end_container(id, now);
    }

    /// The container runtime has removed the sandbox of a pod. The pod may have another.
    pub fn removed_sandbox(&self, id: &str, uid: &str, now: Instant) {
        let another = {
            let mut inner = self.lock();
            if let Some((_, there)) = inner.sandboxes.get_mut(&key(id)) {
                *there = false;
            }
            inner.sandboxes.values().any(|(of, there)| *there && **of == *uid)
        };
        if !another {
            self.runtime_has(now, |told| told != uid);
        }
    }

    /// Of the pods that only the runtime has told of, those are no more that it `has` no more.
    pub fn runtime_has(&self, now: Instant, has: impl Fn(&str) -> bool) {
        let mut inner = self.lock();
        let told = inner.pods.values().filter(|e| !e.pod.is_reported() && !has(&e.pod.cgroup_uid));
        let gone: Vec<Arc<str>> = told.map(|e| e.pod.uid.clone()).collect();
        for uid in gone {
            self.delete_in(&mut inner, &uid, now);
        }
    }

    /// A pod is deleted.
    pub fn delete(&self, uid: &str, now: Instant) {
        self.delete_in(&mut self.lock(), uid, now);
        self.changed();
    }

    fn delete_in(&self, inner: &mut Inner, uid: &str, now: Instant) {
        let Some(entry) = inner.pods.get_mut(uid).filter(|e| e.deleted.is_none()) else { return };
        entry.deleted = Some(now);
        let uid = entry.pod.uid.clone();
        inner.deleted += 1;
        inner.gone_pods.push_back((now, uid));
    }

    /// Forgets what has been gone for long enough, and pods that are too many.
    pub fn sweep(&self, now: Instant) {
        let mut inner = self.lock();
        let due = |since: Instant| now.saturating_duration_since(since) >= RETAIN;
        while inner.gone_containers.front().is_some_and(|(since, _)| due(*since)) {
            let Some((since, key)) = inner.gone_containers.pop_front() else { break };
            inner.forget_container(&key, since);
        }
        while let Some((since, _)) = inner.gone_pods.front() {
            let due = due(*since);
            if !due && inner.deleted <= self.deleted_max {
                return;
            }
            let Some((since, uid)) = inner.gone_pods.pop_front() else { return };
            if inner.forget_pod(&uid, since) && !due {
                add(&self.counts.deleted_evictions, 1);
            }
        }
    }

    /// What is known of a place.
    pub fn find(&self, place: &Place) -> Found {
        let inner = self.lock();
        let known = place.container.as_deref().and_then(|id| inner.containers.get(&*key(id)));
        if let Some((entry, container)) = known.and_then(|(uid, c)| Some((inner.pods.get(uid)?, c))) {
            if entry.deleted.is_some() {
                add(&self.counts.deleted_hits, 1);
            }
            return Found::Container(entry.pod.clone(), container.clone());
        }
        let sandbox = place.container.as_deref().and_then(|id| inner.sandboxes.get(&*key(id)));
        let of = |uid: &Arc<str>| inner.by_cgroup.get(uid).and_then(|uid| inner.pods.get(uid));
        if let Some(entry) = sandbox.and_then(|(uid, _)| of(uid)) {
            return Found::Sandbox(entry.pod.clone());
        }
        match &place.pod {
            OfPod::No => Found::None,
            OfPod::Maybe => self.unknown(),
            OfPod::Uid(uid) => match of(uid) {
                Some(entry) => Found::Pod(entry.pod.clone()),
                None => self.unknown(),
            },
        }
    }

    fn unknown(&self) -> Found {
        add(&self.counts.not_found, 1);
        Found::Unknown
    }

    /// How many pods, and containers of them, are chosen: of those that live.
    pub fn count(&self, choice: &Choice) -> (usize, usize) {
        let inner = self.lock();
        let lives = inner.pods.values().filter(|e| e.deleted.is_none());
        let of_pod = |entry: &Entry| {
            let running = entry.pod.containers.iter().filter(|c| c.running);
            running.filter(|c| choice.select(&entry.pod.identity(Some(c)))).count()
        };
        lives.map(of_pod).filter(|n| *n > 0).fold((0, 0), |(pods, containers), n| (pods + 1, containers + n))
    }

    /// Namespaces and names of pods that were forgotten since the last call, and have no successor.
    pub fn take_forgotten(&self) -> Vec<(String, String)> {
        let mut inner = self.lock();
        let forgotten = std::mem::take(&mut inner.forgotten);
        let names: HashSet<(&str, &str)> =
            inner.pods.values().map(|e| (e.pod.namespace.as_str(), e.pod.name.as_str())).collect();
        forgotten.into_iter().filter(|(ns, name)| !names.contains(&(ns, name))).collect()
    }

    /// Pods and containers in it, with those that are kept for a while.
    pub fn size(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.pods.len(), inner.containers.len())
    }
}

impl Inner {
    fn tell(&self, change: &Change) {
        self.listeners.iter().for_each(|listener| listener(change.clone()));
    }

    /// All pods were told. The first time, what nobody has told is no more.
    fn end_first(&mut self) {
        if !std::mem::replace(&mut self.whole, true) {
            self.tell(&REST);
        }
    }

    /// A pod has come from the API server. A static pod has another uid there than with its runtime.
    fn adopt(&mut self, pod: &Pod) {
        // What another pod is called by is not given away.
        if pod.cgroup_uid != pod.uid && self.pods.get(&pod.cgroup_uid).is_some_and(|e| e.pod.is_reported()) {
            return;
        }
        let before = self.by_cgroup.insert(pod.cgroup_uid.clone(), pod.uid.clone());
        let Some(told) = before.filter(|uid| *uid != pod.uid) else { return };
        if self.pods.get(&told).is_none_or(|e| e.pod.is_reported()) {
            return;
        }
        if self.pods.remove(&told).is_some_and(|e| e.deleted.is_some()) {
            self.deleted -= 1;
        }
        for (uid, _) in self.containers.values_mut().filter(|(uid, _)| *uid == told) {
            *uid = pod.uid.clone();
        }
    }

    /// What is known of a pod that the runtime has told of.
    fn learn_pod(&mut self, told: Pod) -> Arc<Pod> {
        let known = self.by_cgroup.get(&told.cgroup_uid).and_then(|uid| self.pods.get(uid));
        let same = |e: &&Entry| e.pod.is_reported() || e.deleted.is_none() && *e.pod == told;
        if let Some(entry) = known.filter(same) {
            return entry.pod.clone();
        }
        let pod = Arc::new(told);
        let entry = Entry { pod: pod.clone(), deleted: None };
        if self.pods.insert(pod.uid.clone(), entry).is_some_and(|before| before.deleted.is_some()) {
            self.deleted -= 1;
        }
        self.by_cgroup.insert(pod.cgroup_uid.clone(), pod.uid.clone());
        self.tell(&pod_change(&pod));
        self.tell_old(&pod);
        pod
    }

    fn learn_container(&mut self, pod: &Arc<Pod>, told: &Container) {
        let key = key(told.id());
        let known = self.containers.get(&key);
        if has(pod, told.id()) || known.is_some_and(|(_, c)| c.whole && !told.whole) {
            return;
        }
        let spec = OfSpec::of(&pod.specs, &told.name);
        let container = Arc::new(Container { spec, ..told.clone() });
        let before = self.containers.insert(key, (pod.uid.clone(), container.clone()));
        if before.is_none_or(|(_, c)| pod.identity(Some(&c)) != pod.identity(Some(&container))) {
            self.tell(&container_change(pod, &container));
        }
    }

    /// Tells of containers of a pod that its status does not name any more, or not yet.
    fn tell_old(&self, pod: &Arc<Pod>) {
        if self.listeners.is_empty() {
            return;
        }
        for (uid, container) in self.containers.values() {
            if *uid == pod.uid && !has(pod, container.id()) {
                self.tell(&container_change(pod, container));
            }
        }
    }

    fn end_container(&mut self, id: &str, now: Instant) {
        self.ended.insert(key(id), now);
        self.gone_containers.push_back((now, key(id)));
    }

    /// Unless the pod names it again, or it was replaced again later.
    fn forget_container(&mut self, key: &str, since: Instant) {
        if self.ended.get(key) != Some(&since) {
            return;
        }
        self.ended.remove(key);
        let Some((uid, container)) = self.containers.get(key) else { return };
        if self.pods.get(uid).is_some_and(|e| has(&e.pod, container.id())) {
            return;
        }
        let id = container.id().to_owned();
        self.containers.remove(key);
        self.tell(&Change { subject: Subject::Container(id), identity: None });
    }

    /// Unless it lives again, or was deleted again later. True: it is forgotten.
    fn forget_pod(&mut self, uid: &str, since: Instant) -> bool {
        if self.pods.get(uid).is_none_or(|e| e.deleted != Some(since)) {
            return false;
        }
        let Some(Entry { pod, .. }) = self.pods.remove(uid) else { return false };
        self.deleted -= 1;
        // A static pod's next mirror is called by the same.
        if self.by_cgroup.get(&pod.cgroup_uid).is_some_and(|u| *u == pod.uid) {
            self.by_cgroup.remove(&pod.cgroup_uid);
            self.sandboxes.retain(|_, (uid, _)| *uid != pod.cgroup_uid);
            self.tell(&Change { subject: Subject::Pod(pod.cgroup_uid.as_ref().to_owned()), identity: None });
        }
        let of_pod = self.containers.iter().filter(|(_, (uid, _))| *uid == pod.uid);
        let ids: BTreeMap<Box<str>, String> =
            of_pod.map(|(key, (_, c))| (key.clone(), c.id().to_owned())).collect();
        for (key, id) in ids {
            self.containers.remove(&key);
            self.ended.remove(&key);
            self.tell(&Change { subject: Subject::Container(id), identity: None });
        }
        self.forgotten.push((pod.namespace.clone(), pod.name.clone()));
        true
    }
}

/// All were told.
const REST: Change = Change { subject: Subject::Rest, identity: None };

fn has(pod: &Pod, id: &str) -> bool {
    pod.containers.iter().any(|c| c.id() == id)
}

fn pod_change(pod: &Pod) -> Change {
    Change { subject: Subject::Pod(pod.cgroup_uid.as_ref().to_owned()), identity: Some(pod.identity(None)) }
}

fn container_change(pod: &Pod, container: &Container) -> Change {
    let subject = Subject::Container(container.id().to_owned());
    Change { subject, identity: Some(pod.identity(Some(container))) }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
