//! What the agent counts, shared by the threads that count and those that tell.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tetragon_api::event::{EventType, GetEventsResponse, TracingPolicyActionCounters};
use tetragon_api::plan::{ShownAction, Target};

use crate::elasticsearch;
use crate::engine::function_name;
use crate::engine::{KernelLosses, Match, ProgramStats};
use crate::kubernetes::counts::Counts;
use crate::kubernetes::limit::Window;
use crate::process::Stats;

/// Binaries that have a series of their own, by kind of event and by policy and hook; the rest is
/// counted together, so that a node that runs ever new files does not fill the agent's memory.
const BINARIES_MAX: usize = 4096;

/// Hooks remembered by number. A changed policy has new numbers.
const NUMBERS_MAX: usize = 16_384;

/// The label of binaries that have no series of their own.
const OTHER: &str = "(other)";

/// All counters.
#[derive(Debug, Default)]
pub struct Counters {
    /// Records read from the ring buffer.
    pub received: AtomicU64,
    /// Programs executed since the start.
    pub execs: AtomicU64,
    /// Events written by the export.
    pub exported: AtomicU64,
    /// Bytes of them.
    pub exported_bytes: AtomicU64,
    /// Unix time in seconds of the last of them.
    pub last_exported: AtomicU64,
    /// Events that the export's rate limit dropped.
    pub limited: AtomicU64,
    /// Events that could not be written.
    pub unwritten: AtomicU64,
    /// Events that found a client's queue full.
    pub overflowed: AtomicU64,
    /// Events whose process was not known.
    pub missing_process: AtomicU64,
    /// What became of the events for Elasticsearch, if they go there.
    pub elasticsearch: OnceLock<Arc<elasticsearch::counts::Counts>>,
    /// Plans and status, if there is a cluster.
    pub kubernetes: OnceLock<Arc<Counts>>,
    /// Who is told the number of a policy that takes more actions than it may.
    pub over_limit: OnceLock<Alarm>,
    events: Mutex<EventCounts>,
    cache: Mutex<Stats>,
    kernel: Mutex<Kernel>,
}

/// Something to be called from the thread that counts.
pub struct Alarm(pub Box<dyn Fn(u64) + Send + Sync>);

impl std::fmt::Debug for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Alarm")
    }
}

/// What the engine last said of the kernel's side.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    /// Losses since the programs were loaded.
    pub losses: KernelLosses,
    /// Loaded programs.
    pub programs: Vec<ProgramStats>,
    /// Memory of all maps, in bytes.
    pub map_memory: u64,
}

impl KernelLosses {
    /// Events that are missing in the stream.
    pub fn events(&self) -> u64 {
        // A record may stand for events of several policies, and not all of them may be known.
        let calls = self.by_policy.values().sum::<u64>() + self.uncounted;
        calls.max(self.call) + self.exec + self.exit
    }
}

/// Events by kind and binary, and by policy, hook and binary.
#[derive(Debug, Default)]
pub struct EventCounts {
    /// By kind.
    pub kinds: HashMap<EventType, HashMap<String, u64>>,
    /// By hook of a policy.
    pub hooks: Vec<HookCounts>,
    /// By number of the policy: names are not unique among domains.
    pub policies: HashMap<u64, PolicyCounts>,
    by_number: HashMap<(u64, usize), usize>,
}

/// What a policy did.
#[derive(Clone, Debug, Default)]
pub struct PolicyCounts {
    /// Events.
    pub events: u64,
    /// Enforcing actions that were taken.
    pub actions: u64,
    /// How many of them it may take; `None`: any number.
    window: Option<Window>,
}

/// Events of a hook of a policy.
#[derive(Clone, Debug, Default)]
pub struct HookCounts {
    /// The policy.
    pub policy: String,
    /// Its namespace.
    pub namespace: Option<String>,
    /// `kprobe:security_file_open`, `lsm:file_open`, `tracepoint:sched/sched_process_exec`.
    pub hook: String,
    /// By binary.
    pub binaries: HashMap<String, u64>,
    /// What was done.
    pub actions: TracingPolicyActionCounters,
    /// The signals among it, by number, and whether they were sent (false: monitor mode).
    pub signals: BTreeMap<(u8, bool), u64>,
}

/// A lock whose holder panicked still holds counts that are right.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds to a counter.
pub fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// Reads a counter.
pub fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Counters {
    /// Counts of events, for a batch of events or for reading.
    pub fn events(&self) -> MutexGuard<'_, EventCounts> {
        lock(&self.events)
    }

    /// Numbers of the process cache.
    pub fn cache(&self) -> Stats {
        *lock(&self.cache)
    }

    /// Publishes numbers of the process cache.
    pub fn set_cache(&self, stats: Stats) {
        *lock(&self.cache) = stats;
    }

    /// What the engine last said.
    pub fn kernel(&self) -> Kernel {
        lock(&self.kernel).clone()
    }

    /// Events that the kernel lost, as the engine last said.
    pub fn kernel_lost(&self) -> u64 {
        lock(&self.kernel).losses.events()
    }

    /// Publishes what the engine says.
    pub fn set_kernel(&self, kernel: Kernel) {
        *lock(&self.kernel) = kernel;
    }
}

impl EventCounts {
    /// Counts an event, and the match that it is for. The result is a policy that has just taken more
    /// actions than it may.
    pub fn event(&mut self, event: &GetEventsResponse, m: Option<&Match>) -> Option<u64> {
        let binary = event.process().map_or("", |p| p.binary.as_str());
        bump(self.kinds.entry(event.event_type()).or_default(), binary);
        if let Some(m) = m
            && let Some(counts) = self.hook(m)
        {
            bump(&mut counts.binaries, binary);
            count_action(counts, m);
        }
        m.filter(|m| self.count_policy(m)).map(|m| m.policy.policy)
    }

    fn count_policy(&mut self, m: &Match) -> bool {
        let counts = self.policies.entry(m.policy.policy).or_default();
        counts.events += 1;
        let hook = m.policy.plan.hooks.get(m.hook);
        let selector = hook.and_then(|h| h.selectors.get(m.selector));
        if !(m.policy.enforce && selector.is_some_and(|s| s.actions.enforces())) {
            return false;
        }
        counts.actions += 1;
        let over = counts.window.as_mut().is_some_and(|w| w.add(Instant::now()));
        if over {
            // Once is enough.
            counts.window = None;
        }
        over
    }

    /// How many enforcing actions a policy may take in a minute. One that has a limit already goes on
    /// counting towards it.
    pub fn set_limit(&mut self, policy: u64, max: Option<u32>) {
        let counts = self.policies.entry(policy).or_default();
        if counts.window.as_ref().map(Window::max) != max {
            counts.window = max.map(|max| Window::new(max, Instant::now()));
        }
    }

    /// What policies that are no more did, is forgotten.
    pub fn retain(&mut self, lives: impl Fn(u64) -> bool) {
        self.policies.retain(|policy, _| lives(*policy));
    }

    /// The counts of a match's hook.
    fn hook(&mut self, m: &Match) -> Option<&mut HookCounts> {
        if self.by_number.len() >= NUMBERS_MAX {
            self.by_number.clear();
        }
        let index = match self.by_number.entry((m.policy.id, m.hook)) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let plan = &m.policy.plan;
                let hook = hook_label(&plan.hooks.get(m.hook)?.target);
                let same =
                    |h: &HookCounts| h.policy == plan.name && h.namespace == plan.namespace && h.hook == hook;
                let index = self.hooks.iter().position(same).unwrap_or_else(|| {
                    self.hooks.push(HookCounts {
                        policy: plan.name.clone(),
                        namespace: plan.namespace.clone(),
                        hook,
                        binaries: HashMap::new(),
                        actions: TracingPolicyActionCounters::default(),
                        signals: BTreeMap::new(),
                    });
                    self.hooks.len() - 1
                });
                *entry.insert(index)
            }
        };
        self.hooks.get_mut(index)
    }

    /// What a policy's hooks did, in all.
    pub fn actions(&self, policy: &str, namespace: Option<&str>) -> TracingPolicyActionCounters {
        let mut sum = TracingPolicyActionCounters::default();
        for h in self.hooks.iter().filter(|h| h.policy == policy && h.namespace.as_deref() == namespace) {
            let a = &h.actions;
            sum.post += a.post;
            sum.signal += a.signal;
            sum.monitor_signal += a.monitor_signal;
            sum.r#override += a.r#override;
            sum.monitor_override += a.monitor_override;
        }
        sum
    }

    /// A policy is gone: so are its counts.
    pub fn forget(&mut self, policy: &str, namespace: Option<&str>) {
        self.by_number.clear();
        self.hooks.retain(|h| h.policy != policy || h.namespace.as_deref() != namespace);
    }
}

/// `kprobe:security_file_open`.
pub fn hook_label(target: &Target) -> String {
    let kind = match target {
        Target::Function(_) | Target::Syscall(_) => "kprobe",
        Target::Lsm(_) => "lsm",
        Target::Tracepoint(..) | Target::RawTracepoint(..) => "tracepoint",
    };
    format!("{kind}:{}", function_name(target))
}

fn bump(series: &mut HashMap<String, u64>, binary: &str) {
    if let Some(count) = series.get_mut(binary) {
        *count += 1;
        return;
    }
    let name = if series.len() < BINARIES_MAX { binary } else { OTHER };
    *series.entry(name.to_owned()).or_default() += 1;
}

fn count_action(of_hook: &mut HookCounts, m: &Match) {
    let hook = m.policy.plan.hooks.get(m.hook);
    let Some(selector) = hook.and_then(|h| h.selectors.get(m.selector)) else { return };
    let (actions, counts) = (&selector.actions, &mut of_hook.actions);
    counts.post += u64::from(actions.shown != ShownAction::NoPost);
    if let Some(signal) = actions.signal {
        *if m.policy.enforce { &mut counts.signal } else { &mut counts.monitor_signal } += 1;
        *of_hook.signals.entry((signal, m.policy.enforce)).or_default() += 1;
    }
    if actions.deny.is_some() {
        *if m.policy.enforce { &mut counts.r#override } else { &mut counts.monitor_override } += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tetragon_api::plan::{Actions, Hook, Plan, Selector};

    use super::*;
    use crate::engine::PolicyInput;

    fn matched(id: u64, enforce: bool) -> Match {
        let actions = Actions { signal: Some(9), shown: ShownAction::Sigkill, ..Default::default() };
        let selectors = vec![Selector { actions, ..Default::default() }];
        let hook = Hook { selectors, ..Hook::new("spec.kprobes[0]", Target::Syscall("setns".into())) };
        let plan = Plan::new("p", vec![hook]);
        let policy = Arc::new(PolicyInput { id, policy: 1, plan: Arc::new(plan), enforce });
        Match { policy, hook: 0, selector: 0, args: Arc::new([]) }
    }

    fn event(binary: &str) -> GetEventsResponse {
        let text = format!(r#"{{"process_kprobe":{{"process":{{"binary":"{binary}"}}}}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_changed_policy_keeps_its_series() {
        let mut counts = EventCounts::default();
        counts.event(&event("/a"), Some(&matched(1, true)));
        counts.event(&event("/a"), Some(&matched(2, false)));
        counts.event(&event("/b"), None);
        assert_eq!(counts.hooks.len(), 1);
        assert_eq!(
            (counts.hooks[0].hook.as_str(), counts.hooks[0].binaries["/a"]),
            ("kprobe:__x64_sys_setns", 2)
        );
        assert_eq!(counts.kinds[&EventType::ProcessKprobe]["/b"], 1);
        let actions = counts.actions("p", None);
        assert_eq!((actions.signal, actions.monitor_signal, actions.post), (1, 1, 2));
        assert_eq!(counts.hooks[0].signals, BTreeMap::from([((9, true), 1), ((9, false), 1)]));
        counts.forget("p", None);
        assert_eq!(counts.actions("p", None), TracingPolicyActionCounters::default());
        counts.event(&event("/a"), Some(&matched(2, false)));
        assert_eq!(counts.hooks[0].binaries["/a"], 1);
    }

    #[test]
    fn a_limit_is_told_once_and_only_for_actions() {
        let mut counts = EventCounts::default();
        counts.set_limit(1, Some(2));
        for _ in 0..5 {
            assert_eq!(counts.event(&event("/a"), Some(&matched(1, false))), None, "monitor mode takes none");
        }
        let mut told = Vec::new();
        for n in 0..5 {
            // The same limit again changes nothing.
            counts.set_limit(1, Some(2).filter(|_| n < 3));
            told.push(counts.event(&event("/a"), Some(&matched(2, true))).is_some());
        }
        assert_eq!(told, [false, false, true, false, false]);
        assert_eq!((counts.policies[&1].events, counts.policies[&1].actions), (10, 5));
        // Another limit begins anew.
        counts.set_limit(1, Some(1));
        assert_eq!(counts.event(&event("/a"), Some(&matched(2, true))), None);
        assert_eq!(counts.event(&event("/a"), Some(&matched(2, true))), Some(1));
        counts.retain(|policy| policy != 1);
        assert!(counts.policies.is_empty());
    }

    #[test]
    fn series_are_bounded() {
        let mut series = HashMap::new();
        for n in 0..BINARIES_MAX + 100 {
            bump(&mut series, &format!("/bin/{n}"));
        }
        bump(&mut series, "/bin/0");
        assert_eq!(series.len(), BINARIES_MAX + 1);
        assert_eq!((series[OTHER], series["/bin/0"]), (100, 2));
    }
}
