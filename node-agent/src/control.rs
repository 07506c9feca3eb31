//! The thread that owns the policies and the engine: every change goes through it, one after the
//! other. What it knows is published for lists and metrics, which never wait for it.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tetragon_api::event::{TracingPolicyMode, TracingPolicyStatus};
use tetragon_api::plan::Mode;
use tetragon_compiler::{Code, Compiled, Severity, compile_bytes, compile_yaml, locate};
use tetragon_engine::{Cause, Kernel, KernelLosses, PolicyReport};
use tokio::sync::{Notify, oneshot};

use crate::counters::{Counters, Kernel as Numbers};
use crate::folder::{Change, Folder};
use crate::kubernetes::local::{Local, Row};
use crate::kubernetes::plans::Decision;
use crate::pods::classifier::{Classifier, Request};
use crate::policies::{K8S, Outcome, Policy, PolicyKey, STATIC, Store, StoreError};
use crate::watch::Notice;

/// How often the kernel's numbers are read.
const TICK: Duration = Duration::from_secs(1);

/// How often it is tried again to tell the kernel of containers that it has refused.
const AGAIN: Duration = Duration::from_secs(30);

/// The code of what only the kernel can say about a hook.
const CODE: Code = Code::NotOnThisKernel;

/// A request to the thread.
#[derive(Debug)]
pub enum Command {
    /// Files of a folder changed.
    Files {
        /// Which folder, by its number.
        folder: usize,
        /// Which files.
        notice: Notice,
    },
    /// Policies came over gRPC.
    Add {
        /// The text.
        yaml: String,
        /// The domain, or nothing.
        domain: String,
        /// The answer.
        reply: Reply,
    },
    /// A policy is to be removed, switched or set.
    Change {
        /// Its name.
        name: String,
        /// Its namespace, or nothing.
        namespace: String,
        /// Its domain, or nothing.
        domain: String,
        /// What is to be done.
        what: Vec<What>,
        /// The answer.
        reply: Reply,
    },
    /// There are new decisions about the cluster's policies in the box.
    Plans,
    /// Something is new about containers. It does not wait until policies are loaded.
    Containers(Request),
    /// A policy took more enforcing actions than it may.
    OverLimit {
        /// Its number.
        policy: u64,
    },
    /// The kernel's numbers are wanted now.
    Numbers {
        /// Answered when they are published.
        reply: oneshot::Sender<()>,
    },
    /// The end.
    Stop {
        /// Answered when the last numbers are published, and before anything is taken down: the
        /// events up to here can be read and told.
        ready: std::sync::mpsc::Sender<()>,
        /// Take everything down; else it goes on without the agent.
        release: bool,
    },
}

/// What is to be done with a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Remove it.
    Delete,
    /// Switch it on or off.
    Enable(bool),
    /// Set its mode.
    Mode(Mode),
}

/// Where an answer goes.
pub type Reply = oneshot::Sender<Result<(), Refusal>>;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The policy is wrong: the compiler's findings.
    #[error("{0}")]
    Invalid(String),
    /// The name is taken.
    #[error("{0}")]
    Exists(String),
    /// There is none of that name.
    #[error("{0}")]
    Missing(String),
    /// The kernel cannot run it.
    #[error("{0}")]
    Failed(String),
}

impl From<StoreError> for Refusal {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Exists { .. } | StoreError::Elsewhere { .. } => Refusal::Exists(e.to_string()),
            StoreError::Missing { .. } => Refusal::Missing(e.to_string()),
            StoreError::Mode(_) => Refusal::Invalid(e.to_string()),
        }
    }
}

/// The mode that a client asks for.
pub fn mode_of(mode: i32) -> Result<Mode, Refusal> {
    match TracingPolicyMode::try_from(mode) {
        Ok(TracingPolicyMode::TpModeEnforce) => Ok(Mode::Enforce),
        Ok(TracingPolicyMode::TpModeMonitor) => Ok(Mode::Monitor),
        Ok(other) => Err(StoreError::Mode(other.as_str_name().to_owned()).into()),
        Err(_) => Err(StoreError::Mode(mode.to_string()).into()),
    }
}

/// The list of policies as it was last published.
#[derive(Debug, Default)]
pub struct Board {
    policies: Mutex<Vec<Arc<Policy>>>,
    rows: Mutex<Vec<Row>>,
    changed: Notify,
}

impl Board {
    /// All policies.
    pub fn policies(&self) -> Vec<TracingPolicyStatus> {
        let policies = lock(&self.policies).clone();
        policies.iter().map(|p| p.status()).collect()
    }

    /// The policies of the cluster.
    pub fn rows(&self) -> Vec<Row> {
        lock(&self.rows).clone()
    }

    /// Waits for a change of [`Board::rows`] after the last wait; one waits at a time.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn publish(&self, store: &Store, rows: Option<Vec<Row>>) {
        *lock(&self.policies) = store.policies().cloned().collect();
        let Some(rows) = rows else { return };
        let mut published = lock(&self.rows);
        if *published != rows {
            *published = rows;
            self.changed.notify_one();
        }
    }
}

/// A lock whose holder panicked still holds a whole list.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where decisions about the cluster's policies lie until the control thread takes them: newer ones
/// replace those that it has not taken.
#[derive(Debug, Default)]
pub struct DecisionBox(Mutex<Option<Vec<Decision>>>);

impl DecisionBox {
    /// Puts them in. True: it was empty, so that the control thread is to be told.
    pub fn put(&self, decisions: Vec<Decision>) -> bool {
        lock(&self.0).replace(decisions).is_none()
    }

    fn take(&self) -> Option<Vec<Decision>> {
        lock(&self.0).take()
    }
}

/// The cluster's side of the thread's state.
#[derive(Debug)]
pub struct Cluster {
    /// What is known of its policies.
    pub local: Local,
    /// Where decisions come from.
    pub decisions: Arc<DecisionBox>,
    /// Nothing may be loaded before it is known what the cluster wants: what an agent before this one
    /// has left would go with the first change, and some of it may be wanted.
    pub held: bool,
}

/// A policy file that was read and compiled.
#[derive(Debug)]
pub struct PolicyFile {
    /// Where.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
    /// What the compiler made of it.
    pub compiled: Compiled,
}

impl PolicyFile {
    /// Compiles a file.
    pub fn new(path: PathBuf, bytes: &[u8]) -> PolicyFile {
        let compiled = compile_bytes(&path.display().to_string(), bytes).or_no_policy();
        PolicyFile { path, text: String::from_utf8_lossy(bytes).into_owned(), compiled }
    }

    /// Its errors, for people.
    pub fn errors(&self, colour: bool) -> Option<String> {
        errors(&self.compiled, &self.text, colour)
    }
}

fn errors(compiled: &Compiled, text: &str, colour: bool) -> Option<String> {
    let list = compiled.diagnostics.iter().filter(|d| d.severity == Severity::Error);
    let rendered: String = list.map(|d| compiled.render(d, text, colour)).collect();
    compiled.has_errors().then_some(rendered)
}

/// Requests to the thread.
struct Inbox {
    requests: Receiver<Command>,
    /// Taken already, to be served when policies are loaded.
    later: VecDeque<Command>,
}

impl Inbox {
    /// The next, if it comes until then.
    fn next(&mut self, until: Instant) -> Result<Command, RecvTimeoutError> {
        match self.later.pop_front() {
            Some(command) => Ok(command),
            None => self.requests.recv_timeout(until.saturating_duration_since(Instant::now())),
        }
    }

    /// Serves what is there about containers, in its order; the rest waits.
    fn of_containers(&mut self, mut serve: impl FnMut(Request)) {
        while let Ok(command) = self.requests.try_recv() {
            match command {
                Command::Containers(request) => serve(request),
                other => self.later.push_back(other),
            }
        }
    }
}

/// The thread's state.
pub struct Control {
    inbox: Inbox,
    kernel: Box<dyn Kernel>,
    store: Store,
    folders: Vec<Folder>,
    counters: Arc<Counters>,
    board: Arc<Board>,
    losses: KernelLosses,
    cluster: Option<Cluster>,
    classifier: Classifier,
    /// When it was last tried again to tell the kernel of all containers.
    tried: Instant,
}

impl Control {
    /// A control that has loaded nothing.
    pub fn new(
        requests: Receiver<Command>,
        kernel: Box<dyn Kernel>,
        folders: Vec<Folder>,
        counters: Arc<Counters>,
        board: Arc<Board>,
    ) -> Self {
        let (store, losses) = (Store::default(), KernelLosses::default());
        let classifier = Classifier::default();
        let tried = Instant::now();
        let inbox = Inbox { requests, later: VecDeque::new() };
        Control { inbox, kernel, store, folders, counters, board, losses, cluster: None, classifier, tried }
    }

    /// The policies of a cluster are loaded too.
    pub fn with_cluster(mut self, cluster: Cluster) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// Cgroups are classified.
    pub fn with_classifier(mut self, classifier: Classifier) -> Self {
        self.classifier = classifier;
        self
    }

    /// Loads the policies of the start, which compiled. `Err`: every one of them asks for something
    /// that no kernel like this one has, so that none is worth keeping; what is wrong with each.
    pub fn load(&mut self, files: &[PolicyFile]) -> Result<(), Vec<String>> {
        self.classifier.start(&mut *self.kernel);
        let mut wrong = Vec::new();
        for file in files {
            log_findings(&file.compiled);
            for e in self.store.put_file(&file.path, &file.compiled.policies) {
                wrong.push(format!("{}: error[duplicate-name] metadata.name: {e}", file.path.display()));
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        if let Some(cluster) = &mut self.cluster {
            cluster.local.put_ran(&mut self.store, &mut self.counters.events());
        }
        let mut running = false;
        for outcome in self.apply() {
            match outcome {
                Outcome::Refused { key, report, .. } if key.domain == STATIC && is_mistaken(&report) => {
                    wrong.extend(self.hook_errors(&key, &report));
                }
                Outcome::Refused { .. } | Outcome::Loaded { .. } => running = true,
                Outcome::Unloaded { .. } => {}
            }
        }
        if !running && !wrong.is_empty() {
            return Err(wrong);
        }
        if let Some(cluster) = &mut self.cluster {
            cluster.local.put_wanted(&mut self.store, &mut self.counters.events());
            self.apply();
        }
        Ok(())
    }

    /// Takes everything down.
    pub fn release(self) {
        self.kernel.release();
    }

    /// Serves requests until the end. True: the programs go on without the agent.
    pub fn run(mut self) {
        self.publish_numbers(false);
        let mut next = Instant::now() + TICK;
        loop {
            let quiet = match self.inbox.next(next) {
                Ok(Command::Stop { ready, release }) => {
                    self.publish_numbers(false);
                    self.classifier.keep();
                    // Who asked may be gone; the programs are taken down all the same.
                    let _ = ready.send(());
                    self.end(release);
                    return;
                }
                Ok(command) => {
                    self.serve(command);
                    false
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // Also when there is always something to do.
            if Instant::now() >= next {
                self.publish_numbers(false);
                self.classifier.tick(self.losses.cgroup_record, &mut *self.kernel);
                self.catch_up();
                next = Instant::now() + TICK;
            }
            if quiet {
                self.kernel.complete();
            }
        }
    }

    /// Containers that the kernel could not be told of wait for the next change of policies: when none comes, the
    /// present ones are loaded once more.
    fn catch_up(&mut self) {
        if !self.classifier.is_behind() || self.is_held() || self.tried.elapsed() < AGAIN {
            return;
        }
        self.tried = Instant::now();
        self.load_desired();
        self.tell_applied();
    }

    fn end(self, release: bool) {
        if release && self.is_held() {
            tracing::warn!(
                "what the agent before has left stays in force: it is not known which policies there are"
            );
        } else if release {
            self.kernel.release();
        }
    }

    fn serve(&mut self, command: Command) {
        match command {
            Command::Files { folder, notice } => self.files(folder, &notice),
            Command::Add { yaml, domain, reply } => {
                let _ = reply.send(self.add(&yaml, &domain));
            }
            Command::Change { name, namespace, domain, what, reply } => {
                let _ = reply.send(self.change(&name, &namespace, &domain, &what));
            }
            Command::Plans => self.plans(),
            Command::Containers(request) => self.classifier.serve(request, &mut *self.kernel),
            Command::OverLimit { policy } => {
                if let Some(cluster) = &mut self.cluster {
                    cluster.local.limit(policy, &mut self.store);
                    self.apply();
                }
            }
            Command::Numbers { reply } => {
                self.publish_numbers(true);
                let _ = reply.send(());
            }
            Command::Stop { .. } => {}
        }
    }

    /// Carries out the newest decisions about the cluster's policies.
    fn plans(&mut self) {
        let Some(cluster) = &mut self.cluster else { return };
        let Some(decisions) = cluster.decisions.take() else { return };
        let open = decisions.iter().any(Decision::is_open);
        cluster.local.decide(decisions, &mut self.store, &mut self.counters.events());
        if cluster.held && !open {
            tracing::info!("all plans are known: what the agent before has left is replaced");
            cluster.held = false;
        }
        self.apply();
    }

    fn is_held(&self) -> bool {
        self.cluster.as_ref().is_some_and(|c| c.held)
    }

    fn add(&mut self, yaml: &str, domain: &str) -> Result<(), Refusal> {
        if domain == K8S {
            let text = format!(
                "policies of domain {K8S} come from the API server: use kubectl apply, or another domain"
            );
            return Err(Refusal::Failed(text));
        }
        let compiled = compile_yaml("policy", yaml).or_no_policy();
        if compiled.policies.is_empty() && !compiled.has_errors() {
            let text = "failed to add tracing policy: the list is empty; give one with a policy";
            return Err(Refusal::Invalid(text.to_owned()));
        }
        if let Some(errors) = errors(&compiled, yaml, false) {
            return Err(Refusal::Invalid(format!("failed to add tracing policy:\n{errors}")));
        }
        let keys = self.store.add(domain, &compiled.policies)?;
        log_findings(&compiled);
        self.apply();
        let failed: Vec<&str> =
            keys.iter().filter_map(|k| self.store.get(k)).filter_map(|p| p.error()).collect();
        if failed.is_empty() { Ok(()) } else { Err(Refusal::Failed(failed.join("\n"))) }
    }

    fn change(&mut self, name: &str, namespace: &str, domain: &str, what: &[What]) -> Result<(), Refusal> {
        let key = self.store.find(name, namespace, domain)?;
        if key.domain == K8S && what.contains(&What::Delete) {
            let text = format!("policy {name} comes from the API server: delete it there, with kubectl");
            return Err(Refusal::Failed(text));
        }
        for what in what {
            match *what {
                What::Delete => self.store.remove(&key),
                What::Enable(on) => self.store.enable(&key, on),
                What::Mode(mode) => self.store.set_mode(&key, mode),
            }
        }
        self.apply();
        match self.store.get(&key).and_then(|p| p.error()) {
            Some(error) if !what.contains(&What::Enable(false)) => Err(Refusal::Failed(error.to_owned())),
            _ => Ok(()),
        }
    }

    fn files(&mut self, folder: usize, notice: &Notice) {
        let Some(folder) = self.folders.get_mut(folder) else { return };
        let changes = match notice {
            Notice::Files(names) => folder.scan_some(names),
            Notice::All(busy) => match folder.scan(busy) {
                Ok(changes) => changes,
                Err(e) => {
                    tracing::error!("{}: cannot be read, its policies stay: {e}", folder.dir().display());
                    return;
                }
            },
        };
        for change in changes {
            match change {
                Change::Text { path, bytes } => self.file(&PolicyFile::new(path, &bytes)),
                Change::Gone(path) => self.store.remove_file(&path),
                Change::Unreadable { path, error } => {
                    tracing::error!("{}: cannot be read, its policies stay: {error}", path.display());
                }
            }
        }
        self.apply();
    }

    /// A file is new or has changed.
    fn file(&mut self, file: &PolicyFile) {
        let policies = &file.compiled.policies;
        if let Some(errors) = file.errors(false) {
            tracing::error!("{}: failed to load, what ran before stays:\n{errors}", file.path.display());
            self.store.fail_file(&file.path, policies, errors.trim_end());
            self.publish();
            return;
        }
        log_findings(&file.compiled);
        for e in self.store.put_file(&file.path, policies) {
            tracing::error!("{}: failed to load: {e}", file.path.display());
        }
    }

    /// Brings the kernel to what is wanted.
    fn apply(&mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        // A version that is refused leaves the one before, whose mode may have changed with it.
        for _ in 0..2 {
            self.publish();
            if !self.store.is_pending() || self.is_held() {
                break;
            }
            outcomes.extend(self.load_desired());
        }
        // Where something went, or has another size, there may be room for what had none.
        if outcomes.iter().any(|o| !matches!(o, Outcome::Refused { .. })) && self.store.retry() {
            outcomes.extend(self.load_desired());
        }
        self.tell_applied();
        outcomes
    }

    fn load_desired(&mut self) -> Vec<Outcome> {
        let (inbox, classifier) = (&mut self.inbox, &mut self.classifier);
        let report = self.kernel.apply(&self.store.desired(), &mut |kernel| {
            inbox.of_containers(|request| classifier.serve(request, kernel));
        });
        let outcomes = self.store.applied(&report);
        outcomes.iter().for_each(|outcome| self.log(outcome));
        outcomes
    }

    fn tell_applied(&mut self) {
        if let Some(cluster) = &mut self.cluster {
            cluster.local.applied(&self.store);
        }
        self.publish();
    }

    fn publish(&mut self) {
        let rows = self.cluster.as_mut().map(|c| c.local.rows(&self.store, c.held));
        self.board.publish(&self.store, rows);
    }

    fn log(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Loaded { key, report } => log_loaded(key, report),
            Outcome::Refused { key, report, kept } => {
                for line in self.hook_errors(key, report) {
                    tracing::error!(policy = %key.name, "failed to load policy {}: {line}", key.name);
                }
                if *kept {
                    tracing::warn!(policy = %key.name, "the version of the policy before stays in force");
                }
            }
            Outcome::Unloaded { key } => {
                tracing::info!(policy = %key.name, "policy unloaded");
                let same = |p: &Arc<Policy>| p.key.name == key.name && p.key.namespace == key.namespace;
                let gone = !self.store.policies().any(same);
                let present: BTreeSet<u64> = self.store.policies().map(|p| p.id).collect();
                let mut counts = self.counters.events();
                if gone {
                    counts.forget(&key.name, key.namespace.as_deref());
                }
                counts.retain(|number| present.contains(&number));
            }
        }
    }

    /// `FILE:LINE:COL: error[CODE] spec.kprobes[0]: why`, a line for each hook that cannot be had.
    fn hook_errors(&self, key: &PolicyKey, report: &PolicyReport) -> Vec<String> {
        let policy = self.store.get(key);
        let file = policy.and_then(|p| p.file.as_deref());
        let text = file.and_then(|f| std::fs::read_to_string(f).ok()).unwrap_or_default();
        let mut lines = Vec::new();
        for hook in &report.hooks {
            let Some(error) = &hook.error else { continue };
            let (field, error) = hook.place_of(error);
            let mut line = String::new();
            if let Some(file) = file {
                line = position(file, &text, policy.map_or("", |p| &p.source), &field);
            }
            // Writing to a String does not fail.
            let _ = write!(line, "error[{}] {field}: {error}", CODE.id());
            lines.push(line);
        }
        lines
    }

    fn publish_numbers(&mut self, all: bool) {
        let mut losses = self.kernel.losses();
        // The engine forgets whose losses they were when nobody can ask any more; sums stay.
        for (key, n) in &self.losses.by_policy {
            let sum = losses.by_policy.entry(key.clone()).or_default();
            *sum = (*sum).max(*n);
        }
        self.losses = losses.clone();
        let (programs, map_memory) = if all {
            (self.kernel.programs(), self.kernel.map_memory())
        } else {
            let before = self.counters.kernel();
            (before.programs, before.map_memory)
        };
        self.counters.set_kernel(Numbers { losses, programs, map_memory });
    }
}

/// All errors are mistakes in the policy: names or types that do not exist, rather than something
/// that this kernel cannot do.
fn is_mistaken(report: &PolicyReport) -> bool {
    let mut causes = report.hooks.iter().filter_map(|h| h.cause).peekable();
    causes.peek().is_some() && causes.all(|cause| cause == Cause::Mistaken)
}

/// `FILE:LINE:COL: `
fn position(file: &Path, text: &str, source: &str, field: &str) -> String {
    match locate(text, source, field) {
        Some((line, column)) => format!("{}:{line}:{column}: ", file.display()),
        None => format!("{}: ", file.display()),
    }
}

fn log_loaded(key: &PolicyKey, report: &PolicyReport) {
    for hook in &report.hooks {
        match hook.backend {
            Some(backend) => tracing::info!(
                policy = %key.name,
                hook = %hook.field,
                function = %hook.function,
                backend = %backend.name(),
                "hook loaded"
            ),
            None => tracing::info!(
                policy = %key.name,
                hook = %hook.field,
                function = %hook.function,
                "hook left out: this kernel does not have it, and the policy allows that"
            ),
        }
    }
    tracing::info!(policy = %key.name, domain = %key.domain, "policy loaded");
}

/// Warnings and notes of the compiler.
fn log_findings(compiled: &Compiled) {
    for finding in &compiled.diagnostics {
        match finding.severity {
            Severity::Error => {}
            Severity::Warning => tracing::warn!("{}", compiled.one_line(finding)),
            Severity::Note => tracing::info!("{}", compiled.one_line(finding)),
        }
    }
}

/// Looks into folders for the first time. `Err`: a folder or file cannot be read.
pub fn read_folders(folders: &mut [Folder]) -> Result<Vec<PolicyFile>, String> {
    let mut files = Vec::new();
    for folder in folders {
        let none = BTreeSet::<OsString>::new();
        let changes =
            folder.scan(&none).map_err(|e| format!("{}: cannot be read: {e}", folder.dir().display()))?;
        for change in changes {
            match change {
                Change::Text { path, bytes } => files.push(PolicyFile::new(path, &bytes)),
                Change::Unreadable { path, error } => {
                    return Err(format!("{}: cannot be read: {error}", path.display()));
                }
                Change::Gone(_) => {}
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
