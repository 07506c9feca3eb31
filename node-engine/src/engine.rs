//! The node image: all hooks, changed as one by one word.
//!
//! A change goes through these steps; until the last but one, nothing that runs is touched:
//! resolve each hook for this kernel, link, load what is new, attach new stubs, write the idle slot
//! of every hook, change the state word, and, once no program runs in the old slot, clean up and
//! make the old slot like the new one. Where that needs a program, it is loaded when nothing else is
//! to be done, so that the next change of values loads nothing.

pub mod containers;
mod counts;
pub mod error;
mod pins;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tetragon_abi::config::HookConfig;
use tetragon_api::plan::{ArgType, Target};

use crate::link::linker::Linker;
use crate::link::shape::LinkError;
use crate::link::tables::Layout;
use crate::link::unit::{Context, Unit};
use crate::link::workloads::Containers;
use crate::load::base::{self, Base, ProcSeed};
use crate::load::hook::{Hook, HookError, LINK, Shared};
use crate::load::maps::{grace_maps, raise_limits};
use crate::load::object::{Constants, Programs};
use crate::losses::ByPolicy;
use crate::node::btf::Btf;
use crate::node::cgroups::Hierarchy;
use crate::node::kernel::{self, Kernel};
use crate::node::resolve::{Attach, Details, Unavailable, function_name, resolve};
use crate::policy::{ApplyReport, Backend, Cause, Facts, HookReport, PolicyInput, PolicyReport};
use crate::records::read::{History, Reader, lock};
use crate::records::ring::Ring;
use crate::sys::{self, Map, MapSpec};

use error::{EngineError, failed};
use pins::{SEED_FILE, folders, remove_pins, seed_of};

/// How the engine is started.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Bytes of the ring buffer; made a power of two, of at least a page.
    pub ring_bytes: u32,
    /// Folder in bpffs.
    pub bpf_dir: PathBuf,
    /// The host's /proc.
    pub procfs: String,
    /// Exec records have the environment.
    pub environment: bool,
}

/// The engine. Dropped without [`Engine::release`] it leaves what is pinned in force.
pub struct Engine {
    kernel: Kernel,
    facts: Facts,
    /// How hooks are attached, as found before: the kernel's type information is large, and is read
    /// only when something new is asked.
    resolved: HashMap<Question, (Attach, Details)>,
    shared: Shared,
    base: Base,
    hooks: BTreeMap<Attach, Hook>,
    /// The policies in force.
    running: Running,
    /// What a value takes on each hook, as it was told last.
    sizes: BTreeMap<Attach, (u64, u64)>,
    history: Arc<Mutex<History>>,
    /// Losses by policy under images that are no longer in force.
    past_losses: ByPolicy,
    /// In force: number of the image, and slot in the lowest bit.
    state: u64,
    next_hook: u32,
    grace: (Map, Map),
    /// Hooks whose idle slot has no program yet.
    halves: Vec<Attach>,
    containers: Containers,
    /// The last change of policies failed: linkers are ahead of what is in force.
    ahead: bool,
    /// Folders of agents before this one, removed once this one's image is in force.
    old: Vec<PathBuf>,
    root: PathBuf,
}

/// Maps of all hooks, but the ring, which has a size of its own.
const SHARED: [&str; 8] = ["STATE", "PROCS", "EXES", "SCRATCH", "RECORDS", "LOST", "LOST_BY", "LIMITS"];

impl Engine {
    /// Loads the base sensor and takes over what an agent before this one has left; its hooks stay
    /// in force until the first [`Engine::apply`].
    pub fn start(options: &EngineOptions) -> Result<(Engine, Reader), EngineError> {
        raise_limits();
        let btf = Btf::of_kernel()?;
        let kernel = Kernel::detect(&btf, &options.procfs)?;
        let facts = kernel::facts(&kernel, &btf);
        let (pins, old) = folders(&options.bpf_dir)?;
        let seed = seed_of(&options.bpf_dir);
        let programs = Programs::new(&btf)?;
        let mut maps = Vec::new();
        for name in SHARED {
            maps.push((name, programs.create(name, |_| {})?));
        }
        let prealloc = kernel.prealloc;
        let cgroups = |s: &mut MapSpec<'_>| s.flags = if prealloc { 0 } else { sys::NO_PREALLOC };
        maps.push(("CGROUPS", programs.create("CGROUPS", cgroups)?));
        let size = options.ring_bytes.max(4096).next_power_of_two();
        let events = programs.create("EVENTS", |s| s.entries = size)?;
        let ring =
            Ring::map(events.raw(), size as usize).map_err(|e| failed("cannot map the ring buffer", e))?;
        maps.push(("EVENTS", events));
        let constants =
            Constants { config: of_kernel(&kernel, &programs, options), offsets: kernel.offsets, seed };
        let shared = Shared { programs, constants, maps, prealloc: kernel.prealloc, pins };
        for name in ["PROCS", "EXES"] {
            shared.map(name).pin(&shared.pins.join(name)).map_err(|e| failed("cannot pin to bpffs", e))?;
        }
        let base = Base::attach(&shared)?;
        match &kernel.cgroups {
            // From here on the kernel itself notes what is made.
            Some(h) => drop(base::note_cgroups(&shared, &h.root)?),
            None => tracing::warn!(
                "there are no cgroups in /sys/fs/cgroup: no process is known to be of a pod or of the host"
            ),
        }
        for dir in &old {
            let n = base::inherit(&shared, dir, seed);
            tracing::info!(from = %dir.display(), entries = n, "took over the process table of the agent before");
        }
        let history = Arc::new(Mutex::new(History::default()));
        let reader = Reader::new(ring, history.clone());
        let grace = grace_maps().map_err(|e| failed("cannot create a map", e))?;
        let engine = Engine {
            kernel,
            facts,
            resolved: HashMap::new(),
            shared,
            base,
            hooks: BTreeMap::new(),
            running: Running::new(),
            sizes: BTreeMap::new(),
            history,
            past_losses: ByPolicy::new(),
            state: 0,
            next_hook: 1,
            grace,
            halves: Vec::new(),
            containers: Containers::default(),
            ahead: false,
            old,
            root: options.bpf_dir.clone(),
        };
        Ok((engine, reader))
    }

    /// What is known of the kernel, for a log line.
    pub fn describe(&self) -> String {
        let k = &self.kernel;
        format!(
            "kernel {}, BPF LSM {}, kprobes {}, {}, {}",
            k.release,
            if k.lsm { "yes" } else { "no" },
            if k.kprobes { "yes" } else { "no" },
            if k.not_preemptible { "not preemptible" } else { "may be preemptible" },
            k.cgroups.as_ref().map_or("no cgroups".to_owned(), Hierarchy::describe)
        )
    }

    /// The cgroups that containers are told apart by.
    pub fn hierarchy(&self) -> Option<&Hierarchy> {
        self.kernel.cgroups.as_ref()
    }

    /// What the kernel lets the engine do.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// An agent before this one has left hooks; they are in force until the first [`Engine::apply`].
    pub fn has_old_hooks(&self) -> bool {
        let is_hook = |e: &std::fs::DirEntry| e.file_name().to_string_lossy().starts_with(LINK);
        let entries = |dir: &PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten();
        self.old.iter().any(|dir| entries(dir).any(|e| is_hook(&e)))
    }

    /// Tells the kernel of processes that ran before the agent.
    pub fn exe_seen(&mut self, processes: &[ProcSeed]) -> Result<(), EngineError> {
        Ok(base::seed(&self.shared, processes)?)
    }

    /// Makes `policies` the policies of the node, all at once. A policy that cannot run is left out
    /// and reported; if an older version of it runs, that one stays. Of a policy that runs already nothing
    /// is resolved, linked or reported again, so that a change costs little beside many policies.
    ///
    /// The kernel takes long to check programs: `between` is called after each that can be loaded before
    /// anything that runs is touched, and may classify containers.
    pub fn apply(&mut self, policies: &[PolicyInput], between: Between<'_>) -> ApplyReport {
        let mut report = ApplyReport::default();
        let mut refused: BTreeSet<u64> = BTreeSet::new();
        let unable = self.ask(policies);
        between(self);
        // A second attempt finds linkers that the first has changed.
        let mut between = Some(between);
        loop {
            let round = self.attempt(policies, &unable, &mut refused, &mut report, between.take());
            for h in self.hooks.values_mut() {
                h.discard();
            }
            if round {
                break;
            }
        }
        report.state = self.state;
        self.measure(&mut report);
        report
    }

    /// One attempt without the refused policies. False: more had to be refused.
    fn attempt(
        &mut self,
        policies: &[PolicyInput],
        unable: &Unable,
        refused: &mut BTreeSet<u64>,
        report: &mut ApplyReport,
        between: Option<Between<'_>>,
    ) -> bool {
        let (wanted, running) = self.wanted(policies, unable, refused, report);
        let before = refused.len();
        let (made, mut failures) = self.make(&wanted, between);
        // A change that fails leaves linkers that are not of what is in force.
        self.halves.clear();
        let new: BTreeSet<Attach> = made.keys().cloned().collect();
        self.hooks.extend(made);
        for (attach, (_, units)) in &wanted {
            failures.extend(self.prepare(attach, units, new.contains(attach)).err().into_iter().flatten());
        }
        failures.iter().for_each(|f| self.refuse(report, refused, f));
        if refused.len() > before {
            return false;
        }
        let gone: Vec<Attach> = self.hooks.keys().filter(|a| !wanted.contains_key(a)).cloned().collect();
        if let Err(e) = self.switch(&gone) {
            self.ahead = true;
            // Nothing has changed: the word was not written.
            tracing::error!("cannot put the new policies in force, the old ones stay: {e}");
            for p in policies {
                for h in &mut self.told(report, &Arc::new(p.clone())).hooks {
                    h.error.get_or_insert_with(|| e.to_string());
                    h.cause.get_or_insert(Cause::Refused);
                }
            }
            return true;
        }
        let before = std::mem::replace(&mut self.running, running);
        let run: BTreeSet<u64> = self.running.values().map(|r| r.input.policy).collect();
        report.stopped = before.values().map(|r| r.input.policy).filter(|p| !run.contains(p)).collect();
        if std::mem::take(&mut self.ahead) {
            self.classify_all();
        }
        true
    }

    /// The hooks that the policies ask for, on this kernel, and the policies that would run then. Those that
    /// cannot be had are reported.
    fn wanted(
        &self,
        policies: &[PolicyInput],
        unable: &Unable,
        refused: &mut BTreeSet<u64>,
        report: &mut ApplyReport,
    ) -> (Wanted, Running) {
        let (mut wanted, mut running) = (Wanted::new(), Running::new());
        for p in policies {
            let placed = match self.unchanged(p) {
                Some(placed) => Ok(placed.clone()),
                None => self.place(&Arc::new(p.clone()), unable, report.policies.entry(p.id).or_default()),
            };
            if placed.is_err() {
                refused.insert(p.id);
            }
            let placed = placed.ok().filter(|_| !refused.contains(&p.id)).or_else(|| {
                // The version that ran goes on.
                let old = |r: &&Arc<Placed>| r.input.policy == p.policy && !refused.contains(&r.input.id);
                self.running.values().find(old).cloned()
            });
            if let Some(placed) = placed {
                add_units(&mut wanted, &placed);
                running.insert(placed.input.id, placed);
            }
        }
        (wanted, running)
    }

    /// The policy as it runs, if nothing is new about it. After a failure all are looked at again, and always
    /// those with a hook that was not there: a module may have brought it.
    fn unchanged(&self, p: &PolicyInput) -> Option<&Arc<Placed>> {
        let all = |r: &Placed| r.hooks.len() == r.input.plan.hooks.len();
        self.running.get(&p.id).filter(|r| r.input.enforce == p.enforce && all(r) && !self.ahead)
    }

    /// Answers what is new in `policies` about this kernel.
    fn ask(&mut self, policies: &[PolicyInput]) -> Unable {
        let mut refused = HashMap::new();
        let mut btf = None;
        let new = policies.iter().filter(|p| self.unchanged(p).is_none());
        let new: Vec<_> = new.flat_map(|p| &p.plan.hooks).collect();
        for h in new {
            let q = question(h);
            if self.resolved.contains_key(&q) || refused.contains_key(&q) {
                continue;
            }
            let btf = match &btf {
                Some(b) => b,
                None => match Btf::of_kernel() {
                    Ok(b) => btf.insert(b),
                    Err(e) => {
                        refused.insert(q, Unavailable::Unable(e.to_string()));
                        continue;
                    }
                },
            };
            match resolve(&self.kernel, btf, h) {
                Ok(found) => drop(self.resolved.insert(q, found)),
                Err(e) => drop(refused.insert(q, e)),
            }
        }
        refused
    }

    /// Finds where a policy's hooks are attached.
    fn place(
        &self,
        p: &Arc<PolicyInput>,
        unable: &Unable,
        report: &mut PolicyReport,
    ) -> Result<Arc<Placed>, ()> {
        let mut hooks = Vec::new();
        let mut all = Vec::new();
        for (i, h) in p.plan.hooks.iter().enumerate() {
            let mut r = HookReport {
                field: h.field.clone(),
                function: function_name(&h.target),
                ..HookReport::default()
            };
            let q = question(h);
            match (self.resolved.get(&q), unable.get(&q)) {
                (Some((attach, details)), _) => {
                    r.backend = Some(attach.backend);
                    let unit = Arc::new(Unit { policy: p.clone(), hook: i });
                    hooks.push((attach.clone(), details.clone(), unit));
                }
                (None, Some(Unavailable::Missing(_))) if h.ignore_missing => {}
                (None, e) => {
                    r.error = e.map(ToString::to_string);
                    r.cause = e.map(Unavailable::cause);
                    r.arg = e.and_then(Unavailable::arg);
                }
            }
            // An error of an earlier attempt stays.
            if let Some(old) = report.hooks.get(i).filter(|o| r.error.is_none() && o.error.is_some()) {
                r.error = old.error.clone();
                (r.cause, r.arg) = (old.cause, old.arg);
            }
            all.push(r);
        }
        let ok = all.iter().all(|r| r.error.is_none());
        report.hooks = all.clone();
        if ok { Ok(Arc::new(Placed { input: p.clone(), hooks, report: all })) } else { Err(()) }
    }

    /// What is told of a policy; also of one that ran before, of which there would be nothing to be told.
    fn told<'r>(&self, report: &'r mut ApplyReport, p: &Arc<PolicyInput>) -> &'r mut PolicyReport {
        report.policies.entry(p.id).or_insert_with(|| match self.running.get(&p.id) {
            Some(placed) => PolicyReport { hooks: placed.report.clone(), kernel_memory: 0 },
            None => PolicyReport::default(),
        })
    }

    /// Notes why a policy cannot run.
    fn refuse(&self, report: &mut ApplyReport, refused: &mut BTreeSet<u64>, failed: &Failed) {
        let Failed { unit, why, cause } = failed;
        refused.insert(unit.policy.id);
        if let Some(h) = self.told(report, &unit.policy).hooks.get_mut(unit.hook) {
            h.error.get_or_insert_with(|| format!("{}: {why}", h.function));
            h.cause.get_or_insert(*cause);
        }
    }

    /// Loads what changes nothing that runs: hooks that are new, which decide nothing before the next switch,
    /// and programs that the idle slots lack. Containers that come meanwhile are told to new hooks at the end.
    /// Also gives what cannot be had, and why.
    fn make(
        &mut self,
        wanted: &Wanted,
        mut between: Option<Between<'_>>,
    ) -> (BTreeMap<Attach, Hook>, Vec<Failed>) {
        let (mut made, mut failures) = (BTreeMap::new(), Vec::new());
        let clean = between.is_some() && !self.ahead;
        for (attach, (details, units)) in wanted {
            match self.hooks.get(attach) {
                None => match self.make_one(attach, details, units) {
                    Ok(hook) => drop(made.insert(attach.clone(), hook)),
                    Err(why) => failures.extend(why),
                },
                Some(hook) if clean && !hook.has(self.idle()) && has_units(hook, units) => {
                    self.fill(attach);
                }
                Some(_) => continue,
            }
            if let Some(between) = &mut between {
                between(self);
            }
        }
        for hook in made.values_mut() {
            self.containers.introduce(hook.linker());
        }
        (made, failures)
    }

    fn make_one(
        &mut self,
        attach: &Attach,
        details: &Details,
        units: &[Arc<Unit>],
    ) -> Result<Hook, Vec<Failed>> {
        let linker = build(self.context(attach, details), units, &Layout::new())?;
        let number = self.next_hook;
        self.next_hook += 1;
        let idle = self.idle();
        Hook::new(&self.shared, number, attach.clone(), details.clone(), linker)
            .and_then(|mut h| {
                h.load(&self.shared, idle)?;
                h.attach(&self.shared)?;
                Ok(h)
            })
            .map_err(|e| blame(units, &e))
    }

    /// What units of a hook are linked for.
    fn context(&self, attach: &Attach, details: &Details) -> Context {
        Context {
            seed: self.shared.constants.seed,
            host_ns: self.kernel.host_ns,
            kernel_strings: kernel_strings(attach),
            fields: details.fields.clone(),
            containers: self.containers.numbered(),
        }
    }

    /// Links and loads one hook's next image; `new`: it has been made just now. On failure: which units
    /// cannot be had, and why.
    fn prepare(&mut self, attach: &Attach, units: &[Arc<Unit>], new: bool) -> Result<(), Vec<Failed>> {
        let idle = self.idle();
        // It could not be made.
        let Some(hook) = self.hooks.get_mut(attach) else { return Ok(()) };
        // A new hook may have no room for the containers. While linkers are ahead nothing is known for sure of
        // what stands in the kernel's maps: all is made anew.
        let known = if new { self.containers.is_known_to(hook.linker()) } else { !self.ahead };
        let (changed, same) = relink(hook, units);
        if !(same && known) {
            let context =
                Context { containers: self.containers.numbered(), ..hook.linker().context().clone() };
            // Where there is not room for all, what is new is refused, not what runs.
            let mut ordered = units.to_vec();
            ordered.sort_by_key(|u| !self.running.contains_key(&u.policy.id));
            let linker = build(context, &ordered, &hook.layout())?;
            hook.reshape(&self.shared, linker).map_err(|e| blame(&changed, &e))?;
        }
        let whom = if changed.is_empty() { units } else { &changed };
        hook.load(&self.shared, idle).map_err(|e| blame(whom, &e))
    }

    /// The slot that no program reads.
    fn idle(&self) -> usize {
        ((self.state & 1) ^ 1) as usize
    }

    /// Puts what is prepared in force.
    fn switch(&mut self, gone: &[Attach]) -> Result<(), HookError> {
        let idle = self.idle();
        let next = ((self.state >> 1) + 1) << 1 | idle as u64;
        for (attach, hook) in &mut self.hooks {
            if gone.contains(attach) { hook.leave(idle)? } else { hook.write(idle, next)? }
        }
        let views =
            self.hooks.iter().filter(|(a, _)| !gone.contains(a)).map(|(_, h)| (h.number, h.view())).collect();
        lock(&self.history).add(next, views);
        let word = self.shared.map("STATE").set(0, &next);
        word.map_err(|error| HookError::Call { what: "cannot write the state word".into(), error })?;
        self.state = next;
        self.wait();
        self.keep_losses(next);
        lock(&self.history).settle(next);
        for attach in gone {
            if let Some(h) = self.hooks.remove(attach) {
                h.detach(&self.shared);
            }
        }
        self.settle(1 - idle, next);
        self.retire();
        Ok(())
    }

    /// Makes the slot that is idle now like the one in force, where it has its program, and frees what
    /// nobody uses.
    fn settle(&mut self, idle: usize, state: u64) {
        let mut freed = Vec::new();
        self.halves.clear();
        for (attach, hook) in &mut self.hooks {
            hook.done();
            let synced = if hook.has(idle) {
                hook.write(idle, state)
            } else {
                self.halves.push(attach.clone());
                // There may be an engine of the shape before.
                hook.leave(idle)
            };
            match synced {
                Ok(()) => freed.push((attach.clone(), hook.clean())),
                Err(e) => {
                    tracing::warn!(function = %attach.name, "cannot bring the idle slot up to date: {e}");
                }
            }
        }
        self.release_entries(freed);
    }

    /// Makes entries usable again that no index names any more.
    fn release_entries(&mut self, freed: Vec<(Attach, Vec<u32>)>) {
        if freed.iter().all(|(_, ids)| ids.is_empty()) {
            return;
        }
        self.wait();
        for (attach, ids) in freed {
            if let Some(h) = self.hooks.get_mut(&attach) {
                h.free(ids);
            }
        }
    }

    /// Loads the idle slot's program of one hook that lacks it: the next change of values then loads
    /// nothing. If none does: takes out what is known of containers that are no more, and makes room for more. For when nothing else is to be done: the kernel takes long to check a program, and
    /// what is in force does not need this one.
    pub fn complete(&mut self) {
        match self.halves.pop() {
            Some(attach) => self.fill(&attach),
            None => {
                self.tidy();
                self.enlarge_early();
            }
        }
    }

    /// Loads the idle slot's program of a hook, and makes the slot like the one in force.
    fn fill(&mut self, attach: &Attach) {
        let idle = self.idle();
        let Some(hook) = self.hooks.get_mut(attach) else { return };
        if let Err(e) = hook.load(&self.shared, idle).and_then(|()| hook.write(idle, self.state)) {
            tracing::warn!(function = %attach.name, "cannot fill the idle slot, the next change will try again: {e}");
        }
    }

    /// Waits until every program that runs now has ended: an update of a map of maps does.
    fn wait(&self) {
        let (outer, inner) = &self.grace;
        if let Err(e) = outer.update(&0u32.to_ne_bytes(), &(inner.raw() as u32).to_ne_bytes(), 0) {
            tracing::error!("cannot wait for running programs: {e}");
        }
    }

    /// Removes what agents before this one have pinned: from now on it would be done twice.
    fn retire(&mut self) {
        for dir in std::mem::take(&mut self.old) {
            remove_pins(&dir);
        }
    }

    /// Memory of the policies that are told of, and of all on hooks where a value takes another size now.
    fn measure(&mut self, report: &mut ApplyReport) {
        let sizes: BTreeMap<Attach, (u64, u64)> =
            self.hooks.iter().map(|(a, h)| (a.clone(), h.value_size())).collect();
        let before = std::mem::replace(&mut self.sizes, sizes);
        for (attach, h) in &self.hooks {
            if before.get(attach).is_some_and(|size| *size != h.value_size()) {
                for u in h.units() {
                    self.told(report, &u.policy);
                }
            }
        }
        for h in self.hooks.values() {
            let (exact, prefix) = h.value_size();
            for u in h.units() {
                let Some(p) = report.policies.get_mut(&u.policy.id) else { continue };
                for m in u.plan().selectors.iter().flat_map(|s| &s.matchers) {
                    let (e, x) = crate::link::dims::values(m);
                    p.kernel_memory += e as u64 * exact + x as u64 * prefix;
                }
            }
        }
    }

    /// Takes everything down: nothing is enforced any more.
    pub fn release(mut self) {
        for (_, h) in std::mem::take(&mut self.hooks) {
            h.detach(&self.shared);
        }
        remove_pins(&self.shared.pins);
        self.retire();
        let _ = std::fs::remove_file(self.root.join(SEED_FILE));
        let _ = std::fs::remove_dir(&self.root);
    }
}

/// What every program is told.
fn of_kernel(kernel: &Kernel, programs: &Programs, options: &EngineOptions) -> HookConfig {
    HookConfig {
        preempt: u32::from(programs.can_disable_preemption()),
        typed_task: u32::from(kernel.typed_task),
        hierarchy: kernel.cgroups.as_ref().map_or(0, |h| h.number),
        subsystem: kernel.cgroups.as_ref().map_or(0, |h| h.subsystem),
        environment: u32::from(options.environment),
        ..HookConfig::ZERO
    }
}

/// What decides how a hook is attached: its target, its arguments, and whether it denies.
type Question = (Target, Vec<(u32, ArgType)>, bool);

/// What this kernel cannot do.
type Unable = HashMap<Question, Unavailable>;

fn question(h: &tetragon_api::plan::Hook) -> Question {
    let args = h.args.iter().map(|a| (a.index, a.ty)).collect();
    (h.target.clone(), args, h.selectors.iter().any(|s| s.actions.deny.is_some()))
}

/// A policy, and where its hooks are attached: what was found once holds as long as the agent runs.
struct Placed {
    input: Arc<PolicyInput>,
    hooks: Vec<(Attach, Details, Arc<Unit>)>,
    /// What is told of it, by hook of the plan.
    report: Vec<HookReport>,
}

/// By the policies' ids.
type Running = BTreeMap<u64, Arc<Placed>>;

/// Called between two steps of a change.
type Between<'a> = &'a mut dyn FnMut(&mut Engine);

/// Hooks that policies ask for.
type Wanted = BTreeMap<Attach, (Details, Vec<Arc<Unit>>)>;

fn add_units(wanted: &mut Wanted, placed: &Placed) {
    for (attach, details, unit) in &placed.hooks {
        match wanted.get_mut(attach) {
            Some((_, units)) => units.push(unit.clone()),
            None => drop(wanted.insert(attach.clone(), (details.clone(), vec![unit.clone()]))),
        }
    }
}

/// A policy's hook that cannot be had.
struct Failed {
    unit: Arc<Unit>,
    why: String,
    cause: Cause,
}

/// All units of a hook fail for one reason.
fn blame(units: &[Arc<Unit>], e: &HookError) -> Vec<Failed> {
    let why = e.to_string();
    units.iter().map(|u| Failed { unit: u.clone(), why: why.clone(), cause: e.cause() }).collect()
}

/// A linker of these units, if all fit.
fn build(context: Context, units: &[Arc<Unit>], layout: &Layout) -> Result<Linker, Vec<Failed>> {
    let (mut linker, mut errors) = Linker::build(context.clone(), units, layout);
    if !errors.is_empty() && !layout.is_empty() {
        // What is free may only lie scattered.
        let anew = Linker::build(context, units, &Layout::new());
        if anew.1.is_empty() {
            (linker, errors) = anew;
        }
    }
    let find = |key| units.iter().find(|u| u.key() == key).cloned();
    let failed =
        |(key, e): (_, LinkError)| Some(Failed { unit: find(key)?, why: e.to_string(), cause: Cause::Full });
    let failed: Vec<Failed> = errors.into_iter().filter_map(failed).collect();
    if failed.is_empty() { Ok(linker) } else { Err(failed) }
}

/// These and no others are the hook's units.
fn has_units(hook: &Hook, units: &[Arc<Unit>]) -> bool {
    let have: BTreeSet<_> = hook.units().map(|u| u.key()).collect();
    have.len() == units.len() && units.iter().all(|u| have.contains(&u.key()))
}

/// Changes a hook's linker to hold exactly `units`: (those that are new, false if another shape is
/// needed).
fn relink(hook: &mut Hook, units: &[Arc<Unit>]) -> (Vec<Arc<Unit>>, bool) {
    let same = |a: &Arc<Unit>, b: &Arc<Unit>| a.key() == b.key() && a.policy.enforce == b.policy.enforce;
    let old: Vec<Arc<Unit>> = hook.units().cloned().collect();
    let mut have: HashMap<_, &Arc<Unit>> = old.iter().map(|u| (u.key(), u)).collect();
    let mut new = Vec::new();
    for u in units {
        match have.remove(&u.key()) {
            Some(h) if same(h, u) => {}
            other => {
                if let Some(h) = other {
                    have.insert(h.key(), h);
                }
                new.push(u.clone());
            }
        }
    }
    let linker = hook.linker();
    for u in have.values() {
        linker.remove(u.key());
    }
    let fits = new.iter().all(|u| linker.add(u));
    (new, fits)
}

/// Strings among the arguments are in the kernel's memory.
fn kernel_strings(attach: &Attach) -> bool {
    !(attach.syscall || attach.backend == Backend::Tracepoint && attach.name.starts_with("syscalls/"))
}
