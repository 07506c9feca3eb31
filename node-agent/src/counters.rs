//! What the agent counts, shared by the threads that count and those that tell.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tetragon_api::event::{EventType, GetEventsResponse, TracingPolicyActionCounters};
use tetragon_api::plan::{ShownAction, Target};
use tetragon_engine::{KernelLosses, Match, ProgramStats, function_name};

use crate::elasticsearch;
use crate::kubernetes::counts::Counts;
use crate::kubernetes::limit::Window;
use crate::pods;
use crate::process::Stats;

/// Workloads and binaries that have a series of their own, by kind of event and by policy and hook; the rest is
/// counted together, so that a node that runs ever new files does not fill the agent's memory.
const SERIES_MAX: usize = 4096;

/// Hooks remembered by number. A changed policy has new numbers.
const NUMBERS_MAX: usize = 16_384;

/// The binary of what has no series of its own.
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
    /// Pods, and events that wait for theirs.
    pub pods: Arc<pods::counts::Counts>,
    /// Events of policies that were lost on their way out, by the policy's name.
    lost: Mutex<BTreeMap<(Stage, String), u64>>,
    events: Mutex<EventCounts>,
    cache: Mutex<Stats>,
    kernel: Mutex<Kernel>,
}

/// Where an event was lost that the agent had made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// A client's queue was full.
    Listener,
    /// It could not be written.
    Export,
    /// The export's rate limit dropped it.
    RateLimit,
}

impl Stage {
    /// All of them.
    pub const ALL: [Stage; 3] = [Stage::Listener, Stage::Export, Stage::RateLimit];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Listener => "listener",
            Stage::Export => "export",
            Stage::RateLimit => "rate_limit",
        }
    }
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

/// Labels that say whose an event was: namespace, workload, pod, binary.
pub const WHOSE: [&str; 4] = ["namespace", "workload", "pod", "binary"];

/// Where the pod stands in [`WHOSE`].
const POD: usize = 2;

/// Numbers by whose the events were: the values of [`WHOSE`], with a NUL between them.
#[derive(Clone, Debug, Default)]
pub struct Series(HashMap<String, u64>);

impl Series {
    /// Values of [`WHOSE`] and their number, sorted.
    pub fn list(&self) -> Vec<([&str; 4], u64)> {
        let mut list: Vec<_> = self.0.iter().map(|(key, n)| (split(key), *n)).collect();
        list.sort_unstable();
        list
    }

    /// The number of all.
    pub fn sum(&self) -> u64 {
        self.0.values().sum()
    }

    fn add(&mut self, key: &str, n: u64) {
        if let Some(count) = self.0.get_mut(key) {
            *count += n;
            return;
        }
        let other = || format!("\0\0\0{OTHER}");
        let key = if self.0.len() < SERIES_MAX { key.to_owned() } else { other() };
        *self.0.entry(key).or_default() += n;
    }
}

/// The values in a key.
fn split(key: &str) -> [&str; 4] {
    let mut parts = key.splitn(4, '\0');
    [(); 4].map(|()| parts.next().unwrap_or_default())
}

/// Events by kind, and by policy and hook; both by whose they were.
#[derive(Debug)]
pub struct EventCounts {
    /// By kind.
    pub kinds: HashMap<EventType, Series>,
    /// By hook of a policy.
    pub hooks: Vec<HookCounts>,
    /// By number of the policy: names are not unique among domains.
    pub policies: HashMap<u64, PolicyCounts>,
    by_number: HashMap<(u64, usize), usize>,
    /// Which of [`WHOSE`] are kept apart.
    kept: [bool; 4],
    /// Room for a key.
    key: String,
}

impl Default for EventCounts {
    fn default() -> EventCounts {
        EventCounts {
            kinds: HashMap::new(),
            hooks: Vec::new(),
            policies: HashMap::new(),
            by_number: HashMap::new(),
            kept: [true; 4],
            key: String::new(),
        }
    }
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
    /// By whose they were.
    pub series: Series,
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

    /// Counts an event as lost, also for its policy if it is of one.
    pub fn lose(&self, stage: Stage, event: &GetEventsResponse) {
        add(self.lost_at(stage), 1);
        if let Some(policy) = event.policy_name() {
            *lock(&self.lost).entry((stage, policy.to_owned())).or_default() += 1;
        }
    }

    /// Events that were lost there.
    pub fn lost_at(&self, stage: Stage) -> &AtomicU64 {
        match stage {
            Stage::Listener => &self.overflowed,
            Stage::Export => &self.unwritten,
            Stage::RateLimit => &self.limited,
        }
    }

    /// Those of policies, by the policy's name: an event has nothing else of its policy.
    pub fn lost_of_policies(&self) -> BTreeMap<(Stage, String), u64> {
        lock(&self.lost).clone()
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
    /// Counts an event, and the match that it is for.
    pub fn event(&mut self, event: &GetEventsResponse, m: Option<&Match>) {
        let mut key = std::mem::take(&mut self.key);
        self.write_key(&mut key, event);
        self.kinds.entry(event.event_type()).or_default().add(&key, 1);
        if let Some(counts) = m.and_then(|m| self.hook(m)) {
            counts.series.add(&key, 1);
        }
        self.key = key;
    }

    fn write_key(&self, key: &mut String, event: &GetEventsResponse) {
        key.clear();
        let process = event.process();
        let pod = process.and_then(|p| p.pod.as_ref());
        let of_pod = pod.map_or([""; 3], |p| [&p.namespace, &p.workload, &p.name].map(String::as_str));
        let binary = process.map_or("", |p| p.binary.as_str());
        for (i, value) in of_pod.into_iter().chain([binary]).enumerate() {
            if i > 0 {
                key.push('\0');
            }
            if self.kept[i] {
                key.push_str(value);
            }
        }
    }

    /// Only these of [`WHOSE`] are kept apart from now on, and in what was counted.
    pub fn keep(&mut self, labels: &[String]) {
        let kept = WHOSE.map(|name| labels.iter().any(|l| l == name));
        self.kept = kept;
        let series = self.kinds.values_mut().chain(self.hooks.iter_mut().map(|h| &mut h.series));
        for series in series {
            for (key, n) in std::mem::take(series).0 {
                let parts = split(&key);
                let wanted: Vec<&str> =
                    parts.iter().zip(kept).map(|(part, kept)| if kept { *part } else { "" }).collect();
                series.add(&wanted.join("\0"), n);
            }
        }
    }

    /// Series of pods that are gone, by namespace and name, end.
    pub fn forget_pods(&mut self, pods: &[(String, String)]) {
        if pods.is_empty() || !self.kept[POD] {
            return;
        }
        let namespace = self.kept[0];
        let of_pod = |key: &str| {
            let [ns, _, name, _] = split(key);
            pods.iter().any(|(n, p)| p == name && (n == ns || !namespace))
        };
        let series = self.kinds.values_mut().chain(self.hooks.iter_mut().map(|h| &mut h.series));
        series.for_each(|s| s.0.retain(|key, _| !of_pod(key)));
    }

    /// Counts what a policy did. The result is a policy that has just taken more actions than it may.
    pub fn taken(&mut self, m: &Match) -> Option<u64> {
        if let Some(counts) = self.hook(m) {
            count_action(counts, m);
        }
        self.count_policy(m).then_some(m.policy.policy)
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
                        series: Series::default(),
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
    use tetragon_engine::PolicyInput;

    use super::*;

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
        for m in [matched(1, true), matched(2, false)] {
            counts.taken(&m);
            counts.event(&event("/a"), Some(&m));
        }
        counts.event(&event("/b"), None);
        assert_eq!(counts.hooks.len(), 1);
        assert_eq!(
            (counts.hooks[0].hook.as_str(), counts.hooks[0].series.list()),
            ("kprobe:__x64_sys_setns", vec![(["", "", "", "/a"], 2)])
        );
        assert_eq!(counts.kinds[&EventType::ProcessKprobe].list()[1], (["", "", "", "/b"], 1));
        let actions = counts.actions("p", None);
        assert_eq!((actions.signal, actions.monitor_signal, actions.post), (1, 1, 2));
        assert_eq!(counts.hooks[0].signals, BTreeMap::from([((9, true), 1), ((9, false), 1)]));
        counts.forget("p", None);
        assert_eq!(counts.actions("p", None), TracingPolicyActionCounters::default());
        counts.event(&event("/a"), Some(&matched(2, false)));
        assert_eq!(counts.hooks[0].series.sum(), 1);
    }

    #[test]
    fn a_limit_is_told_once_and_only_for_actions() {
        let mut counts = EventCounts::default();
        counts.set_limit(1, Some(2));
        for _ in 0..5 {
            assert_eq!(counts.taken(&matched(1, false)), None, "monitor mode takes none");
        }
        let mut told = Vec::new();
        for n in 0..5 {
            // The same limit again changes nothing.
            counts.set_limit(1, Some(2).filter(|_| n < 3));
            told.push(counts.taken(&matched(2, true)).is_some());
        }
        assert_eq!(told, [false, false, true, false, false]);
        assert_eq!((counts.policies[&1].events, counts.policies[&1].actions), (10, 5));
        // Another limit begins anew.
        counts.set_limit(1, Some(1));
        assert_eq!(counts.taken(&matched(2, true)), None);
        assert_eq!(counts.taken(&matched(2, true)), Some(1));
        counts.retain(|policy| policy != 1);
        assert!(counts.policies.is_empty());
    }

    #[test]
    fn series_are_bounded() {
        let mut series = Series::default();
        for n in 0..SERIES_MAX + 100 {
            series.add(&format!("ns\0w\0p\0/bin/{n}"), 1);
        }
        series.add("ns\0w\0p\0/bin/0", 1);
        let list = series.list();
        assert_eq!(list.len(), SERIES_MAX + 1);
        assert_eq!((list[0], list[1]), ((["", "", "", OTHER], 100), (["ns", "w", "p", "/bin/0"], 2)));
    }

    #[test]
    fn events_are_counted_by_whose_they_were() {
        let of = |namespace: &str, pod: &str| {
            serde_json::from_value(serde_json::json!({"process_exec": {"process": {
                "binary": "/a", "pod": {"namespace": namespace, "name": pod, "workload": "web"}
            }}}))
            .unwrap()
        };
        let mut counts = EventCounts::default();
        for (namespace, pod) in [("n", "web-1"), ("n", "web-1"), ("n", "web-2"), ("m", "web-1")] {
            counts.event(&of(namespace, pod), None);
        }
        let list = |counts: &EventCounts| -> Vec<String> {
            let list = counts.kinds[&EventType::ProcessExec].list();
            list.iter().map(|(whose, n)| format!("{} {n}", whose.join("|"))).collect()
        };
        assert_eq!(list(&counts), ["m|web|web-1|/a 1", "n|web|web-1|/a 2", "n|web|web-2|/a 1"]);
        counts.forget_pods(&[("n".into(), "web-1".into())]);
        assert_eq!(list(&counts), ["m|web|web-1|/a 1", "n|web|web-2|/a 1"]);
        // What is not kept apart is one series, also of what was counted before.
        counts.keep(&["namespace".into()]);
        counts.event(&of("n", "web-3"), None);
        assert_eq!(list(&counts), ["m||| 1", "n||| 2"]);
        counts.forget_pods(&[("n".into(), "web-2".into())]);
        assert_eq!(list(&counts), ["m||| 1", "n||| 2"], "a counter does not go back");
    }
}
