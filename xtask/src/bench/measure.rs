//! What is measured of one agent at one place: a start with some policies for each group of rows.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Rows;
use super::agent::{Installed, Kind, Running, Runs, one_number};
use super::place::Place;
use super::policies::{self, Policy};
use super::rows::median;

/// How many policies the claim has.
pub(crate) const CLAIM: [usize; 4] = [1, 10, 100, 1000];
/// Tetragon takes some 5e9 instructions to load one policy.
const TETRAGON_MOST: usize = 10;
/// What one caller of the claim meets.
const CALLERS: [&str; 3] = ["not-listed", "listed-misses", "no-lists-misses"];
/// Matched calls of the flood.
const FLOOD: f64 = 10_000.0;
/// Milliseconds until an appeared policy must act.
const APPEAR: &str = "600000";

/// Rounds that differ by a larger part of their median are worth a word.
const UNSTEADY: f64 = 0.02;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Wall time instead of CPU time.
    pub(crate) wall: bool,
    pub(crate) opens: u32,
    pub(crate) execs: u32,
    pub(crate) repeats: u32,
}

impl Effort {
    /// In guest instructions: few, because they repeat.
    pub(crate) const COUNTED: Effort = Effort { wall: false, opens: 1_500, execs: 60, repeats: 5 };
    /// In time: many, because whatever else runs disturbs most of them.
    pub(crate) const TIMED: Effort = Effort { wall: true, opens: 5_000, execs: 50, repeats: 15 };

    pub(crate) fn unit(self) -> &'static str {
        if self.wall { "ns" } else { "instructions" }
    }
}

/// Measurements without an agent, by what was called.
pub(crate) type Baselines = BTreeMap<&'static str, f64>;

/// The programs that call: `b0` is in a list of the claim, `b3` is in none.
fn caller(place: &Place, name: &str) -> String {
    place.path(name)
}

/// Puts the programs and files there.
pub(crate) fn prepare(place: &Place, bench: &std::path::Path, quiet: &std::path::Path) -> Result<()> {
    for name in ["bench", "b0", "b3"] {
        place.copy(bench, &place.path(name), 0o755)?;
    }
    place.copy(quiet, &place.path("true"), 0o755)?;
    let watched = &place.watched;
    let mount = if place.is_here() { ":" } else { "mount -t tmpfs tmpfs" };
    place.shell(&format!("mkdir -p {watched} && {mount} {watched}"))?;
    if !place.is_here() {
        // Where a process's memory lies changes what its fork costs by 1 %, as much as is measured here.
        place.shell("echo 0 > /proc/sys/kernel/randomize_va_space")?;
    }
    for file in [&place.plain, &place.secret, &beside(place)] {
        place.put(file, 0o644, b"x\n")?;
    }
    Ok(())
}

/// A file on the file system of the watched folder.
fn beside(place: &Place) -> String {
    format!("{}/other/dir/plain.txt", place.watched)
}

/// The median of the rounds; of times, which only ever get longer, the shortest.
fn rounds(place: &Place, effort: Effort, argv: &[&str]) -> Result<f64> {
    let text = place.run(argv)?;
    let column = usize::from(effort.wall);
    let values: Vec<f64> = text
        .lines()
        .map(|l| one_number(l.split_whitespace().nth(column).unwrap_or_default()))
        .collect::<Result<_>>()?;
    let middle = median(&values).with_context(|| format!("`{}` printed nothing", argv.join(" ")))?;
    let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(l, m), v| (l.min(*v), m.max(*v)));
    if effort.wall {
        return Ok(least);
    }
    if most - least > middle * UNSTEADY {
        let percent = (most - least) / middle * 100.0;
        crate::tools::say(&format!("the rounds differ by {percent:.1} %: {values:?}"));
    }
    Ok(middle)
}

fn open(place: &Place, effort: Effort, caller: &str, path: &str) -> Result<f64> {
    let (opens, repeats) = (effort.opens.to_string(), effort.repeats.to_string());
    rounds(place, effort, &[caller, "open", path, &opens, &repeats])
}

fn exec(place: &Place, effort: Effort) -> Result<f64> {
    let (execs, repeats) = (effort.execs.to_string(), effort.repeats.to_string());
    rounds(place, effort, &[&caller(place, "b3"), "exec", &place.path("true"), &execs, &repeats])
}

/// What happens only the first time after a boot: caches of the kernel that grow and stay, memory that each
/// CPU keeps for itself. What fails here fails again where it is reported.
pub(crate) fn warm_up(place: &Place, agent: &Installed<'_>) {
    let policies = policies::claim(1, true, &caller(place, "b0"));
    let start = agent.set_policies(&policies).and_then(|()| agent.start(&[]));
    if let Ok(running) = start {
        let _ = place.run(&[&caller(place, "b3"), "exec", &place.path("true"), "300", "1"]);
        let _ = running.stop();
    }
}

/// Without an agent.
pub(crate) fn baselines(place: &Place, effort: Effort, rows: &mut Rows) -> Result<Baselines> {
    let b3 = caller(place, "b3");
    let found = BTreeMap::from([
        ("open/none", open(place, effort, &b3, &place.plain)?),
        ("open/none-secret", open(place, effort, &b3, &place.secret)?),
        ("open/none-watched", open(place, effort, &b3, &beside(place))?),
        ("exec/none", exec(place, effort)?),
    ]);
    for (name, value) in &found {
        rows.push(name, "", Ok(*value), effort.unit(), None);
    }
    Ok(found)
}

/// One agent at one place.
pub(crate) struct Measuring<'a> {
    pub(crate) place: &'a Place,
    pub(crate) agent: &'a Installed<'a>,
    pub(crate) effort: Effort,
    pub(crate) none: &'a Baselines,
    pub(crate) rows: &'a mut Rows,
    /// What a number of policies takes of the kernel's memory: what it counts, and really.
    memory: BTreeMap<usize, (f64, f64)>,
    /// How many policies have appeared, so that each has a name of its own.
    appeared: Cell<u32>,
}

impl<'a> Measuring<'a> {
    pub(crate) fn new(
        place: &'a Place,
        agent: &'a Installed<'a>,
        effort: Effort,
        none: &'a Baselines,
        rows: &'a mut Rows,
    ) -> Measuring<'a> {
        Measuring { place, agent, effort, none, rows, memory: BTreeMap::new(), appeared: Cell::new(0) }
    }

    /// Everything that was asked for.
    pub(crate) fn all(&mut self) {
        self.group(
            &[
                "open/base",
                "open/watched",
                "exec/base",
                "exec/base-unread",
                "agent/start",
                "rss/idle",
                "program/base",
            ],
            Self::base,
        );
        let names = [
            "open/monitor-misses",
            "open/monitor-matches",
            "exec/monitor-misses",
            "program/monitor-misses",
            "program/monitor-matches",
            // It needs the first.
            "flat/ten-to-one",
        ];
        self.group(&names, Self::monitor);
        self.group(
            &["agent/10000-matched", "flood/exported", "flood/missed", "flood/counted", "json/default"],
            Self::flood,
        );
        if self.agent.kind == Kind::Ours {
            self.group(&["json/slim"], Self::slim);
        }
        let names =
            ["open/ten-misses", "exec/ten-misses", "rss/ten", "program/ten-misses", "flat/ten-to-one"];
        self.group(&names, Self::ten);
        for count in CLAIM {
            let names = self.names_of_claim(count);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            self.group(&names, |m| m.claim(count));
        }
        self.compare();
    }

    fn name(&self) -> &'static str {
        self.agent.kind.name()
    }

    /// One group of rows: all of them fail with what fails.
    fn group(&mut self, names: &[&str], measure: impl FnOnce(&mut Self) -> Result<()>) {
        if !names.iter().any(|n| self.rows.wants(n)) {
            return;
        }
        crate::tools::say(&format!("{}: {}", self.name(), names[0]));
        if let Err(error) = measure(self) {
            self.rows.fail(names, self.name(), self.effort.unit(), &format!("{error:#}"));
        }
    }

    fn cost(&mut self, name: &str, value: f64, baseline: &str) {
        let none = self.none.get(baseline).copied();
        self.rows.push(name, self.name(), Ok(value), self.effort.unit(), none);
    }

    /// Rows of fork+exec+exit. Their baseline is measured just after them: it drifts by 1 % in the life of a
    /// guest, with the memory that processes get.
    fn execs(&mut self, rows: &[(&str, f64)]) -> Result<()> {
        let none = exec(self.place, self.effort)?;
        for (name, value) in rows {
            self.push(name, *value, self.effort.unit(), Some(none));
        }
        Ok(())
    }

    fn push(&mut self, name: &str, value: f64, unit: &'static str, baseline: Option<f64>) {
        self.rows.push(name, self.name(), Ok(value), unit, baseline);
    }

    fn open_as(&self, caller: &str, path: &str) -> Result<f64> {
        open(self.place, self.effort, &self.place.path(caller), path)
    }

    fn start(&self, policies: &[Policy], arguments: &[&str]) -> Result<Running<'a>> {
        self.agent.set_policies(policies)?;
        self.agent.start(arguments)
    }

    /// Lets pass what starting brings with it.
    fn settle(&self) -> Result<()> {
        self.place.shell("sleep 3").map(|_| ())
    }

    fn base(&mut self) -> Result<()> {
        let running = self.start(&[], &[])?;
        self.push("agent/start", running.start, self.effort.unit(), None);
        self.settle()?;
        self.push("rss/idle", running.resident()?.0 / 1e6, "MB", None);
        let value = self.open_as("b3", &self.place.plain)?;
        self.cost("open/base", value, "open/none");
        if self.agent.kind == Kind::Ours {
            let value = self.open_as("b3", &beside(self.place))?;
            self.cost("open/watched", value, "open/none-watched");
        }
        let read = exec(self.place, self.effort)?;
        running.pause(true)?;
        let unread = exec(self.place, self.effort);
        running.pause(false)?;
        let execs = [("exec/base", read), ("exec/base-unread", unread?)];
        self.settle()?;
        self.programs(&running, "program/base", |m| exec(m.place, m.effort).map(|_| ()))?;
        running.stop()?;
        self.execs(&execs)
    }

    fn monitor(&mut self) -> Result<()> {
        let running = self.start(&policies::monitor(&self.place.secret_prefix), &[])?;
        self.settle()?;
        let (plain, secret) = (self.place.plain.clone(), self.place.secret.clone());
        let value = self.open_as("b3", &plain)?;
        self.cost("open/monitor-misses", value, "open/none");
        let execs = [("exec/monitor-misses", exec(self.place, self.effort)?)];
        self.programs(&running, "program/monitor-misses", |m| m.open_as("b3", &plain).map(|_| ()))?;
        let value = self.open_as("b3", &secret)?;
        self.cost("open/monitor-matches", value, "open/none-secret");
        self.programs(&running, "program/monitor-matches", |m| m.open_as("b3", &secret).map(|_| ()))?;
        running.stop()?;
        self.execs(&execs)
    }

    /// Each program's mean while `load` runs, from the kernel's statistics.
    fn programs(
        &mut self,
        running: &Running<'_>,
        name: &str,
        load: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        if !self.rows.wants(name) {
            return Ok(());
        }
        const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";
        let old = self.place.get(SWITCH)?;
        let set = |to: &str| self.place.shell(&format!("echo {to} > {SWITCH}"));
        set("1")?;
        // The agent collects these numbers now and then.
        let measured = (|| {
            self.settle()?;
            let before = running.programs()?;
            load(self)?;
            self.settle()?;
            Ok::<_, anyhow::Error>((before, running.programs()?))
        })();
        set(old.trim())?;
        let (before, after) = measured?;
        let means = means(&before, &after);
        if means.is_empty() {
            bail!("the agent's metrics have no program that ran");
        }
        for (program, mean) in means {
            self.push(&format!("{name}/{program}"), mean, self.effort.unit(), None);
        }
        Ok(())
    }

    fn flood(&mut self) -> Result<()> {
        let arguments = ["--enable-process-cred", "--enable-process-ns"];
        let running = self.start(&policies::monitor(&self.place.secret_prefix), &arguments)?;
        self.settle()?;
        let (before, missed) = (running.cpu()?, running.missed()?);
        let (lines, bytes) = self.pour(&running, FLOOD)?;
        let cpu = running.cpu()? - before;
        self.push("flood/exported", lines, "events", Some(FLOOD));
        self.push("flood/missed", FLOOD - lines, "events", None);
        self.settle()?;
        self.push("flood/counted", running.missed()? - missed, "events", Some(FLOOD - lines));
        if lines > 0.0 {
            self.push("agent/10000-matched", cpu / lines * 10_000.0, self.effort.unit(), None);
            self.push("json/default", bytes / lines, "bytes", None);
        }
        running.stop()
    }

    /// Opens that match, as fast as it goes; gives lines and bytes of what was exported of them.
    fn pour(&self, running: &Running<'_>, count: f64) -> Result<(f64, f64)> {
        let (bench, count_text) = (self.place.path("b3"), format!("{count:.0}"));
        let before = running.exported()?;
        self.place.run(&[&bench, "flood", &self.place.secret, &count_text])?;
        let (mut last, mut same) = (before, 0);
        for _ in 0..120 {
            self.place.shell("sleep 1")?;
            let now = running.exported()?;
            same = if now == last { same + 1 } else { 0 };
            last = now;
            if same == 3 || now.0 - before.0 >= count {
                break;
            }
        }
        Ok((last.0 - before.0, last.1 - before.1))
    }

    fn slim(&mut self) -> Result<()> {
        let arguments = ["--enable-process-cred", "--enable-process-ns"];
        let mut size = [0.0; 2];
        for (slim, size) in [false, true].into_iter().zip(&mut size) {
            let more = if slim { &["--export-slim"][..] } else { &[] };
            let all = [&arguments[..], more].concat();
            let running = self.start(&policies::monitor(&self.place.secret_prefix), &all)?;
            let (lines, bytes) = self.pour(&running, 100.0)?;
            if lines < 100.0 {
                bail!("only {lines} of 100 events were exported");
            }
            *size = bytes / lines;
            running.stop()?;
        }
        self.push("json/slim", size[1], "bytes", Some(size[0]));
        Ok(())
    }

    fn ten(&mut self) -> Result<()> {
        let running = self.start(&policies::ten(), &[])?;
        self.settle()?;
        self.push("rss/ten", running.resident()?.0 / 1e6, "MB", None);
        let plain = self.place.plain.clone();
        let value = self.open_as("b3", &plain)?;
        self.cost("open/ten-misses", value, "open/none");
        let execs = [("exec/ten-misses", exec(self.place, self.effort)?)];
        self.programs(&running, "program/ten-misses", |m| m.open_as("b3", &plain).map(|_| ()))?;
        running.stop()?;
        self.execs(&execs)
    }

    /// The rows that need that many policies of the claim.
    fn names_of_claim(&self, count: usize) -> Vec<String> {
        let mut names: Vec<String> = CALLERS.iter().map(|c| format!("open/claim-{count}/{c}")).collect();
        // The first and each other count are compared.
        let compared = CLAIM.iter().filter(|n| **n > 1 && (count == 1 || **n == count));
        names.extend(compared.flat_map(|n| CALLERS.iter().map(move |c| format!("flat/claim-{n}/{c}"))));
        if count == 1 || count == 1000 {
            names.extend(["", "-first"].map(|k| format!("appear/{count}-loaded{k}")));
        }
        if count >= 100 {
            names.extend(["counted", "real"].map(|k| format!("memory/policy-{k}")));
        }
        names
    }

    fn claim(&mut self, count: usize) -> Result<()> {
        if self.agent.kind == Kind::Tetragon && count > TETRAGON_MOST {
            bail!("not tried: one policy takes Tetragon some 5e9 instructions to load");
        }
        let names = self.names_of_claim(count);
        let wants = |m: &Self, part: &str| names.iter().any(|n| n.contains(part) && m.rows.wants(n));
        let plain = self.place.plain.clone();
        if ["/not-listed", "/listed-misses", "memory/", "appear/"].iter().any(|p| wants(self, p)) {
            let policies = policies::claim(count, true, &self.place.path("b0"));
            self.agent.set_policies(&policies)?;
            let before = self.kernel_memory()?;
            let running = self.agent.start(&[])?;
            let used = self.kernel_memory()? - before;
            self.memory.insert(count, (running.map_memory()?, used));
            for (who, kind) in [("b3", "not-listed"), ("b0", "listed-misses")] {
                if wants(self, kind) {
                    let value = self.open_as(who, &plain)?;
                    self.cost(&format!("open/claim-{count}/{kind}"), value, "open/none");
                }
            }
            if wants(self, "appear/") {
                self.appear(&running, count)?;
            }
            running.stop()?;
        }
        if wants(self, "no-lists") {
            let running = self.start(&policies::claim(count, false, ""), &[])?;
            let value = self.open_as("b3", &plain)?;
            self.cost(&format!("open/claim-{count}/no-lists-misses"), value, "open/none");
            running.stop()?;
        }
        Ok(())
    }

    /// Slab, vmalloc and per-CPU memory in bytes, once nothing moves.
    fn kernel_memory(&self) -> Result<f64> {
        // What was used not long ago is dropped the second or third time only.
        let drop = "sync; for i in 1 2 3 4; do echo 3 > /proc/sys/vm/drop_caches; sleep 1; done";
        self.place.shell(if self.place.is_here() { "sleep 4" } else { drop })?;
        let text = self.place.get("/proc/meminfo")?;
        let kilobytes = ["Slab:", "VmallocUsed:", "Percpu:"].map(|name| {
            let line = text.lines().find_map(|l| l.strip_prefix(name));
            line.and_then(|l| l.trim().split(' ').next()?.parse::<f64>().ok()).unwrap_or_default()
        });
        Ok(kilobytes.iter().sum::<f64>() * 1024.0)
    }

    /// From a policy's appearance to the first refused open: the first of its shape, then three that are
    /// like it.
    fn appear(&mut self, running: &Running<'_>, count: usize) -> Result<()> {
        let mut times = Vec::new();
        for _ in 0..4 {
            let number = self.appeared.get();
            self.appeared.set(number + 1);
            let name = format!("appear-{number}");
            let target = self.place.path(&format!("refused/{name}.txt"));
            self.place.put(&target, 0o644, b"x\n")?;
            let lsm = self.agent.kind == Kind::Tetragon;
            let (file, text) = policies::deny(&name, &target, lsm);
            let waiting = format!("{}/{file}", self.place.watched);
            self.place.put(&waiting, 0o644, text.as_bytes())?;
            let how = running.appearance(&waiting, &file);
            let bench = self.place.path("b3");
            let mut argv = vec![bench.as_str(), "appear", &target, APPEAR];
            argv.extend(how.iter().map(String::as_str));
            times.push(one_number(&self.place.run(&argv)?)? / 1e6);
        }
        self.push(&format!("appear/{count}-loaded-first"), times[0], "ms", None);
        let others = median(&times[1..]).context("three policies of one shape appeared")?;
        self.push(&format!("appear/{count}-loaded"), others, "ms", None);
        Ok(())
    }

    /// The rows that compare others.
    fn compare(&mut self) {
        let added = |m: &Self, name: &str| m.rows.added(name, m.name());
        let mut pairs = vec![(
            "flat/ten-to-one".to_owned(),
            "open/ten-misses".to_owned(),
            "open/monitor-misses".to_owned(),
        )];
        for count in &CLAIM[1..] {
            for kind in CALLERS {
                let open = |n: usize| format!("open/claim-{n}/{kind}");
                pairs.push((format!("flat/claim-{count}/{kind}"), open(*count), open(1)));
            }
        }
        for (name, many, one) in pairs {
            let (Some(many), Some(one)) = (added(self, &many), added(self, &one)) else { continue };
            let least = self.none.get("open/none").copied().unwrap_or_default() * UNSTEADY;
            let ratio = if one > least { Ok(many / one) } else { Err("one adds too little here".to_owned()) };
            self.rows.push(&name, self.name(), ratio, "x", None);
        }
        let (Some(few), Some(many)) = (self.memory.get(&100), self.memory.get(&1000)) else { return };
        let (counted, real) = ((many.0 - few.0) / 900.0, (many.1 - few.1) / 900.0);
        self.push("memory/policy-counted", counted, "bytes", None);
        let real = if self.place.is_here() {
            Err("other programs of this machine use the kernel's memory too".to_owned())
        } else {
            Ok(real)
        };
        self.rows.push("memory/policy-real", self.name(), real, "bytes", None);
    }
}

/// Nanoseconds a run of each program that ran between two looks.
fn means(before: &BTreeMap<String, Runs>, after: &BTreeMap<String, Runs>) -> Vec<(String, f64)> {
    let mean = |(name, now): (&String, &Runs)| {
        let old = before.get(name).copied().unwrap_or_default();
        let count = now.count - old.count;
        (count > 0.0).then(|| (name.clone(), (now.seconds - old.seconds) * 1e9 / count))
    };
    after.iter().filter_map(mean).collect()
}

/// Busy processes on all CPUs, half of which open what a policy denies.
pub(crate) fn denied(place: &Place, agent: &Installed<'_>, rows: &mut Rows, kind: &str) -> Result<()> {
    const OPENS: &str = "4000";
    let target = place.path("refused/denied.txt");
    place.put(&target, 0o644, b"x\n")?;
    agent.set_policies(&[policies::deny("denied", &target, true)])?;
    let running = agent.start(&[])?;
    std::thread::sleep(Duration::from_secs(1));
    let mut sums = [0.0; 2];
    for _ in 0..3 {
        let text = place.run(&[&place.path("b3"), "deny", &target, &place.plain, "6", OPENS])?;
        for (sum, word) in sums.iter_mut().zip(text.split_whitespace()) {
            *sum += one_number(word)?;
        }
    }
    rows.push(&format!("denied/{kind}"), agent.kind.name(), Ok(sums[0]), "of 36,000", None);
    rows.push(&format!("denied/{kind}-refused"), agent.kind.name(), Ok(sums[1]), "of 36,000", None);
    running.stop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_what_ran_between() {
        let runs = |count, seconds| Runs { count, seconds };
        let before = BTreeMap::from([("a".into(), runs(10.0, 1e-6)), ("b".into(), runs(5.0, 1e-6))]);
        let after = BTreeMap::from([
            ("a".into(), runs(20.0, 3e-6)),
            ("b".into(), runs(5.0, 1e-6)),
            ("c".into(), runs(2.0, 1e-6)),
        ]);
        let means = means(&before, &after);
        assert_eq!(means.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        assert!((means[0].1 - 200.0).abs() < 1e-6 && (means[1].1 - 500.0).abs() < 1e-6, "{means:?}");
    }
}
