//! The control thread's half: carries decisions into the store and onto the disk, and knows which version
//! of each policy runs here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tetragon_api::plan::Mode;
use tetragon_api::published::{PlanMeta, PolicyRef};
use tetragon_api::status::{MAX_MESSAGE, NodeHook, NodePolicy, NodePolicyState};
use tetragon_api::workload::Choice;
use tetragon_engine::{Cause, HookReport};

use super::cache::{Cache, Cached, Found};
use super::counts::Counts;
use super::plans::{Decision, Verdict, Why, stem};
use super::reason;
use crate::counters::EventCounts;
use crate::policies::{K8S, Over, Policy, PolicyKey, Store};

/// What is said of a policy of the cluster, but for its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The policy's number in the store, if it is there.
    pub number: Option<u64>,
    /// What is said.
    pub status: NodePolicy,
    /// What it chooses among pods, if it does.
    pub choice: Option<Choice>,
}

/// A policy of the cluster on this node.
#[derive(Debug)]
struct Known {
    decision: Decision,
    /// As the store knows it; `None`: nothing of it was ever to run here.
    key: Option<PolicyKey>,
    /// The version that the store was given last.
    given: Option<PlanMeta>,
    /// The version that runs.
    running: Option<PlanMeta>,
    /// It took too many actions, and is in monitor mode until its limit or the policy changes.
    limited: bool,
    /// The last reason of a failure, so that each is counted once.
    failed: String,
}

/// All policies of the cluster on this node, by the stem of their plans' names.
#[derive(Debug)]
pub struct Local {
    cache: Option<Cache>,
    counts: Arc<Counts>,
    known: BTreeMap<String, Known>,
    /// Plans of the disk that are to be run: first those that ran, then those that were wanted.
    start: Vec<Cached>,
    /// A write failed; it is logged once.
    told: bool,
}

impl Local {
    /// Nothing is known but what was found on the disk; without a `cache` nothing is kept.
    pub fn new(cache: Option<Cache>, found: Found, counts: Arc<Counts>) -> Local {
        for (path, error) in &found.damaged {
            counts.plan_error(error.reason());
            tracing::error!("{}: moved aside, other plans are not affected: {error}", path.display());
        }
        Local { cache, counts, known: BTreeMap::new(), start: found.plans, told: false }
    }

    /// The disk has everything that the cluster wanted of this node when the agent last ran.
    pub fn is_complete(&self) -> bool {
        self.cache.as_ref().is_some_and(Cache::is_complete)
    }

    /// Puts the plans of the disk that ran last into the store: of two versions the older one, which
    /// the newer one had not replaced.
    pub fn put_ran(&mut self, store: &mut Store, counts: &mut EventCounts) {
        let mut first: BTreeMap<String, &Cached> = BTreeMap::new();
        for cached in &self.start {
            first.entry(stem(&cached.meta.object_name()).to_owned()).or_insert(cached);
        }
        let first: Vec<Cached> = first.into_values().cloned().collect();
        self.put_cached(&first, store, counts);
    }

    /// Puts those that were wanted last into the store.
    pub fn put_wanted(&mut self, store: &mut Store, counts: &mut EventCounts) {
        let last = std::mem::take(&mut self.start);
        self.put_cached(&last, store, counts);
    }

    fn put_cached(&mut self, plans: &[Cached], store: &mut Store, counts: &mut EventCounts) {
        for Cached { meta, limited, plan } in plans {
            let name = meta.object_name();
            let stem = stem(&name).to_owned();
            let verdict = Verdict::Run { meta: meta.clone(), plan: plan.clone() };
            let decision =
                Decision { stem: stem.clone(), policy: Some(meta.policy.clone()), plan: name, verdict };
            let known = self.known.entry(stem.clone()).or_insert_with(|| Known::new(&decision));
            known.given = Some(meta.clone());
            known.limited = *limited;
            self.take(decision, store, counts);
        }
    }

    /// Carries out decisions about all policies; a policy without one is gone from the cluster.
    pub fn decide(&mut self, decisions: Vec<Decision>, store: &mut Store, counts: &mut EventCounts) {
        let stems: BTreeSet<&str> = decisions.iter().map(|d| d.stem.as_str()).collect();
        let gone: Vec<String> =
            self.known.keys().filter(|stem| !stems.contains(stem.as_str())).cloned().collect();
        let taken: BTreeSet<PolicyKey> = decisions.iter().filter_map(runs_as).collect();
        for stem in gone {
            let key = self.known.remove(&stem).and_then(|known| known.key);
            // A policy that was made anew goes on under the name.
            if let Some(key) = key.filter(|key| !taken.contains(key)) {
                store.remove(&key);
            }
        }
        let open = decisions.iter().any(Decision::is_open);
        for decision in decisions {
            self.take(decision, store, counts);
        }
        if !open {
            let marked = self.cache.as_mut().map_or(Ok(()), Cache::mark_complete);
            self.tell(marked);
        }
        let synced = self.cache.as_mut().map_or(Ok(()), Cache::sync);
        self.tell(synced);
    }

    fn take(&mut self, decision: Decision, store: &mut Store, counts: &mut EventCounts) {
        let known = self.known.entry(decision.stem.clone()).or_insert_with(|| Known::new(&decision));
        known.decision = decision;
        match &known.decision.verdict {
            Verdict::Run { meta, plan } => {
                known.limited = known.limited && known.given.as_ref().is_some_and(|g| same_limit(g, meta));
                known.given = Some(meta.clone());
                let key = key_of(&meta.policy);
                // On the disk before it is in force: the next agent must not think it gone.
                let kept = self.cache.as_mut().map_or(Ok(()), |c| c.put(meta, known.limited, plan));
                store.put_plan(&key, plan.clone(), known.over(meta));
                known.limit(store.get(&key), meta, counts);
                known.key = Some(key);
                self.tell(kept);
            }
            Verdict::Skip(_) => {
                if let Some(key) = known.key.take() {
                    store.remove(&key);
                }
                known.given = None;
                known.limited = false;
            }
            Verdict::Keep { metas, .. } => {
                let newer = |old: &PlanMeta| metas.iter().find(|m| m.digest == old.digest).cloned();
                if let Some(meta) = known.running.as_ref().and_then(newer) {
                    self.follow(&meta, store, counts);
                }
            }
        }
    }

    /// The version that runs goes on, and what is said of it may have changed.
    fn follow(&mut self, meta: &PlanMeta, store: &mut Store, counts: &mut EventCounts) {
        let name = meta.object_name();
        let Some(known) = self.known.get_mut(stem(&name)) else { return };
        let Some(key) = known.key.clone() else { return };
        known.limited = known.limited && known.running.as_ref().is_some_and(|r| same_limit(r, meta));
        for version in [&mut known.running, &mut known.given].into_iter().flatten() {
            if version.digest == meta.digest {
                *version = meta.clone();
            }
        }
        store.set_over(&key, known.over(meta));
        known.limit(store.get(&key), meta, counts);
        let limited = known.limited;
        self.keep_running(&key, meta, limited, store);
    }

    /// A policy has taken more actions than it may: from here on it only reports.
    pub fn limit(&mut self, number: u64, store: &mut Store) {
        let of = |k: &&mut Known| k.key.as_ref().and_then(|k| store.get(k)).is_some_and(|p| p.id == number);
        let Some(known) = self.known.values_mut().find(of) else { return };
        let (Some(key), Some(meta)) = (known.key.clone(), known.running.clone()) else { return };
        known.limited = true;
        store.set_over(&key, known.over(&meta));
        let max = meta.max_actions.unwrap_or(0);
        tracing::warn!(
            policy = %key.name,
            max,
            "more enforcing actions in a minute than the policy may take on a node: monitor mode"
        );
        self.keep_running(&key, &meta, true, store);
    }

    /// Keeps the version that runs on the disk, as it runs.
    fn keep_running(&mut self, key: &PolicyKey, meta: &PlanMeta, limited: bool, store: &Store) {
        let plan = store.get(key).and_then(Policy::running).map(|r| r.plan.clone());
        if let (Some(cache), Some(plan)) = (&mut self.cache, plan) {
            let kept = cache.put(meta, limited, &plan).and_then(|()| cache.sync());
            self.tell(kept);
        }
    }

    /// The store's policies were brought into the kernel as far as that was possible.
    pub fn applied(&mut self, store: &Store) {
        let mut keep: BTreeSet<String> = self.start.iter().map(|c| c.meta.object_name()).collect();
        for known in self.known.values_mut() {
            let policy = known.key.as_ref().and_then(|key| store.get(key));
            if policy.is_none_or(|p| p.running().is_none()) {
                known.running = None;
            } else if policy.is_some_and(Policy::is_settled) {
                known.running = known.given.clone();
            }
            keep.extend([&known.given, &known.running].into_iter().flatten().map(PlanMeta::object_name));
        }
        if let Some(cache) = &mut self.cache {
            cache.retain(&keep);
            let synced = cache.sync();
            self.tell(synced);
        }
    }

    /// What is said of each policy, sorted by namespace and name. `held`: nothing was loaded yet.
    pub fn rows(&mut self, store: &Store, held: bool) -> Vec<Row> {
        let mut rows = Vec::new();
        for known in self.known.values_mut() {
            let policy = known.key.as_ref().and_then(|key| store.get(key));
            let status = known.status(policy, held);
            let failed =
                if status.state == NodePolicyState::Failed { status.reason.clone() } else { String::new() };
            if failed != known.failed && !failed.is_empty() {
                self.counts.plan_error(&failed);
                // What the engine or the limit has done is in the log already.
                if matches!(known.decision.verdict, Verdict::Keep { .. }) {
                    tracing::error!(policy = %status.name, plan = %status.plan, "{failed}: {}", status.message);
                }
            }
            known.failed = failed;
            let running = policy.and_then(Policy::running);
            let choice = running.and_then(|r| r.plan.choice());
            rows.push(Row { number: policy.map(|p| p.id), status, choice });
        }
        let order = |r: &Row| (r.status.namespace.clone(), r.status.name.clone(), r.status.plan.clone());
        rows.sort_by_key(order);
        rows
    }

    /// Says once that plans cannot be kept.
    fn tell(&mut self, kept: std::io::Result<()>) {
        let failed = kept.is_err();
        if let Err(e) = kept {
            self.counts.plan_error("CacheUnwritable");
            if !self.told {
                tracing::error!(
                    "--plan-dir: plans cannot be kept, a start without the API server will not know them: {e}"
                );
            }
        }
        self.told = self.told || failed;
    }
}

impl Known {
    fn new(decision: &Decision) -> Known {
        Known {
            decision: decision.clone(),
            key: None,
            given: None,
            running: None,
            limited: false,
            failed: String::new(),
        }
    }

    fn over(&self, meta: &PlanMeta) -> Over {
        Over { mode: meta.mode, limited: self.limited }
    }

    /// Counts actions towards the limit, unless it was reached.
    fn limit(&self, policy: Option<&Policy>, meta: &PlanMeta, counts: &mut EventCounts) {
        if let Some(policy) = policy {
            counts.set_limit(policy.id, meta.max_actions.filter(|_| !self.limited));
        }
    }

    fn status(&self, policy: Option<&Policy>, held: bool) -> NodePolicy {
        // A policy whose annotations cannot be trusted is called as it was before.
        let before = self.key.as_ref().map(|k| (k.name.clone(), k.namespace.clone()));
        let said = self.decision.policy.as_ref().map(|p| (p.name.clone(), p.namespace.clone()));
        let (name, namespace) = before.or(said).unwrap_or_else(|| (self.decision.plan.clone(), None));
        let plan = self.decision.plan.clone();
        let (state, why) = self.state(policy, held);
        let other = self.running.as_ref().map(PlanMeta::object_name).filter(|running| *running != plan);
        NodePolicy {
            name,
            namespace,
            state,
            mode: policy.and_then(Policy::running).map_or("", mode_word).to_owned(),
            reason: why.reason.to_owned(),
            message: cut(&why.message),
            running: other,
            hooks: policy.map_or_else(Vec::new, |p| p.report().hooks.iter().map(hook).collect()),
            kernel_memory: policy.map_or(0, kernel_memory),
            plan,
            ..NodePolicy::default()
        }
    }

    fn state(&self, policy: Option<&Policy>, held: bool) -> (NodePolicyState, Why) {
        match &self.decision.verdict {
            Verdict::Skip(why) => (NodePolicyState::Skipped, why.clone()),
            // What is wanted runs already, so that nothing is to be waited for.
            Verdict::Keep { open: true, metas, .. } if self.runs(metas) => self.outcome(policy, held),
            Verdict::Keep { state, why, .. } => (*state, why.clone()),
            Verdict::Run { .. } => self.outcome(policy, held),
        }
    }

    /// The version that is wanted is the one that runs.
    fn runs(&self, metas: &[PlanMeta]) -> bool {
        let running = self.running.as_ref().filter(|r| r.object_name() == self.decision.plan);
        running.is_some_and(|r| metas.iter().any(|m| m.digest == r.digest && m.policy == r.policy))
    }

    fn outcome(&self, policy: Option<&Policy>, held: bool) -> (NodePolicyState, Why) {
        let Some(policy) = policy else { return (NodePolicyState::Pending, Why::default()) };
        let failed = |reason, message: String| (NodePolicyState::Failed, Why { reason, message });
        if !policy.is_enabled() {
            let message = "switched off on this node with `tetra tracingpolicy disable`";
            return failed(reason::DISABLED, message.to_owned());
        }
        if let Some(error) = policy.error() {
            return failed(cause(&policy.report().hooks), error.to_owned());
        }
        if held {
            let message = "what the agent before has left is in force until all plans are known";
            let why = Why { reason: reason::WAITING_FOR_PLANS, message: message.to_owned() };
            return (NodePolicyState::Pending, why);
        }
        if !policy.is_settled() {
            return (NodePolicyState::Pending, Why::default());
        }
        if self.limited {
            let max = self.given.as_ref().and_then(|g| g.max_actions).unwrap_or(0);
            let message = format!(
                "more than {max} enforcing actions in a minute: in monitor mode here until the policy or its limit changes"
            );
            return failed(reason::ACTION_LIMIT, message);
        }
        (NodePolicyState::Loaded, Why::default())
    }
}

/// The policy that a decision runs.
fn runs_as(decision: &Decision) -> Option<PolicyKey> {
    match &decision.verdict {
        Verdict::Run { meta, .. } => Some(key_of(&meta.policy)),
        _ => None,
    }
}

fn key_of(policy: &PolicyRef) -> PolicyKey {
    PolicyKey { name: policy.name.clone(), namespace: policy.namespace.clone(), domain: K8S.to_owned() }
}

/// A limit that was reached holds until the policy is edited or the limit is set anew.
fn same_limit(a: &PlanMeta, b: &PlanMeta) -> bool {
    (a.revision, a.max_actions) == (b.revision, b.max_actions)
}

/// The reason of a policy whose hooks do not all run.
fn cause(hooks: &[HookReport]) -> &'static str {
    let refused = hooks.iter().any(|h| matches!(h.cause, Some(Cause::Refused | Cause::Full)));
    if refused { reason::LOAD_FAILED } else { reason::HOOK_NOT_AVAILABLE }
}

fn mode_word(running: &tetragon_engine::PolicyInput) -> &'static str {
    match (running.plan.enforces(), running.enforce) {
        (false, _) => "observe",
        (true, true) => tetragon_api::published::mode_name(Mode::Enforce),
        (true, false) => tetragon_api::published::mode_name(Mode::Monitor),
    }
}

fn hook(report: &HookReport) -> NodeHook {
    NodeHook {
        function: report.function.clone(),
        backend: report.backend.filter(|_| report.error.is_none()).map_or("", |b| b.name()).to_owned(),
        error: report.error.as_deref().map(cut).unwrap_or_default(),
    }
}

fn kernel_memory(policy: &Policy) -> i64 {
    let bytes = policy.running().map_or(0, |_| policy.report().kernel_memory);
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A message of a length that a status can bear.
pub fn cut(message: &str) -> String {
    if message.len() <= MAX_MESSAGE {
        return message.to_owned();
    }
    let end = (0..MAX_MESSAGE - 3).rev().find(|i| message.is_char_boundary(*i)).unwrap_or(0);
    format!("{}...", &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        for text in ["x".repeat(3000), "é".repeat(3000), format!("x{}", "é".repeat(3000))] {
            let cut = cut(&text);
            assert!(cut.len() <= MAX_MESSAGE && cut.len() > MAX_MESSAGE - 5 && cut.ends_with("..."));
        }
    }
}
