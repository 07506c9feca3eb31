//! The policy store: which policies there are, what is wanted of each, what runs, and why not. It
//! knows neither files nor the kernel: compiled policies go in, the desired set comes out, and what
//! the engine reports is noted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use tetragon_api::event::{
    HookState, HookStatus, TracingPolicyMode, TracingPolicyState, TracingPolicyStatus,
};
use tetragon_api::plan::{Mode, Plan, Target};
use tetragon_compiler::CompiledPolicy;
use tetragon_engine::{ApplyReport, Cause, PolicyInput, PolicyReport};

/// The domain of policies from files.
pub const STATIC: &str = "static";
/// The domain of policies that come over gRPC and name none.
pub const GRPC: &str = "grpc";
/// The domain of policies of the Kubernetes cluster.
pub const K8S: &str = "k8s";

/// What a policy is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace` of a namespaced policy.
    pub namespace: Option<String>,
    /// Who brought it.
    pub domain: String,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The name is taken.
    #[error(
        "failed to add tracing policy {{{name} {namespace}}}, a sensor collection with the key already exists; \
         delete it first, or give the new one another name"
    )]
    Exists {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
    },
    /// There is none of that name.
    #[error(
        "tracing policy {{{name} {namespace}}} does not exist; tetra tracingpolicy list shows those that do"
    )]
    Missing {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
    },
    /// Another file has it.
    #[error("policy {name} is defined in {} already; give one of them another name", file.display())]
    Elsewhere {
        /// Its name.
        name: String,
        /// The other file.
        file: PathBuf,
    },
    /// A mode that cannot be set.
    #[error("mode {0} cannot be set; right would be enforce or monitor")]
    Mode(String),
}

/// What the cluster's control plane says over a policy's plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Over {
    /// Its mode on all nodes.
    pub mode: Option<Mode>,
    /// It is in monitor mode on this node, whatever anybody says.
    pub limited: bool,
}

/// A policy of the node.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Number in lists; it counts up for every policy that was ever added.
    pub id: u64,
    /// Name.
    pub key: PolicyKey,
    /// The file that it comes from.
    pub file: Option<PathBuf>,
    /// Its document, for positions in messages.
    pub source: String,
    enabled: bool,
    /// Set by hand, over what the policy says.
    mode: Option<Mode>,
    over: Over,
    plan: Option<Arc<Plan>>,
    wanted: Option<PolicyInput>,
    /// The engine refused `wanted`.
    refused: bool,
    /// It did, and is asked again.
    again: bool,
    running: Option<PolicyInput>,
    /// The running version in another mode, when `wanted` is refused.
    instead: Option<PolicyInput>,
    report: PolicyReport,
    error: Option<String>,
}

impl Policy {
    /// What is wrong with it, if anything.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// What the engine is asked to run: the wanted version; one that was refused is not tried
    /// again, and the one before it goes on.
    fn candidate(&self) -> Option<&PolicyInput> {
        if !self.enabled {
            return None;
        }
        let wanted = self.wanted.as_ref().filter(|_| !self.refused);
        wanted.or(self.instead.as_ref()).or(self.running.as_ref())
    }

    /// Actions of `plan` are taken, not only reported.
    fn enforces(&self, plan: &Plan) -> bool {
        !self.over.limited && self.mode.or(self.over.mode).unwrap_or(plan.mode) == Mode::Enforce
    }

    /// It comes from this file.
    fn is_from(&self, file: &Path) -> bool {
        // Paths are compared as they were given: by components that takes long for a thousand policies.
        self.file.as_ref().is_some_and(|f| f.as_os_str() == file.as_os_str())
    }

    /// What runs.
    pub fn running(&self) -> Option<&PolicyInput> {
        self.running.as_ref()
    }

    /// What runs is what is wanted.
    pub fn is_settled(&self) -> bool {
        self.running.as_ref().map(|r| r.id) == self.wanted.as_ref().map(|w| w.id)
    }

    /// Nobody has switched it off.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// The engine's last word on it, hook by hook.
    pub fn report(&self) -> &PolicyReport {
        &self.report
    }

    /// Its state, as lists and metrics say it.
    pub fn state(&self) -> TracingPolicyState {
        let failed = self.error.is_some();
        let pending = self.candidate().map(|c| c.id) != self.running.as_ref().map(|r| r.id);
        match (self.enabled, self.running.is_some()) {
            (false, false) => TracingPolicyState::TpStateDisabled,
            (false, true) => TracingPolicyState::TpStateUnloading,
            (true, _) if pending => TracingPolicyState::TpStateLoading,
            (true, true) if failed => TracingPolicyState::TpStateError,
            (true, true) => TracingPolicyState::TpStateEnabled,
            (true, false) => TracingPolicyState::TpStateLoadError,
        }
    }

    fn shown_mode(&self) -> TracingPolicyMode {
        match self.running.as_ref().or(self.wanted.as_ref()) {
            Some(_) if self.running.is_none() && self.error.is_some() => TracingPolicyMode::TpModeUnknown,
            Some(input) if !input.plan.enforces() => TracingPolicyMode::TpModeMonitorOnly,
            Some(input) if input.enforce => TracingPolicyMode::TpModeEnforce,
            Some(_) => TracingPolicyMode::TpModeMonitor,
            None => TracingPolicyMode::TpModeUnknown,
        }
    }

    /// A row of the list.
    pub fn status(&self) -> TracingPolicyStatus {
        let running = self.running.as_ref();
        #[expect(deprecated, reason = "clients of older versions read it")]
        TracingPolicyStatus {
            id: self.id,
            name: self.key.name.clone(),
            namespace: self.key.namespace.clone().unwrap_or_default(),
            domain: self.key.domain.clone(),
            sensors: running.map(|r| sensors(&r.plan)).unwrap_or_default(),
            enabled: running.is_some(),
            error: self.error.clone().unwrap_or_default(),
            state: self.state().into(),
            kernel_memory_bytes: if running.is_some() { self.report.kernel_memory } else { 0 },
            mode: self.shown_mode().into(),
            hook_statuses: self.hook_statuses(),
            ..Default::default()
        }
    }

    fn hook_statuses(&self) -> Vec<HookStatus> {
        let hooks = self.report.hooks.iter().enumerate();
        let status = |(i, h): (usize, &tetragon_engine::HookReport)| HookStatus {
            section: section(&h.field).to_owned(),
            state: match h.backend {
                Some(_) if h.error.is_none() => HookState::StatusLoaded,
                _ => HookState::StatusCallNotFound,
            }
            .into(),
            hook_description: match (&h.error, h.backend) {
                (Some(error), _) => format!("{} {}: {error}", h.field, h.function),
                (None, Some(backend)) => format!("{} {} ({})", h.field, h.function, backend.name()),
                (None, None) => {
                    format!("{} {}: not on this kernel, which the policy allows", h.field, h.function)
                }
            },
            hook_idx: u32::try_from(i).unwrap_or(u32::MAX),
        };
        hooks.map(status).collect()
    }
}

/// `kprobes` of `spec.kprobes[0]`.
fn section(field: &str) -> &str {
    let rest = field.strip_prefix("spec.").unwrap_or(field);
    rest.split('[').next().unwrap_or(rest)
}

/// The names that Tetragon gives to what a policy loads.
fn sensors(plan: &Plan) -> Vec<String> {
    let mut names: Vec<String> = plan
        .hooks
        .iter()
        .map(|h| match h.target {
            Target::Function(_) | Target::Syscall(_) => "generic_kprobe",
            Target::Lsm(_) => "generic_lsm",
            Target::Tracepoint(..) | Target::RawTracepoint(..) => "generic_tracepoint",
        })
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What is wrong with which hook, one a line.
fn errors(report: &PolicyReport) -> Option<String> {
    let lines: Vec<String> = report
        .hooks
        .iter()
        .filter_map(|h| h.error.as_ref().map(|error| format!("{}: {error}", h.field)))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The same, as it is said of a policy. `kept`: a version before runs.
fn refusal(report: &PolicyReport, kept: bool) -> Option<String> {
    errors(report).map(|e| if kept { format!("{e}\nthe version before stays in force") } else { e })
}

/// What became of a policy in an apply.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It runs now, and did not before, or ran in another version.
    Loaded {
        /// Which.
        key: PolicyKey,
        /// Hook by hook.
        report: PolicyReport,
    },
    /// The engine refused it.
    Refused {
        /// Which.
        key: PolicyKey,
        /// Hook by hook.
        report: PolicyReport,
        /// A version before it goes on.
        kept: bool,
    },
    /// It does not run any more.
    Unloaded {
        /// Which.
        key: PolicyKey,
    },
}

/// The policies of the node.
#[derive(Debug, Default)]
pub struct Store {
    /// In the order in which they came. Who lists them shares them; one that changes is copied then.
    policies: IndexMap<PolicyKey, Arc<Policy>>,
    last_id: u64,
    last_input: u64,
    /// Removed, and still in the kernel.
    leaving: Vec<PolicyKey>,
}

impl Store {
    /// All policies, in the order in which they came.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &Arc<Policy>> {
        self.policies.values()
    }

    /// A policy by its name.
    pub fn get(&self, key: &PolicyKey) -> Option<&Policy> {
        self.policies.get(key).map(Arc::as_ref)
    }

    fn get_mut(&mut self, key: &PolicyKey) -> Option<&mut Policy> {
        self.policies.get_mut(key).map(Arc::make_mut)
    }

    /// A file was compiled without an error: its policies replace those it had before. What cannot
    /// be taken is the result.
    pub fn put_file(&mut self, file: &Path, compiled: &[CompiledPolicy]) -> Vec<StoreError> {
        let mut errors = Vec::new();
        let mut keys = Vec::new();
        for policy in compiled {
            let Some(plan) = &policy.plan else { continue };
            let key = PolicyKey {
                name: policy.name.clone(),
                namespace: policy.namespace.clone(),
                domain: STATIC.to_owned(),
            };
            let other = self.get(&key).and_then(|p| p.file.as_deref()).filter(|f| *f != file);
            if let Some(other) = other {
                errors.push(StoreError::Elsewhere { name: key.name, file: other.to_owned() });
                continue;
            }
            self.put(&key, Some(file), Some(Arc::new(plan.clone())), &policy.source);
            keys.push(key);
        }
        let gone = |p: &Policy| p.is_from(file) && !keys.contains(&p.key);
        self.remove_if(gone);
        errors
    }

    /// A file does not compile: what it had before stays and says so; policies that it did not have
    /// are listed with the error.
    pub fn fail_file(&mut self, file: &Path, compiled: &[CompiledPolicy], error: &str) {
        let mut known = false;
        for policy in self.policies.values_mut().filter(|p| p.is_from(file)) {
            Arc::make_mut(policy).error = Some(error.to_owned());
            known = true;
        }
        for policy in compiled.iter().filter(|_| !known) {
            let key = PolicyKey {
                name: policy.name.clone(),
                namespace: policy.namespace.clone(),
                domain: STATIC.to_owned(),
            };
            if !key.name.is_empty() && self.get(&key).is_none() {
                self.put(&key, Some(file), None, &policy.source);
                if let Some(policy) = self.get_mut(&key) {
                    policy.error = Some(error.to_owned());
                }
            }
        }
    }

    /// A file is gone, and its policies with it.
    pub fn remove_file(&mut self, file: &Path) {
        self.remove_if(|p| p.is_from(file));
    }

    /// Adds policies that came over gRPC: all or none.
    pub fn add(&mut self, domain: &str, compiled: &[CompiledPolicy]) -> Result<Vec<PolicyKey>, StoreError> {
        let domain = if domain.is_empty() { GRPC } else { domain };
        let mut keys = Vec::new();
        for policy in compiled {
            let key = PolicyKey {
                name: policy.name.clone(),
                namespace: policy.namespace.clone(),
                domain: domain.to_owned(),
            };
            let taken = self.get(&key).is_some_and(|p| p.state() != TracingPolicyState::TpStateLoadError);
            if taken {
                let namespace = key.namespace.unwrap_or_default();
                return Err(StoreError::Exists { name: key.name, namespace });
            }
            keys.push(key);
        }
        for (key, policy) in keys.iter().zip(compiled) {
            self.policies.shift_remove(key);
            self.put(key, None, policy.plan.clone().map(Arc::new), &policy.source);
        }
        Ok(keys)
    }

    /// Finds the policy that a request names. Without a domain, one that came over gRPC is preferred.
    pub fn find(&self, name: &str, namespace: &str, domain: &str) -> Result<PolicyKey, StoreError> {
        let wanted = Some(namespace).filter(|n| !n.is_empty());
        let same = |k: &&PolicyKey| k.name == name && k.namespace.as_deref() == wanted;
        let found = || self.policies.keys().filter(same);
        let key = match domain {
            "" => found().find(|k| k.domain == GRPC).or_else(|| found().next()),
            domain => found().find(|k| k.domain == domain),
        };
        key.cloned()
            .ok_or_else(|| StoreError::Missing { name: name.to_owned(), namespace: namespace.to_owned() })
    }

    /// Removes a policy.
    pub fn remove(&mut self, key: &PolicyKey) {
        if self.policies.shift_remove(key).is_some_and(|p| p.running.is_some()) {
            self.leaving.push(key.clone());
        }
    }

    /// Switches a policy on or off. Switched on, one that was refused is tried again.
    pub fn enable(&mut self, key: &PolicyKey, enabled: bool) {
        if let Some(policy) = self.get_mut(key) {
            policy.enabled = enabled;
            policy.refused = false;
            if policy.plan.is_some() {
                policy.error = None;
            }
        }
    }

    /// Sets a policy's mode, over what it says itself.
    pub fn set_mode(&mut self, key: &PolicyKey, mode: Mode) {
        let Some(policy) = self.policies.get_mut(key).map(Arc::make_mut) else { return };
        policy.mode = Some(mode);
        if remode(policy, &mut self.last_input) {
            policy.refused = false;
        }
    }

    /// Puts in a policy of the cluster, or its next version.
    pub fn put_plan(&mut self, key: &PolicyKey, plan: Arc<Plan>, over: Over) {
        self.put(key, None, Some(plan), "");
        self.set_over(key, over);
    }

    /// What is said over a policy of the cluster; also when its version is not the one that is wanted.
    pub fn set_over(&mut self, key: &PolicyKey, over: Over) {
        if self.get(key).is_none_or(|p| p.over == over) {
            return;
        }
        let Some(policy) = self.policies.get_mut(key).map(Arc::make_mut) else { return };
        policy.over = over;
        remode(policy, &mut self.last_input);
    }

    fn remove_if(&mut self, gone: impl Fn(&Policy) -> bool) {
        self.policies.retain(|key, p| {
            let gone = gone(p);
            if gone && p.running.is_some() {
                self.leaving.push(key.clone());
            }
            !gone
        });
    }

    /// Puts in a policy or its next version. The same plan keeps its number: nothing is reloaded.
    fn put(&mut self, key: &PolicyKey, file: Option<&Path>, plan: Option<Arc<Plan>>, source: &str) {
        let next = self.last_input + 1;
        if self.get(key).is_none() {
            self.last_id += 1;
            let policy = Policy {
                id: self.last_id,
                key: key.clone(),
                file: None,
                source: String::new(),
                enabled: true,
                mode: None,
                over: Over::default(),
                plan: None,
                wanted: None,
                refused: false,
                again: false,
                running: None,
                instead: None,
                report: PolicyReport::default(),
                error: None,
            };
            self.policies.insert(key.clone(), Arc::new(policy));
        }
        let Some(policy) = self.get_mut(key) else { return };
        policy.file = file.map(Path::to_owned);
        policy.source = source.to_owned();
        if policy.plan == plan && plan.is_some() {
            // It may have been broken in between.
            policy.error = refusal(&policy.report, policy.running.is_some()).filter(|_| policy.refused);
            return;
        }
        policy.error = None;
        policy.refused = false;
        policy.plan = plan.clone();
        policy.wanted = plan.map(|plan| {
            let enforce = policy.enforces(&plan);
            PolicyInput { id: next, policy: policy.id, plan, enforce }
        });
        self.last_input = next;
    }

    /// What the engine is asked to run.
    pub fn desired(&self) -> Vec<PolicyInput> {
        self.policies.values().filter_map(|p| p.candidate().cloned()).collect()
    }

    /// The engine does not run what it should.
    pub fn is_pending(&self) -> bool {
        let differs = |p: &Arc<Policy>| p.candidate().map(|c| c.id) != p.running.as_ref().map(|r| r.id);
        !self.leaving.is_empty() || self.policies.values().any(differs)
    }

    /// Notes what the engine made of [`Store::desired`].
    pub fn applied(&mut self, report: &ApplyReport) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> =
            std::mem::take(&mut self.leaving).into_iter().map(|key| Outcome::Unloaded { key }).collect();
        for policy in self.policies.values_mut() {
            let Some(candidate) = policy.candidate().cloned() else {
                if policy.running.is_some() {
                    Arc::make_mut(policy).running = None;
                    outcomes.push(Outcome::Unloaded { key: policy.key.clone() });
                }
                continue;
            };
            let Some(found) = report.policies.get(&candidate.id) else { continue };
            let policy = Arc::make_mut(policy);
            let known = policy.running.as_ref().is_some_and(|r| r.id == candidate.id);
            let key = policy.key.clone();
            let again = std::mem::take(&mut policy.again);
            if errors(found).is_some() {
                policy.refused = true;
                if report.stopped.contains(&policy.id) {
                    policy.running = None;
                }
                let kept = policy.running.is_some();
                let error = refusal(found, kept);
                let told = again && policy.error == error;
                policy.error = error;
                // Memory is that of what runs.
                let kernel_memory = policy.report.kernel_memory;
                policy.report = PolicyReport { kernel_memory, ..found.clone() };
                if !told {
                    outcomes.push(Outcome::Refused { key, report: found.clone(), kept });
                }
                // Its mode may have changed together with the version.
                remode(policy, &mut self.last_input);
                continue;
            }
            if policy.wanted.as_ref().is_some_and(|w| w.id == candidate.id) {
                // An apply that failed as a whole had refused it.
                if std::mem::take(&mut policy.refused) || again {
                    policy.error = None;
                }
                policy.report = found.clone();
            }
            policy.running = Some(candidate);
            policy.instead = None;
            if !known {
                outcomes.push(Outcome::Loaded { key, report: found.clone() });
            }
        }
        outcomes
    }

    /// What had no room is to be tried again; until then it is said to have none. False: there is no such policy.
    pub fn retry(&mut self) -> bool {
        let full = |p: &Policy| p.refused && p.report.hooks.iter().any(|h| h.cause == Some(Cause::Full));
        // Where its file is broken meanwhile, that is what is wrong with it.
        let waits = |p: &Policy| full(p) && p.error == refusal(&p.report, p.running.is_some());
        let mut found = false;
        for policy in self.policies.values_mut().filter(|p| waits(p)) {
            let policy = Arc::make_mut(policy);
            (policy.refused, policy.again) = (false, true);
            found = true;
        }
        found
    }
}

/// Gives the versions of a policy the mode that it is to have. True: the wanted one has another now.
fn remode(policy: &mut Policy, last_input: &mut u64) -> bool {
    let mut changed = |input: &PolicyInput| {
        let enforce = policy.enforces(&input.plan);
        (input.enforce != enforce).then(|| {
            *last_input += 1;
            PolicyInput { id: *last_input, enforce, ..input.clone() }
        })
    };
    let wanted = policy.wanted.as_ref().and_then(&mut changed);
    let instead = policy.running.as_ref().filter(|_| policy.refused).and_then(&mut changed);
    policy.instead = instead;
    let differs = wanted.is_some();
    policy.wanted = wanted.or(policy.wanted.take());
    differs
}

#[cfg(test)]
#[path = "policies_tests.rs"]
mod tests;
