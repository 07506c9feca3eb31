//! An agent at the place of measurement: started with policies, asked for its numbers, stopped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::place::{Beside, Place};
use super::policies::Policy;
use crate::build::Agent;

/// It says this when it reports events. Tetragon says the same.
const READY: &str = "Listening for events";
/// How long a start may take, with a thousand policies in a guest that counts instructions.
const START: Duration = Duration::from_secs(900);
/// How long it may take to end.
const STOP: Duration = Duration::from_secs(180);

/// Which agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// This project's.
    Ours,
    /// A real Tetragon.
    Tetragon,
}

impl Kind {
    /// As rows and the table name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Ours => "tetragon-rs",
            Kind::Tetragon => "Tetragon",
        }
    }

    /// A folder below the root, so that both can be there.
    fn folder(self) -> &'static str {
        match self {
            Kind::Ours => "ours",
            Kind::Tetragon => "theirs",
        }
    }
}

/// An agent whose files are at the place.
pub(crate) struct Installed<'a> {
    place: &'a Place,
    pub(crate) kind: Kind,
}

/// An agent that runs.
pub(crate) struct Running<'a> {
    place: &'a Place,
    kind: Kind,
    process: Beside,
    pid: String,
    /// CPU time until it was ready, in ns.
    pub(crate) start: f64,
}

/// What a program of the agent did, by the kernel's statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Runs {
    pub(crate) count: f64,
    pub(crate) seconds: f64,
}

/// The files of a Tetragon release in a folder: the agent, its eBPF objects, and the client.
pub(crate) fn tetragon_files(folder: &Path) -> Result<Vec<(PathBuf, String, u32)>> {
    let usage = format!(
        "right would be a folder with tetragon, tetra and bpf/*.o, as a release's archive has them below \
         usr/local (given: {})",
        folder.display()
    );
    let mut files = Vec::new();
    for name in ["tetragon", "tetra"] {
        let file = [folder.join(name), folder.join("bin").join(name)].into_iter().find(|f| f.is_file());
        files.push((file.with_context(|| format!("no {name}: {usage}"))?, name.to_owned(), 0o755));
    }
    let objects = [folder.join("bpf"), folder.join("lib/tetragon/bpf")].into_iter().find(|f| f.is_dir());
    for entry in std::fs::read_dir(objects.with_context(|| format!("no eBPF objects: {usage}"))?)? {
        let file = entry?.path();
        if file.extension().is_some_and(|e| e == "o") {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((file, format!("bpf/{name}"), 0o644));
        }
    }
    if files.len() == 2 {
        bail!("no eBPF objects: {usage}");
    }
    Ok(files)
}

impl<'a> Installed<'a> {
    /// Puts this project's agent there.
    pub(crate) fn ours(place: &'a Place, agent: &Agent) -> Result<Installed<'a>> {
        let installed = Installed { place, kind: Kind::Ours };
        place.copy(&agent.tetragon, &installed.path("tetragon"), 0o755)?;
        if let Some(tetra) = &agent.tetra {
            place.copy(tetra, &installed.path("tetra"), 0o755)?;
        }
        Ok(installed)
    }

    /// Puts a real Tetragon there.
    pub(crate) fn tetragon(place: &'a Place, folder: &Path) -> Result<Installed<'a>> {
        let installed = Installed { place, kind: Kind::Tetragon };
        for (file, name, mode) in tetragon_files(folder)? {
            place.copy(&file, &installed.path(&name), mode)?;
        }
        Ok(installed)
    }

    fn path(&self, name: &str) -> String {
        self.place.path(&format!("{}/{name}", self.kind.folder()))
    }

    fn policies(&self) -> String {
        format!("{}/{}", self.place.watched, self.kind.folder())
    }

    /// Replaces the policies of the next start.
    pub(crate) fn set_policies(&self, policies: &[Policy]) -> Result<()> {
        let folder = self.policies();
        self.place.shell(&format!("rm -rf {folder} && mkdir -p {folder}"))?;
        for (name, text) in policies {
            self.place.put(&format!("{folder}/{name}"), 0o644, text.as_bytes())?;
        }
        Ok(())
    }

    /// Starts it with the policies that were set, and waits until it is ready.
    pub(crate) fn start(&self, arguments: &[&str]) -> Result<Running<'a>> {
        let (log, pid_file, events) = (self.path("log"), self.path("pid"), self.path("events.log"));
        let mut words = vec![
            self.path("tetragon"),
            format!("--tracing-policy-dir {}", self.policies()),
            format!("--export-filename {events}"),
            // One file, so that its lines can be counted.
            "--export-file-max-size-mb 4096".into(),
            format!("--server-address unix://{}", self.path("socket")),
            format!("--metrics-server 127.0.0.1:{}", self.place.port),
            "--bpf-dir tetragon-bench".into(),
        ];
        if self.kind == Kind::Tetragon {
            words.push(format!("--bpf-lib {}", self.path("bpf")));
        }
        words.extend(arguments.iter().map(|&a| a.to_owned()));
        let (folder, command) = (self.path(""), words.join(" "));
        let text =
            format!("cd {folder}; rm -f {events}* {log}; echo $$ > {pid_file}; exec {command} > {log} 2>&1");
        let mut process = self.place.spawn(&text)?;
        let end = Instant::now() + START;
        loop {
            let ended = self.place.ended(&mut process, Duration::from_millis(200))?;
            let said = self.place.get(&log).unwrap_or_default();
            if let Some(status) = ended {
                bail!("{} ended before it was ready ({status}): {}", self.kind.name(), last_lines(&said, 12));
            }
            if said.contains(READY) {
                break;
            }
            if Instant::now() > end {
                bail!("{} is not ready in time: {}", self.kind.name(), last_lines(&said, 12));
            }
        }
        let pid = self.place.get(&pid_file)?.trim().to_owned();
        let mut running = Running { place: self.place, kind: self.kind, process, pid, start: 0.0 };
        running.start = running.cpu()?;
        if let Err(error) = self.all_run(&running) {
            let said = self.place.get(&log).unwrap_or_default();
            running.stop()?;
            return Err(error.context(what_failed(&said)));
        }
        Ok(running)
    }

    /// What is not loaded costs nothing, which must not pass for a result.
    fn all_run(&self, running: &Running<'_>) -> Result<()> {
        let asked = self.place.shell(&format!("ls {} | wc -l", self.policies()))?;
        let asked = one_number(&asked)?;
        let metrics = running.metrics()?;
        let loaded = series(&metrics, "tetragon_tracingpolicy_loaded");
        let enabled: f64 =
            loaded.filter(|(labels, _)| label(labels, "state") == "enabled").map(|(_, n)| n).sum();
        if enabled < asked {
            bail!("{enabled} of {asked} policies run here");
        }
        Ok(())
    }
}

impl Running<'_> {
    fn path(&self, name: &str) -> String {
        self.place.path(&format!("{}/{name}", self.kind.folder()))
    }

    fn bench(&self, words: &[&str]) -> Result<String> {
        let program = self.place.path("bench");
        let argv: Vec<&str> = std::iter::once(program.as_str()).chain(words.iter().copied()).collect();
        self.place.run(&argv)
    }

    /// CPU time so far, in ns.
    pub(crate) fn cpu(&self) -> Result<f64> {
        one_number(&self.bench(&["cpu", &self.pid])?)
    }

    /// Stops it for a while, or lets it go on.
    pub(crate) fn pause(&self, stop: bool) -> Result<()> {
        self.place.run(&["kill", if stop { "-STOP" } else { "-CONT" }, &self.pid]).map(|_| ())
    }

    /// Resident memory in bytes: all, and what is not files.
    pub(crate) fn resident(&self) -> Result<(f64, f64)> {
        let text = self.place.get(&format!("/proc/{}/status", self.pid))?;
        let field = |name: &str| -> Result<f64> {
            let line = text.lines().find_map(|l| l.strip_prefix(name));
            let kilobytes =
                line.and_then(|l| l.trim_start_matches(':').trim().split(' ').next()?.parse().ok());
            let kilobytes: f64 = kilobytes.with_context(|| format!("no {name} in the agent's status"))?;
            Ok(kilobytes * 1024.0)
        };
        Ok((field("VmRSS")?, field("RssAnon")?))
    }

    /// What the kernel counts for its maps, in bytes.
    pub(crate) fn map_memory(&self) -> Result<f64> {
        let text = self.bench(&["memlock", &self.pid])?;
        one_number(text.split_whitespace().next().unwrap_or_default())
    }

    fn metrics(&self) -> Result<String> {
        self.bench(&["get", &format!("127.0.0.1:{}", self.place.port), "/metrics"])
    }

    /// Events that it knows to have lost, so far.
    pub(crate) fn missed(&self) -> Result<f64> {
        let metrics = self.metrics()?;
        let names: &[&str] = match self.kind {
            Kind::Ours => &["tetragon_missed_events_total"],
            Kind::Tetragon => {
                &["tetragon_bpf_missed_events_total", "tetragon_observer_ringbuf_events_lost_total"]
            }
        };
        Ok(names.iter().flat_map(|n| series(&metrics, n)).map(|(_, value)| value).sum())
    }

    /// What each program did so far. It must be collected while the kernel keeps statistics.
    pub(crate) fn programs(&self) -> Result<BTreeMap<String, Runs>> {
        Ok(programs(&self.metrics()?))
    }

    /// Lines and bytes of the export's call events.
    pub(crate) fn exported(&self) -> Result<(f64, f64)> {
        let events = self.path("events.log");
        let count = format!("grep -E '^.\"process_(kprobe|lsm)\"' {events} 2>/dev/null | wc -lc");
        let text = self.place.shell(&count)?;
        let mut words = text.split_whitespace();
        let mut next = || one_number(words.next().unwrap_or_default());
        Ok((next()?, next()?))
    }

    /// The words with which `bench appear` brings a policy that waits in a file: moved into the watched
    /// folder, or, for Tetragon, which watches none, by its client.
    pub(crate) fn appearance(&self, from: &str, name: &str) -> Vec<String> {
        match self.kind {
            Kind::Ours => {
                let to = format!("{}/{}/{name}", self.place.watched, self.kind.folder());
                vec!["rename".into(), from.into(), to]
            }
            Kind::Tetragon => {
                let socket = format!("unix://{}", self.path("socket"));
                let words =
                    ["run", &self.path("tetra"), "--server-address", &socket, "tracingpolicy", "add", from];
                words.map(str::to_owned).to_vec()
            }
        }
    }

    /// Tells it to end, and waits for that.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.place.run(&["kill", "-TERM", &self.pid])?;
        if self.place.ended(&mut self.process, STOP)?.is_none() {
            let _ = self.place.run(&["kill", "-KILL", &self.pid]);
            self.place.ended(&mut self.process, STOP)?;
            bail!("{} did not end within {} s of SIGTERM", self.kind.name(), STOP.as_secs());
        }
        // Tetragon may leave its folder.
        self.place.shell("rm -rf /sys/fs/bpf/tetragon-bench")?;
        Ok(())
    }
}

/// The only number of a text.
pub(crate) fn one_number(text: &str) -> Result<f64> {
    text.trim().parse().with_context(|| format!("expected a number, got `{}`", text.trim()))
}

/// The first line of a log that says why something was not loaded.
fn what_failed(log: &str) -> String {
    let word = |l: &&str| ["error", "Error", "ERROR", "failed"].iter().any(|w| l.contains(w));
    let line = log.lines().find(word).unwrap_or("its log gives no reason").trim();
    // Without the time, so that the same reason is the same text.
    line.split_once("ERROR ").map_or(line, |(_, rest)| rest).to_owned()
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// The series of a metric: labels and value.
fn series<'t>(text: &'t str, name: &'t str) -> impl Iterator<Item = (&'t str, f64)> {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once('}')?,
            None if rest.starts_with(' ') => ("", rest),
            None => return None,
        };
        Some((labels, value.split_whitespace().next()?.parse().ok()?))
    })
}

fn label<'t>(labels: &'t str, name: &str) -> &'t str {
    let start = format!("{name}=\"");
    let found = labels.split_once(start.as_str()).map(|(_, rest)| rest);
    found.and_then(|rest| rest.split_once('"')).map_or("", |(value, _)| value)
}

fn programs(metrics: &str) -> BTreeMap<String, Runs> {
    let mut programs: BTreeMap<String, Runs> = BTreeMap::new();
    let key = |labels: &str| -> String {
        let parts = ["attach", "section"].map(|l| label(labels, l).replace('/', "."));
        parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(":")
    };
    for (labels, value) in series(metrics, "tetragon_overhead_program_runs_total") {
        programs.entry(key(labels)).or_default().count += value;
    }
    for (labels, value) in series(metrics, "tetragon_overhead_program_seconds_total") {
        programs.entry(key(labels)).or_default().seconds += value;
    }
    programs
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "\
# HELP tetragon_overhead_program_runs The total number of times BPF program was executed.
# TYPE tetragon_overhead_program_runs counter
tetragon_overhead_program_runs_total{attach=\"security_file_open\",policy=\"a\",section=\"lsm/engine\"} 10
tetragon_overhead_program_runs_total{attach=\"security_file_open\",policy=\"b\",section=\"lsm/engine\"} 5
tetragon_overhead_program_seconds_total{attach=\"security_file_open\",policy=\"a\",section=\"lsm/engine\"} 0.5
tetragon_missed_events_total{stage=\"ring\"} 3
tetragon_missed_events_total{stage=\"queue\"} 4 1700000000
tetragon_missed_events_total_created 5
# EOF
";

    #[test]
    fn metrics_are_summed_over_their_series() {
        let sum = |name| series(METRICS, name).map(|(_, v)| v).sum::<f64>();
        assert!((sum("tetragon_missed_events_total") - 7.0).abs() < 1e-9);
        assert!(sum("tetragon_missed_events").abs() < 1e-9, "a name is not the start of another");
    }

    #[test]
    fn programs_are_summed_over_policies() {
        let all = programs(METRICS);
        assert_eq!(all.len(), 1);
        assert_eq!(all["security_file_open:lsm.engine"], Runs { count: 15.0, seconds: 0.5 });
    }

    #[test]
    fn a_folder_without_tetragon_is_refused_by_what_it_lacks() {
        let folder = std::env::temp_dir().join(format!("bench-no-tetragon-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("bpf")).expect("a folder");
        let error = |folder: &Path| tetragon_files(folder).expect_err("incomplete").to_string();
        assert!(error(&folder).starts_with("no tetragon:"), "{}", error(&folder));
        for name in ["tetragon", "tetra"] {
            std::fs::write(folder.join(name), "x").expect("a file");
        }
        assert!(error(&folder).starts_with("no eBPF objects:"), "{}", error(&folder));
        std::fs::write(folder.join("bpf/bpf_execve.o"), "x").expect("a file");
        assert_eq!(tetragon_files(&folder).expect("complete").len(), 3);
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
