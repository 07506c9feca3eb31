//! Policies change a thousand times while processes call: each call is judged by the set before or by
//! the set after, by all of it, once.
//!
//! Two sets of three policies, A and B, take turns. Each policy watches three hooks, and each call is
//! of exactly one policy of each set. Every call has arguments of its own, so that each can be looked
//! up in what was reported. A further policy is there all the time and matches every call; another one
//! denies, and is switched between enforcing and monitoring. Between A and B other policies come and
//! go that change the shape of hooks, add hooks, bring many values, or do not load.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use tetragon_engine::{ApplyReport, ArgValue, Backend, CallRecord, Engine, Match, PolicyInput};

use crate::bench::{self, Bench, policy};
use crate::hammer::{self, Count, Hammer};

/// Changes of the whole.
const CHANGES: usize = 1000;
/// The three hooks that every policy of a set watches.
const HOOKS: [&str; 3] = ["sys_lseek", "file_open", "sys_enter_lseek"];
const DENIED: &str = "/hd/denied";
/// Workers, and the hooks that their calls reach.
const WORKERS: [(&str, &[usize]); 5] = [
    ("lseek:100", &[0, 2]),
    ("create:/h", &[1]),
    ("lseek:100", &[0, 2]),
    ("create:/h", &[1]),
    ("open:/hd/denied", &[]),
];

/// Policy `k` of set `set`.
fn member(set: char, k: usize) -> String {
    watching(&format!("{set}-{k}"), &format!("\"{}\"", 100 + k), &format!("/h/{k}/"))
}

/// A policy on all three hooks.
fn watching(name: &str, whence: &str, prefix: &str) -> String {
    format!(
        r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: {name}}}
spec:
  kprobes:
  - call: sys_lseek
    syscall: true
    args: [{{index: 1, type: uint64}}, {{index: 2, type: int}}]
    selectors: [{{matchArgs: [{{index: 2, operator: Equal, values: [{whence}]}}]}}]
  lsmhooks:
  - hook: file_open
    args: [{{index: 0, type: file}}]
    selectors: [{{matchArgs: [{{index: 0, operator: Prefix, values: ["{prefix}"]}}]}}]
  tracepoints:
  - subsystem: syscalls
    event: sys_enter_lseek
    args: [{{index: 6}}, {{index: 7}}]
    selectors: [{{matchArgs: [{{index: 7, operator: Equal, values: [{whence}]}}]}}]
"#
    )
}

fn denying() -> String {
    format!(
        r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: denying}}
spec:
  lsmhooks:
  - hook: file_open
    args: [{{index: 0, type: file}}]
    selectors: [{{matchArgs: [{{index: 0, operator: Equal, values: ["{DENIED}"]}}],
      matchActions: [{{action: Override, argError: -1}}]}}]
"#
    )
}

/// A policy on one LSM hook that none of the calls matches.
fn idle(name: &str, hook: &str, selector: &str) -> String {
    format!(
        r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: {name}}}
spec:
  lsmhooks:
  - hook: {hook}
    args: [{{index: 0, type: file}}]
    selectors: [{{{selector}}}]
"#
    )
}

/// Fails on every kernel, but only when it is loaded.
fn broken(name: &str) -> String {
    format!(
        r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: {name}}}
spec:
  kprobes:
  - call: sys_lseek
    syscall: true
    args: [{{index: 1, type: uint64}}]
  - call: no_such_function_anywhere
    syscall: false
"#
    )
}

/// What was reported of one call on one hook.
#[derive(Clone, Copy, Debug, Default)]
struct Call {
    sets: [u8; 2],
    wrong_member: bool,
    always: u8,
    records: u8,
    ktime: u64,
}

/// What the reader makes of records.
#[derive(Default)]
struct Tally {
    /// By hook, worker, call.
    calls: [Vec<Vec<Call>>; 3],
    denied: [u64; 2],
    strange: Vec<String>,
}

/// Worker, number of the call, and which member of a set it is for.
fn identify(c: &CallRecord, m: &Match, hook: usize) -> Option<(usize, usize, usize)> {
    if hook == 1 {
        let ArgValue::Text { text, .. } = bench::arg(c, m, 0)? else { return None };
        let (k, name) = text.strip_prefix("/h/")?.split_once('/')?;
        let (worker, n) = name.split_once('-')?;
        return Some((worker.parse().ok()?, n.parse().ok()?, k.parse().ok()?));
    }
    let (ArgValue::Int(offset), ArgValue::Int(whence)) = (bench::arg(c, m, 0)?, bench::arg(c, m, 1)?) else {
        return None;
    };
    Some(((offset >> 32) as usize, (offset & 0xffff_ffff) as usize, usize::try_from(whence - 100).ok()?))
}

fn note(t: &mut Tally, c: &CallRecord) {
    let mut new = true;
    for m in &c.matches {
        let name = m.policy.plan.name.as_str();
        if name == "denying" {
            t.denied[usize::from(m.policy.enforce)] += 1;
            continue;
        }
        let function = match m.policy.plan.hooks.get(m.hook).map(|h| h.field.as_str()) {
            Some("spec.kprobes[0]") => 0,
            Some("spec.lsmhooks[0]") => 1,
            _ => 2,
        };
        let Some((worker, n, k)) = identify(c, m, function) else {
            if t.strange.len() < 5 {
                t.strange.push(format!("{name} {} {:?}", HOOKS[function], c.args));
            }
            continue;
        };
        let of_worker = grown(&mut t.calls[function], worker);
        let call = grown(of_worker, n);
        call.records += u8::from(std::mem::take(&mut new));
        call.ktime = c.header.ktime;
        match name.split_once('-') {
            Some((set @ ("a" | "b"), member)) => {
                call.sets[usize::from(set == "b")] += 1;
                call.wrong_member |= member != k.to_string();
            }
            _ => call.always += 1,
        }
    }
}

fn grown<T: Default>(v: &mut Vec<T>, at: usize) -> &mut T {
    while v.len() <= at {
        v.push(T::default());
    }
    &mut v[at]
}

/// One change: from when to when it was made, and which set was in force after it.
#[derive(Clone, Copy)]
struct Change {
    begin: u64,
    end: u64,
    set: usize,
}

struct Changer {
    bench: Bench<Tally>,
    /// Policies are numbered; a changed one has a new number.
    next: u64,
    sets: [Vec<PolicyInput>; 2],
    always: PolicyInput,
    denying: PolicyInput,
    log: Vec<Change>,
}

impl Changer {
    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn new_set(&mut self, set: usize) -> Result<()> {
        let name = ['a', 'b'][set];
        self.sets[set] = (0..3).map(|k| policy(self.id(), &member(name, k))).collect::<Result<_>>()?;
        Ok(())
    }

    /// Puts `set` in force, with more policies.
    fn change(&mut self, set: usize, more: &[PolicyInput]) -> ApplyReport {
        let mut all = self.sets[set].clone();
        all.extend([self.always.clone(), self.denying.clone()]);
        all.extend_from_slice(more);
        let begin = bench::now();
        let report = self.bench.engine.apply(&all, &mut |_| ());
        self.log.push(Change { begin, end: bench::now(), set });
        report
    }

    /// Change number `n`: what else comes and goes is a different thing each time.
    fn step(&mut self, n: usize) -> Result<()> {
        let set = n % 2;
        if n % 20 == 10 {
            self.new_set(0)?;
            self.new_set(1)?;
        }
        if n.is_multiple_of(3) {
            self.denying.enforce = !self.denying.enforce;
        }
        let mut more = Vec::new();
        match n {
            // Another dimension: the hook's shape changes, its programs are loaded anew.
            100 | 600 => {
                more.push(idle("shape", "file_open", "matchBinaries: [{operator: Postfix, values: [/zzz]}]"));
            }
            // Another hook comes, and goes with the change after the next.
            300..302 | 701 => {
                more.push(idle(
                    "hook",
                    "file_permission",
                    "matchBinaries: [{operator: In, values: [/bin/none]}]",
                ));
            }
            _ => {}
        }
        if n % 20 == 5 {
            more.push(idle("values", "file_open", &many_values(n)));
        }
        let mut inputs = Vec::new();
        for yaml in more {
            inputs.push(policy(self.id(), &yaml)?);
        }
        let bad = (n % 200 == 150).then(|| self.id());
        if let Some(id) = bad {
            inputs.push(policy(id, &broken("broken"))?);
        }
        let report = self.change(set, &inputs);
        check(&report, bad)?;
        if n % 200 == 50 {
            self.failed_update(set)?;
        }
        Ok(())
    }

    /// A running policy is replaced by one that does not load: it goes on.
    fn failed_update(&mut self, set: usize) -> Result<()> {
        let id = self.id();
        let name = self.sets[set][1].plan.name.clone();
        let good = std::mem::replace(&mut self.sets[set][1], policy(id, &broken(&name))?);
        let report = self.change(set, &[]);
        self.sets[set][1] = good;
        check(&report, Some(id))
    }
}

/// Exactly `bad` does not run, and says why.
fn check(report: &ApplyReport, bad: Option<u64>) -> Result<()> {
    for (id, p) in &report.policies {
        match (p.error(), Some(*id) == bad) {
            (None, false) => {}
            (Some(e), true) => {
                ensure!(e.contains("no_such_function_anywhere"), "the error names no function: {e}");
            }
            (Some(e), false) => anyhow::bail!("policy {id} does not run: {e}"),
            (None, true) => anyhow::bail!("policy {id} names a function that does not exist, and runs"),
        }
    }
    Ok(())
}

/// Twenty values, others each time.
fn many_values(n: usize) -> String {
    let mut values = String::new();
    for i in n..n + 20 {
        let _ = write!(values, "\"/none/{i}/\",");
    }
    format!("matchArgs: [{{index: 0, operator: Prefix, values: [{values}]}}]")
}

/// The scenario, with the engine in this process.
pub(crate) fn run() -> Result<String> {
    for k in 0..3 {
        std::fs::create_dir_all(format!("/h/{k}"))?;
    }
    std::fs::create_dir_all("/hd")?;
    std::fs::write(DENIED, "x")?;
    let workers = WORKERS.map(|(w, _)| w);
    let mut hammer = Hammer::start(&["--gap", "100"], &workers)?;
    let bench = Bench::start(64 << 20, Tally::default(), note)?;
    let always = policy(1, &watching("always", "\"100\", \"101\", \"102\"", "/h/"))?;
    let denying = policy(2, &denying())?;
    let mut c = Changer { bench, next: 2, sets: [vec![], vec![]], always, denying, log: Vec::new() };
    c.new_set(0)?;
    c.new_set(1)?;
    check(&c.change(1, &[]), None)?;
    // The kernel checks new programs on this thread's time, and the guest is emulated.
    // SAFETY: numbers only; without the right nothing changes.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -10) };
    let mut n = 0;
    hammer.go()?;
    while c.log.len() <= CHANGES {
        c.step(n)?;
        n += 1;
    }
    let counts = hammer.stop()?;
    std::thread::sleep(Duration::from_millis(50));
    let misses = skipped(&c.bench.engine);
    let log = c.log;
    let outcome = c.bench.finish()?;
    let l = &outcome.losses;
    ensure!(l.call + l.scratch + l.uncounted == 0, "events are missing: {l:?}");
    let numbers = judge(&outcome.seen, &counts, &log, misses)?;
    let worst = log.iter().map(|c| c.end - c.begin).max().unwrap_or(0) / 1_000_000;
    let mean = log.iter().map(|c| c.end - c.begin).sum::<u64>() / log.len() as u64 / 1000;
    Ok(format!("{} changes ({mean} us each, {worst} ms at most), {numbers}", log.len()))
}

/// Runs of each hook that the kernel skipped, as it counts them. It does so where a program is
/// preempted, or a task that has a map in its hands, for tracepoints of system calls from 6.13 on.
fn skipped(engine: &Engine) -> [u64; 3] {
    let of = |backend: Backend| {
        let all = engine.programs();
        all.iter().filter(|p| p.attach == backend.name()).map(|p| p.recursion_misses).sum()
    };
    [of(Backend::Kprobe), of(Backend::Lsm), of(Backend::Tracepoint)]
}

fn judge(t: &Tally, counts: &[Count], log: &[Change], skipped: [u64; 3]) -> Result<String> {
    ensure!(t.strange.is_empty(), "records of nothing that was called: {:?}", t.strange);
    let mut text = Vec::new();
    for (hook, name) in HOOKS.iter().enumerate() {
        let (mut total, mut neither, mut wrong) = (0u64, 0u64, Vec::new());
        for (w, _) in WORKERS.iter().enumerate().filter(|(_, (_, hooks))| hooks.contains(&hook)) {
            let made = hammer::calls(counts, w);
            ensure!(made > 100, "worker {w} made {made} calls only");
            let empty = Vec::new();
            let seen = t.calls[hook].get(w).unwrap_or(&empty);
            ensure!(seen.len() as u64 <= made, "{name}: more calls of worker {w} than it made");
            for n in 0..made as usize {
                let call = seen.get(n).copied().unwrap_or_default();
                neither += u64::from(call.records == 0);
                if let Some(why) = fault(&call, log).filter(|_| call.records > 0) {
                    wrong.push(format!("worker {w} call {n}: {why}"));
                }
            }
            total += made;
        }
        let first = wrong.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
        ensure!(wrong.is_empty(), "{name}: {} of {total} calls are judged wrongly: {first}", wrong.len());
        // A tracepoint cannot do better on a preemptible kernel, but it has to say so, to the call.
        let allowed = if hook == 2 { skipped[2] } else { 0 };
        ensure!(
            neither == allowed,
            "{name}: {neither} of {total} calls are judged by neither set; the kernel says that it skipped {}",
            skipped[hook]
        );
        text.push(format!("{name} {total} calls, {neither} skipped and counted"));
    }
    let (opened, refused) = (hammer::calls(counts, 4), hammer::failed(counts, 4));
    ensure!(
        t.denied == [opened - refused, refused],
        "{opened} opens of the denied file, {refused} refused, but reported as [monitored, denied] {:?}",
        t.denied
    );
    ensure!(refused > 0 && refused < opened, "{refused} of {opened} opens refused: nothing was switched");
    Ok(format!("{}, {refused} of {opened} opens refused as reported", text.join(", ")))
}

/// What is wrong with how a call was judged.
fn fault(c: &Call, log: &[Change]) -> Option<String> {
    match c.sets {
        [0, 0] => return Some(format!("by neither set (always: {})", c.always)),
        [1, 0] | [0, 1] => {}
        [a, b] => return Some(format!("{a} times by A and {b} times by B")),
    }
    if c.wrong_member || c.always != 1 || c.records != 1 {
        return Some(format!("by halves: {c:?}"));
    }
    let at = log.partition_point(|x| x.begin <= c.ktime);
    let now = log.get(at.wrapping_sub(1))?;
    let before = if c.ktime < now.end { log.get(at.wrapping_sub(2)).map(|x| x.set) } else { None };
    let set = usize::from(c.sets[1] == 1);
    (set != now.set && Some(set) != before).then(|| "by a set that was not in force".to_owned())
}
