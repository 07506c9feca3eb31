//! Events of a container wait until its pod is known, or until it has taken too long. Events of one
//! container stay in their order, and so do those of one process.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tetragon_api::event::{GetEventsResponse, Process};
use tetragon_engine::Match;

use super::counts::Counts;
use super::message::message;
use super::store::{Found, Store};
use crate::counters::add;
use crate::process::Proc;

/// Events that wait at most. When there are more, the oldest is sent as it is.
const WAITING_MAX: usize = 4096;

/// How long the API server has, before the container runtime is asked; and the runtime, before it is asked
/// again. That time doubles with each attempt, up to `PAUSE_MAX`.
const MOMENT: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// An event, and whether it says everything.
#[derive(Debug)]
pub struct Assembled {
    /// The event.
    pub event: GetEventsResponse,
    /// Its process, the parent and the ancestors, in this order.
    pub actors: Vec<Arc<Proc>>,
    /// The process's pod is in it, or there is none.
    pub complete: bool,
}

impl Assembled {
    /// An event that is about no process that is known.
    pub fn complete(event: GetEventsResponse) -> Assembled {
        Assembled { event, actors: Vec::new(), complete: true }
    }
}

/// Puts in the pod of a process, as far as it is known. True: more cannot be known.
pub fn fill(store: &Store, process: &mut Process, proc: &Proc) -> bool {
    if proc.place.container.is_none() && proc.place.pod == super::cgroup::OfPod::No {
        return true;
    }
    let found = store.find(&proc.place);
    // No container is to be waited for.
    let alone = proc.place.container.is_none() || matches!(found, Found::Sandbox(_));
    let (pod, container) = match found {
        Found::Container(pod, container) if container.whole => {
            // It may be the last one that asks while the pod is known. A pod that is known already stays.
            let _ = proc.pod.set((pod.clone(), container.clone()));
            (pod, Some(container))
        }
        other => match (proc.pod.get(), other) {
            (Some((pod, container)), _) => (pod.clone(), Some(container.clone())),
            (None, Found::Container(pod, container)) => (pod, Some(container)),
            (None, Found::Pod(pod) | Found::Sandbox(pod)) => (pod, None),
            (None, Found::None) => return true,
            (None, _) => return alone,
        },
    };
    // A probe is known by its arguments, also by those that events hide.
    let arguments = proc.hidden.as_ref().unwrap_or(&process.arguments);
    process.pod = Some(message(&pod, container.as_deref(), proc.nspid, &process.binary, arguments));
    alone || container.is_some_and(|c| c.whole)
}

/// An event that waits.
struct Item {
    since: Instant,
    assembled: Assembled,
    m: Option<Match>,
}

impl Item {
    fn container(&self) -> &str {
        container(&self.assembled.event)
    }

    /// The container's whole id.
    fn id(&self) -> Option<&Arc<str>> {
        self.assembled.actors.first()?.place.container.as_ref()
    }
}

/// The runtime was asked for a container.
struct Attempt {
    /// When it is to be asked again.
    again: Instant,
    pause: Duration,
}

fn container(event: &GetEventsResponse) -> &str {
    event.process().map_or("", |p| p.docker.as_str())
}

/// Takes the id of a container that the runtime is to be asked for.
type Runtime = Box<dyn Fn(&str) + Send>;

/// Takes events that are ready.
pub type Out<'a> = &'a mut dyn FnMut(GetEventsResponse, Option<&Match>);

/// The events that wait.
pub struct Waiting {
    /// `None`: there is no cluster, so nothing waits.
    store: Option<Arc<Store>>,
    /// How long an event waits.
    bound: Duration,
    /// How often an attempt is counted.
    delay: Duration,
    queue: VecDeque<Item>,
    /// How many of each container.
    containers: HashMap<Box<str>, usize>,
    /// What the store's changes were when it was last looked at.
    seen: u64,
    tried: Instant,
    counts: Arc<Counts>,
    /// The container runtime, and the containers that it was asked for, of those that are waited for.
    runtime: Option<Runtime>,
    asked: HashMap<Arc<str>, Attempt>,
}

impl Waiting {
    /// Events wait for `retries` times `delay`.
    pub fn new(store: Arc<Store>, retries: u32, delay: Duration, counts: Arc<Counts>) -> Waiting {
        let bound = delay.saturating_mul(retries);
        Waiting { store: Some(store), bound, delay, counts, ..Waiting::none() }
    }

    /// No event waits.
    pub fn none() -> Waiting {
        Waiting {
            store: None,
            bound: Duration::ZERO,
            delay: Duration::ZERO,
            queue: VecDeque::new(),
            containers: HashMap::new(),
            seen: 0,
            tried: Instant::now(),
            counts: Arc::default(),
            runtime: None,
            asked: HashMap::new(),
        }
    }

    /// The container runtime is asked for what is waited for.
    pub fn with_runtime(self, ask: impl Fn(&str) + Send + 'static) -> Waiting {
        Waiting { runtime: Some(Box::new(ask)), ..self }
    }

    /// The pods that are waited for.
    pub fn store(&self) -> Option<&Arc<Store>> {
        self.store.as_ref()
    }

    /// Hands on an event, or lets it wait: for its own pod, or behind others of its container.
    pub fn pass(&mut self, assembled: Assembled, m: Option<&Match>, now: Instant, out: Out<'_>) {
        if self.store.is_none() || self.bound.is_zero() {
            return out(assembled.event, m);
        }
        let container = container(&assembled.event);
        if assembled.complete && !self.containers.contains_key(container) {
            return out(assembled.event, m);
        }
        *self.containers.entry(container.into()).or_default() += 1;
        self.queue.push_back(Item { since: now, assembled, m: m.cloned() });
        add(&self.counts.inserts, 1);
        if self.queue.len() > WAITING_MAX
            && let Some(oldest) = self.queue.pop_front()
        {
            self.send(oldest, out);
        }
        self.show();
    }

    /// Hands on what has waited for long enough.
    pub fn release(&mut self, now: Instant, out: Out<'_>) {
        let Some(store) = self.store.clone() else { return };
        if self.runtime.is_some() {
            self.ask(&store, now);
        }
        let Some(oldest) = self.queue.front() else { return };
        let changes = store.changes();
        let retry = now.saturating_duration_since(self.tried) >= self.delay;
        let late = |item: &Item| now.saturating_duration_since(item.since) >= self.bound;
        if changes == self.seen && !retry && !late(oldest) {
            return;
        }
        self.seen = changes;
        let mut known: HashMap<String, bool> = HashMap::new();
        for _ in 0..self.queue.len() {
            let Some(item) = self.queue.pop_front() else { break };
            let ready = *known.entry(item.container().to_owned()).or_insert_with(|| is_known(&store, &item));
            if ready || now.saturating_duration_since(item.since) >= self.bound {
                self.send(item, out);
            } else {
                self.queue.push_back(item);
            }
        }
        if retry {
            self.tried = now;
            add(&self.counts.retries, self.queue.len() as u64);
        }
        self.show();
    }

    /// Asks the container runtime for what has been waited for longer than a moment, and again as long as it
    /// is: the runtime may be away, and who asks it may have too much to ask.
    fn ask(&mut self, store: &Store, now: Instant) {
        let Some(runtime) = &self.runtime else { return };
        for item in &self.queue {
            // They are in their order.
            if now.saturating_duration_since(item.since) < MOMENT {
                return;
            }
            let Some(id) = item.id() else { continue };
            let before = self.asked.get(id);
            if before.is_some_and(|attempt| now < attempt.again) || is_known(store, item) {
                continue;
            }
            let pause = before.map_or(MOMENT, |attempt| (attempt.pause * 2).min(PAUSE_MAX));
            runtime(id);
            self.asked.insert(id.clone(), Attempt { again: now + pause, pause });
        }
    }

    /// The end: nothing waits any more.
    pub fn finish(&mut self, out: Out<'_>) {
        while let Some(item) = self.queue.pop_front() {
            self.send(item, out);
        }
        self.show();
    }

    /// Sends an event with what is known now.
    fn send(&mut self, mut item: Item, out: Out<'_>) {
        let container: Box<str> = item.container().into();
        if let Some(n) = self.containers.get_mut(&container) {
            *n -= 1;
            if *n == 0 {
                self.containers.remove(&container);
                if let Some(id) = item.id() {
                    self.asked.remove(id);
                }
            }
        }
        let Assembled { event, actors, .. } = &mut item.assembled;
        let mut complete = true;
        if let Some(store) = &self.store {
            for (n, (process, proc)) in event.actors_mut().into_iter().zip(actors.iter()).enumerate() {
                let whole = fill(store, process, proc);
                complete &= whole || n > 0;
            }
        }
        if !complete {
            self.counts.failed(event.event_type().as_str_name());
        }
        out(item.assembled.event, item.m.as_ref());
    }

    fn show(&self) {
        self.counts.waiting.store(self.queue.len() as u64, Ordering::Relaxed);
    }
}

/// The container that an event waits for is known by now.
fn is_known(store: &Store, item: &Item) -> bool {
    match item.assembled.actors.first().map(|proc| store.find(&proc.place)) {
        Some(Found::Unknown | Found::Pod(_)) => false,
        Some(Found::Container(_, container)) => container.whole,
        Some(Found::None | Found::Sandbox(_)) | None => true,
    }
}

#[cfg(test)]
#[path = "wait_tests.rs"]
mod tests;
