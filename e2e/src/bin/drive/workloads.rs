//! Workloads: cgroups come and go, nested ones too, this process moves through them, the agent tells of
//! pods and containers, tells otherwise and forgets them, and policies come and go. Each call is judged by exactly
//! the policies that are for where it comes from. Then the same under load: a container changes a thousand
//! times while its processes call, and each call is judged as before or as after; also while programs are
//! loaded. Then containers come while there is no agent. Cgroup v2, then v1.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tetragon_api::plan::{Matcher, Plan, UnknownContainers};
use tetragon_api::policy::LabelSelector;
use tetragon_api::workload::{Container, Pods, Workloads};
use tetragon_engine::{ArgValue, CallRecord, Classified, PolicyInput};

use crate::bench::{self, Bench, policy};
use crate::hammer::{self, Hammer};
use crate::unattended;

const ROOT: &str = "/sys/fs/cgroup";
const STEPS: u64 = 3000;
const POLICIES: u64 = 40;
/// Cgroups at most.
const MOST: usize = 80;
/// Changes of one container under load.
const CHANGES: usize = 1000;
/// How often new hooks are loaded while a container changes.
const ROUNDS: usize = 3;
/// System calls that nothing else here makes.
const WIDE: [(&str, i64); 4] = [
    ("getsid", libc::SYS_getsid),
    ("getpgid", libc::SYS_getpgid),
    ("getpriority", libc::SYS_getpriority),
    ("alarm", libc::SYS_alarm),
];

/// Numbers that are the same in each run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        for (left, by) in [(true, 13), (false, 7), (true, 17)] {
            self.0 ^= if left { self.0 << by } else { self.0 >> by };
        }
        (self.0 % n as u64) as usize
    }
    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { from.get(self.below(from.len())) }
    }
    fn maybe<'a>(&mut self, from: &[&'a str]) -> Option<&'a str> {
        if self.below(2) == 0 { None } else { self.pick(from).copied() }
    }
}

fn label(key: &str, value: &str) -> LabelSelector {
    LabelSelector { match_labels: [(key.to_owned(), value.to_owned())].into(), ..LabelSelector::default() }
}

pub(crate) fn container(namespace: &str, app: &str, name: &str) -> Container {
    let labels = [("app".to_owned(), app.to_owned())].into();
    Container { namespace: namespace.into(), labels, name: name.into(), repo: "docker.io/library/x".into() }
}

fn some_container(r: &mut Random) -> Container {
    let mut one = |of: &[&'static str]| r.pick(of).copied().unwrap_or_default();
    container(one(&["x", "y"]), one(&["web", "db", "queue"]), one(&["main", "side"]))
}

fn some_workloads(r: &mut Random) -> Workloads {
    let pods = Pods {
        namespace: r.maybe(&["x", "y"]).map(str::to_owned),
        labels: r.maybe(&["web", "db", "queue", "none"]).map(|v| label("app", v)),
        containers: r.maybe(&["main", "side"]).map(|v| label("name", v)),
    };
    Workloads { host: r.below(3) == 0, pods: (r.below(5) != 0).then_some(pods) }
}

/// A policy on lseek with a `whence` of `whence`, for those workloads.
fn watching(id: u64, name: &str, whence: i32) -> Result<PolicyInput> {
    let yaml = format!(
        r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: {name}}}
spec:
  kprobes:
  - call: sys_lseek
    syscall: true
    args: [{{index: 1, type: uint64}}, {{index: 2, type: int}}]
    selectors: [{{matchArgs: [{{index: 2, operator: InMap, values: ["{whence}:{}"]}}]}}]
"#,
        whence + 2
    );
    policy(id, &yaml)
}

fn with(mut input: PolicyInput, change: impl FnOnce(&mut Plan)) -> PolicyInput {
    let mut plan = Plan::clone(&input.plan);
    change(&mut plan);
    input.plan = Arc::new(plan);
    input
}

/// Where a process is.
#[derive(Debug)]
enum Place<'a> {
    Host,
    Unknown,
    In(&'a Container),
}

fn is_for(w: &Workloads, plan: &Plan, place: &Place<'_>) -> bool {
    match place {
        Place::Host => w.select(None),
        Place::In(c) => {
            let closed = plan.unknown_containers == UnknownContainers::FailClosed;
            w.select(Some(c)) || closed && w.pods.as_ref().is_some_and(|pods| pods.may_select(c))
        }
        Place::Unknown => match plan.unknown_containers {
            UnknownContainers::FailClosed => w.pods.is_some(),
            UnknownContainers::FailOpen => w.host && w.pods == Some(Pods::default()),
        },
    }
}

fn matches(plan: &Plan, place: &Place<'_>) -> bool {
    let own = plan.hooks.iter().flat_map(|h| &h.selectors).flat_map(|s| &s.matchers);
    let own = own.filter_map(|m| if let Matcher::Workload(w) = m { Some(w) } else { None });
    plan.workloads.iter().chain(own).all(|w| is_for(w, plan, place))
}

/// Policies that judged each call.
type Seen = HashMap<u64, Vec<String>>;

fn note(seen: &mut Seen, c: &CallRecord) {
    for m in &c.matches {
        if let Some(ArgValue::Int(n)) = bench::arg(c, m, 0) {
            seen.entry(*n as u64).or_default().push(m.policy.plan.name.clone());
        }
    }
}

fn lseek(n: u64, whence: i32) {
    // SAFETY: numbers only; it fails, because there is no such descriptor.
    unsafe { libc::syscall(libc::SYS_lseek, -1i64, n, whence) };
}

/// The cgroups that the scenario makes, below the root of the hierarchy.
struct Tree {
    root: PathBuf,
    /// Those that there are, and what the agent has said of them.
    all: BTreeMap<String, Option<Container>>,
    /// Those of monitors that were made in the cgroup of a pod that was known.
    monitors: BTreeSet<String>,
    here: String,
    made: usize,
}

impl Tree {
    fn empty(root: &Path) -> Tree {
        let (all, monitors) = (BTreeMap::new(), BTreeSet::new());
        Tree { root: root.to_owned(), all, monitors, here: String::new(), made: 0 }
    }
    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
    fn make(&mut self, name: &str) -> Result<()> {
        fs::create_dir(self.path(name)).with_context(|| format!("cannot make cgroup {name}"))?;
        let known =
            name.rsplit_once('/').is_some_and(|(above, _)| matches!(self.all.get(above), Some(Some(_))));
        if known && is_pods(name.rsplit('/').nth(1)) && name.contains("-conmon-") {
            self.monitors.insert(name.to_owned());
        }
        self.all.insert(name.to_owned(), None);
        Ok(())
    }
    fn remove(&mut self, name: &str) -> Result<()> {
        let path = self.path(name);
        fs::remove_dir(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        self.all.remove(name);
        self.monitors.remove(name);
        Ok(())
    }
    fn id(&self, name: &str) -> Result<u64> {
        Ok(fs::metadata(self.path(name))?.ino())
    }
    fn enter(&mut self, name: &str) -> Result<()> {
        enter(&self.path(name), std::process::id())?;
        self.here = name.to_owned();
        Ok(())
    }
    /// What a process there is: of the nearest container or pod.
    fn place(&self, name: &str) -> Place<'_> {
        if !name.contains("kubepods") {
            return Place::Host;
        }
        let mut at = Some(name);
        while let Some(n) = at {
            if let Some(Some(c)) = self.all.get(n) {
                return Place::In(c);
            }
            if self.monitors.contains(n) {
                return Place::Host;
            }
            at = n.rsplit_once('/').map(|(above, _)| above);
        }
        Place::Unknown
    }
    /// Those that pods and containers have: `.../podN` and `.../podN/cM`.
    fn to_classify(&self) -> Vec<String> {
        let is = |n: &&String| {
            let mut parts = n.rsplit('/');
            let last = parts.next();
            is_pods(last) || is_pods(parts.next()) && last.is_some_and(|name| name.starts_with('c'))
        };
        self.all.keys().filter(is).cloned().collect()
    }
}

/// A cgroup's name is that of a pod's own.
fn is_pods(name: Option<&str>) -> bool {
    name.is_some_and(|name| name.starts_with("pod"))
}

pub(crate) fn enter(cgroup: &Path, pid: u32) -> Result<()> {
    let to = cgroup.join("cgroup.procs");
    fs::write(&to, pid.to_string()).with_context(|| format!("cannot enter {}", to.display()))
}

/// What is judged at random.
struct Walk {
    bench: Bench<Seen>,
    tree: Tree,
    random: Random,
    policies: Vec<PolicyInput>,
    on: Vec<bool>,
    /// What each call should be judged by, and where it came from.
    expected: Vec<(Vec<String>, String)>,
    gone: Vec<u64>,
}

impl Walk {
    fn start(root: &Path) -> Result<Walk> {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut tree = Tree::empty(root);
        // These are there before the engine is.
        for name in
            ["host", "host/inner", "kubepods", "kubepods/pod0", "kubepods/pod0/c0", "kubepods/pod0/c0/n0"]
        {
            tree.make(name)?;
        }
        let bench = Bench::start(16 << 20, Seen::new(), note)?;
        let mut policies = Vec::new();
        for id in 0..POLICIES {
            let (w, own) = (some_workloads(&mut random), some_workloads(&mut random));
            let (both, closed) = (random.below(3), random.below(3) == 0);
            policies.push(with(watching(id + 1, &format!("p{id}"), 777)?, |plan| {
                plan.workloads = (both != 1).then_some(w);
                if both != 0 {
                    plan.hooks[0].selectors[0].matchers.push(Matcher::Workload(own));
                }
                if closed {
                    plan.unknown_containers = UnknownContainers::FailClosed;
                }
            }));
        }
        let on = vec![true; policies.len()];
        let (expected, gone) = (Vec::new(), Vec::new());
        let mut walk = Walk { bench, tree, random, policies, on, expected, gone };
        walk.apply()?;
        Ok(walk)
    }

    fn apply(&mut self) -> Result<()> {
        let on: Vec<_> = self.policies.iter().zip(&self.on).filter(|p| *p.1).map(|p| p.0.clone()).collect();
        self.bench.apply(&on).map(drop)
    }

    fn step(&mut self) -> Result<()> {
        match self.random.below(20) {
            0..4 => self.make()?,
            4..9 => self.tell()?,
            9 => self.forget()?,
            10..12 => self.remove()?,
            12 if self.random.below(5) == 0 => {
                let p = self.random.below(self.on.len());
                self.on[p] = !self.on[p];
                self.apply()?;
            }
            13 if self.random.below(5) == 0 => self.bench.engine.complete(),
            _ => {}
        }
        if self.random.below(2) == 0 {
            let names: Vec<String> = self.tree.all.keys().cloned().collect();
            let name = self.random.pick(&names).context("no cgroups")?;
            self.tree.enter(name)?;
        }
        let place = self.tree.place(&self.tree.here);
        let on = self.policies.iter().zip(&self.on).filter(|p| *p.1).map(|p| &p.0.plan);
        let mut expected: Vec<String> =
            on.filter(|plan| matches(plan, &place)).map(|plan| plan.name.clone()).collect();
        expected.sort();
        let from = format!("{} {place:?}", self.tree.here);
        lseek(self.expected.len() as u64, 777);
        self.expected.push((expected, from));
        Ok(())
    }

    fn make(&mut self) -> Result<()> {
        if self.tree.all.len() >= MOST {
            return Ok(());
        }
        let names: Vec<String> = self.tree.all.keys().cloned().collect();
        let above = self.random.pick(&names).context("no cgroups")?;
        self.tree.made += 1;
        let n = self.tree.made;
        let last = above.rsplit('/').next().unwrap_or_default();
        let name = match self.tree.place(above) {
            // In a pod's cgroup only a monitor's is the host's.
            Place::Host if !above.contains("kubepods") && self.random.below(4) == 0 => {
                format!("{above}/a-kubepods{n}.slice")
            }
            Place::Host => format!("{above}/h{n}"),
            _ if last.contains("kubepods") => format!("{above}/pod{n}"),
            _ if last.starts_with("pod") && self.random.below(5) == 0 => format!("{above}/x-conmon-{n}"),
            _ if last.starts_with("pod") => format!("{above}/c{n}"),
            _ => format!("{above}/n{n}"),
        };
        self.tree.make(&name)
    }

    fn tell(&mut self) -> Result<()> {
        let names = self.tree.to_classify();
        let Some(name) = self.random.pick(&names) else { return Ok(()) };
        let (id, mut container) = (self.tree.id(name)?, some_container(&mut self.random));
        let told = if is_pods(name.rsplit('/').next()) {
            container = Container { name: String::new(), repo: String::new(), ..container };
            self.bench.engine.classify_pod(id, container.clone())?
        } else {
            self.bench.engine.classify(id, container.clone())?
        };
        ensure!(told == Classified::Done, "{name}: {told:?}");
        self.tree.all.insert(name.clone(), Some(container));
        if let Some(id) = self.gone.pop() {
            let told = self.bench.engine.classify(id, some_container(&mut self.random))?;
            ensure!(told == Classified::Gone, "cgroup {id} is removed, and {told:?}");
        }
        Ok(())
    }

    fn forget(&mut self) -> Result<()> {
        let names = self.tree.to_classify();
        let Some(name) = self.random.pick(&names) else { return Ok(()) };
        self.bench.engine.forget(self.tree.id(name)?)?;
        self.tree.all.insert(name.clone(), None);
        Ok(())
    }

    /// Removes a cgroup with nothing in it; half the time one of its name is made at once.
    fn remove(&mut self) -> Result<()> {
        let all = &self.tree.all;
        let inside =
            |n: &str| all.keys().any(|o| o.strip_prefix(n).is_some_and(|rest| rest.starts_with('/')));
        let names: Vec<String> =
            all.keys().filter(|n| n.contains('/') && !inside(n) && **n != self.tree.here).cloned().collect();
        let Some(name) = self.random.pick(&names) else { return Ok(()) };
        self.gone.push(self.tree.id(name)?);
        self.tree.remove(name)?;
        if self.random.below(2) == 0 { self.tree.make(name) } else { Ok(()) }
    }

    /// How many calls there were, and how many of them somebody judged.
    fn finish(self) -> Result<(usize, usize)> {
        enter(&self.tree.root, std::process::id())?;
        for name in self.tree.all.keys().rev() {
            fs::remove_dir(self.tree.path(name))?;
        }
        let outcome = self.bench.finish()?;
        let l = &outcome.losses;
        ensure!(l.call + l.scratch + l.uncounted + l.cgroup == 0, "losses: {l:?}");
        let mut wrong = Vec::new();
        for (n, (expected, from)) in self.expected.iter().enumerate() {
            let mut found = outcome.seen.get(&(n as u64)).cloned().unwrap_or_default();
            found.sort();
            if found != *expected {
                wrong.push(format!("call {n} from {from}: by {found:?} instead of {expected:?}"));
            }
        }
        let first = wrong.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
        ensure!(
            wrong.is_empty(),
            "{} of {} calls are judged wrongly: {first}",
            wrong.len(),
            self.expected.len()
        );
        Ok((self.expected.len(), self.expected.iter().filter(|e| !e.0.is_empty()).count()))
    }
}

/// What calls under load were judged by.
#[derive(Default)]
struct Loaded {
    by: Arc<By>,
    /// By more than one policy, or by none.
    other: Vec<String>,
}

/// Calls that one policy judged, counted as they are read.
#[derive(Default)]
struct By {
    web: AtomicU64,
    db: AtomicU64,
    /// The policy of many hooks.
    wide: AtomicU64,
}

impl By {
    fn of(&self, policy: &str) -> Option<&AtomicU64> {
        match policy {
            "web" => Some(&self.web),
            "db" => Some(&self.db),
            "wide" => Some(&self.wide),
            _ => None,
        }
    }

    fn calls(&self, policy: &str) -> u64 {
        self.of(policy).map_or(0, |n| n.load(Ordering::SeqCst))
    }

    /// Waits for one more call that this policy judges: the last change is in force, and calls were made.
    fn wait_for_one(&self, policy: &str) -> Result<()> {
        let before = self.calls(policy);
        bench::wait_for(&format!("a call judged by {policy}"), Duration::from_secs(120), || {
            self.calls(policy) > before
        })
    }
}

impl Loaded {
    /// Each of so many calls of the hammer was judged by one policy.
    fn check(&self, calls: u64) -> Result<()> {
        ensure!(
            self.other.is_empty(),
            "{} calls by others than one: {:?}",
            self.other.len(),
            self.other.first()
        );
        let (web, db) = (self.by.calls("web"), self.by.calls("db"));
        ensure!(web + db == calls, "{calls} calls, {web} judged as web and {db} as db");
        Ok(())
    }
}

fn note_loaded(seen: &mut Loaded, c: &CallRecord) {
    let names: Vec<_> = c.matches.iter().map(|m| m.policy.plan.name.as_str()).collect();
    match names.as_slice() {
        [one] if let Some(n) = seen.by.of(one) => {
            n.fetch_add(1, Ordering::SeqCst);
        }
        _ => seen.other.push(format!("{names:?}")),
    }
}

/// A policy on lseek for the pods of one app.
fn for_app(id: u64, app: &str) -> Result<PolicyInput> {
    Ok(for_pods(watching(id, app, 100)?, app))
}

fn for_pods(input: PolicyInput, app: &str) -> PolicyInput {
    let pods = Pods { labels: Some(label("app", app)), ..Pods::default() };
    with(input, |plan| plan.workloads = Some(Workloads { host: false, pods: Some(pods) }))
}

/// A policy of many hooks for the pods of web.
fn wide(id: u64) -> Result<PolicyInput> {
    let calls: String =
        WIDE.iter().map(|(name, _)| format!("  - {{call: sys_{name}, syscall: true}}\n")).collect();
    let head =
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: wide}\nspec:\n  kprobes:\n";
    Ok(for_pods(policy(id, &format!("{head}{calls}"))?, "web"))
}

/// A container changes under load, and so do policies.
fn load(root: &Path) -> Result<String> {
    let by = Arc::new(By::default());
    let loaded = Loaded { by: by.clone(), other: Vec::new() };
    let mut bench = Bench::start(64 << 20, loaded, note_loaded)?;
    let mut tree = Tree::empty(root);
    for name in ["kubepods", "kubepods/pod0", "kubepods/pod0/c0", "kubepods/pod0/c0/n0"] {
        tree.make(name)?;
    }
    let id = tree.id("kubepods/pod0/c0")?;
    let (web, db, other) = (for_app(1, "web")?, for_app(2, "db")?, for_app(3, "other")?);
    bench.apply(&[web.clone(), db.clone()])?;
    bench.engine.classify(id, container("x", "web", "main"))?;
    let mut hammer = Hammer::start(&["--gap", "100"], &["lseek:100", "lseek:100"])?;
    for (pid, name) in hammer.pids.clone().into_iter().zip(["kubepods/pod0/c0", "kubepods/pod0/c0/n0"]) {
        enter(&tree.path(name), pid)?;
    }
    hammer.go()?;
    let (mut worst, mut sum) = (0, 0);
    for n in 0..CHANGES {
        // Each time another container: numbers come and go.
        let app = ["db", "web"][n % 2];
        let begin = bench::now();
        bench.engine.classify(id, container("x", app, &format!("c{n}")))?;
        let took = bench::now() - begin;
        (worst, sum) = (worst.max(took), sum + took);
        match n % 50 {
            7 => bench.engine.complete(),
            30 | 31 => by.wait_for_one(app)?,
            20 => drop(bench.apply(&[web.clone(), db.clone(), other.clone()])?),
            40 => drop(bench.apply(&[web.clone(), db.clone()])?),
            _ => std::thread::sleep(Duration::from_micros(300)),
        }
    }
    let counts = hammer.stop()?;
    let calls = hammer::calls(&counts, 0) + hammer::calls(&counts, 1);
    let outcome = bench.finish()?;
    for name in tree.all.keys().rev() {
        fs::remove_dir(tree.path(name))?;
    }
    let (l, s) = (&outcome.losses, &outcome.seen);
    ensure!(l.call + l.scratch == 0, "losses: {l:?}");
    s.check(calls)?;
    Ok(format!(
        "{calls} calls under {CHANGES} changes ({} us each, {} at most), each judged by one",
        sum / CHANGES as u64 / 1000,
        worst / 1000
    ))
}

/// A container changes while programs are loaded: nobody waits, each call is judged by one, and the new hooks
/// know at once the container that came last.
fn while_loading(root: &Path) -> Result<String> {
    let by = Arc::new(By::default());
    let loaded = Loaded { by: by.clone(), other: Vec::new() };
    let mut bench = Bench::start(16 << 20, loaded, note_loaded)?;
    let mut tree = Tree::empty(root);
    for name in ["kubepods", "kubepods/pod0", "kubepods/pod0/c0"] {
        tree.make(name)?;
    }
    let id = tree.id("kubepods/pod0/c0")?;
    let (web, db, wide) = (for_app(1, "web")?, for_app(2, "db")?, wide(3)?);
    bench.apply(&[web.clone(), db.clone()])?;
    bench.engine.classify(id, container("x", "db", "main"))?;
    let mut hammer = Hammer::start(&["--gap", "100"], &["lseek:100"])?;
    for pid in hammer.pids.clone() {
        enter(&tree.path("kubepods/pod0/c0"), pid)?;
    }
    hammer.go()?;
    let (mut changes, mut refused, mut late) = (0, Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bench.apply_with(&[web.clone(), db.clone(), wide.clone()], &mut |engine| {
            changes += 1;
            // The last is of web.
            for (app, name) in [("db", "side"), ("web", "main")] {
                match engine.classify(id, container("x", app, &format!("{name}{changes}"))) {
                    Ok(Classified::Done) => late.extend(by.wait_for_one(app).err()),
                    other => refused.push(format!("{other:?}")),
                }
            }
        })?;
        tree.enter("kubepods/pod0/c0")?;
        for (_, number) in WIDE {
            // SAFETY: they take and give numbers.
            unsafe { libc::syscall(number, 0) };
        }
        enter(&tree.root, std::process::id())?;
        // Its hooks go, and are loaded again.
        bench.apply(&[web.clone(), db.clone()])?;
    }
    let calls = hammer::calls(&hammer.stop()?, 0);
    let outcome = bench.finish()?;
    for name in tree.all.keys().rev() {
        fs::remove_dir(tree.path(name))?;
    }
    ensure!(refused.is_empty(), "containers waited: {refused:?}");
    ensure!(late.is_empty(), "changes without effect: {late:?}");
    ensure!(changes >= ROUNDS * WIDE.len(), "only {changes} changes while programs were loaded");
    outcome.seen.check(calls)?;
    let (wide, expected) = (by.calls("wide"), (ROUNDS * WIDE.len()) as u64);
    ensure!(wide == expected, "the new hooks judged {wide} of {expected} calls");
    Ok(format!("{changes} changes while programs were loaded, {calls} calls judged by one each"))
}

fn one(root: &str) -> Result<String> {
    let root = Path::new(root);
    let mut walk = Walk::start(root)?;
    let hierarchy = walk.bench.engine.hierarchy().context("the engine finds no cgroups")?.describe();
    let found = walk
        .bench
        .engine
        .hierarchy()
        .is_some_and(|h| h.root.ends_with(root.strip_prefix("/").unwrap_or(root)));
    ensure!(found, "the engine has {hierarchy}");
    for n in 0..STEPS {
        walk.step().with_context(|| format!("step {n}"))?;
    }
    let (calls, judged) = walk.finish()?;
    let load = load(root)?;
    let loading = while_loading(root)?;
    let unattended = unattended::run(root)?;
    Ok(format!(
        "{hierarchy}: {calls} calls, {judged} of them judged by somebody; {load}; {loading}; {unattended}"
    ))
}

/// Puts a v1 hierarchy in the place of the unified one.
fn mount_v1() -> Result<()> {
    let shell = "umount /sys/fs/cgroup && mount -t tmpfs tmpfs /sys/fs/cgroup && mkdir /sys/fs/cgroup/pids && \
                 mount -t cgroup -o pids cgroup /sys/fs/cgroup/pids";
    let status = std::process::Command::new("/bin/sh").args(["-c", shell]).status()?;
    if !status.success() {
        bail!("cannot mount cgroup v1: {status}");
    }
    Ok(())
}

/// The scenario.
pub(crate) fn run() -> Result<String> {
    let v2 = one(ROOT)?;
    mount_v1()?;
    Ok(format!("{v2}; {}", one(&format!("{ROOT}/pids"))?))
}
