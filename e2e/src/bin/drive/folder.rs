//! Policies change through the watched folder and through `tetra` while processes call: in the
//! agent's events each call stands once, judged by the set before or by the set after.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::agent::{self, Agent, Metrics};
use crate::bench::wait_for;
use crate::hammer::{self, Hammer};

/// Changes of the file that has the set.
const CHANGES: usize = 60;
const WORKERS: [&str; 3] = ["lseek:100", "lseek:100", "create:/h"];

/// A file with three policies that together watch two hooks. `names`: with or without another name
/// for each set.
fn set(letter: char, own_names: bool) -> String {
    let one = |k: usize| {
        let name =
            if own_names { format!("{}-{k}", letter.to_ascii_lowercase()) } else { format!("set-{k}") };
        format!(
            r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: {name}}}
spec:
  kprobes:
  - call: sys_lseek
    syscall: true
    message: "{letter}"
    args: [{{index: 1, type: uint64}}, {{index: 2, type: int}}]
    selectors: [{{matchArgs: [{{index: 2, operator: Equal, values: ["{}"]}}]}}]
  lsmhooks:
  - hook: file_open
    message: "{letter}"
    args: [{{index: 0, type: file}}]
    selectors: [{{matchArgs: [{{index: 0, operator: Prefix, values: ["/h/{k}/"]}}]}}]
"#,
            100 + k
        )
    };
    (0..3).map(one).collect::<Vec<_>>().join("---\n")
}

fn put(name: &str, text: &str) -> Result<()> {
    // As editors and config maps do it: a file is there as a whole or not at all.
    let new = format!("{}/.new", agent::POLICIES);
    std::fs::write(&new, text)?;
    std::fs::rename(&new, format!("{}/{name}", agent::POLICIES)).context("putting a policy file")
}

/// The scenario.
pub(crate) fn run() -> Result<String> {
    for k in 0..3 {
        std::fs::create_dir_all(format!("/h/{k}"))?;
    }
    agent::prepare(&[("set.yaml", &set('A', true))])?;
    let agent = Agent::start(&["--rb-size-total", "32M", "--export-slim"])?;
    let mut hammer = Hammer::start(&["--gap", "3000"], &WORKERS)?;
    hammer.go()?;
    for n in 1..=CHANGES {
        let letter = if n % 2 == 0 { 'A' } else { 'B' };
        let own_names = n < CHANGES / 2;
        // The last of the set: no change may come before the agent has seen the one before.
        let last = if own_names { letter.to_ascii_lowercase().to_string() } else { "set".into() };
        let loaded = || agent.log().matches(&format!("policy loaded policy={last}-2 ")).count();
        let before = loaded();
        put("set.yaml", &set(letter, own_names))?;
        wait_for("the agent has loaded the set", Duration::from_secs(600), || loaded() > before)?;
        match n {
            20 => put("broken.yaml", "spec: [this is: no YAML\n")?,
            25 => put("unknown.yaml", &unknown("unknown"))?,
            40 => failed_update(letter)?,
            50 => over_grpc()?,
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let list = agent::tetra(&["tracingpolicy", "list"])?;
    let log = agent.log();
    let counts = hammer.stop()?;
    drained()?;
    let metrics = Metrics::scrape()?;
    let log = log + &agent.stop()?;
    ensure!(log.contains("broken.yaml:1:"), "the log does not say where broken.yaml is broken:\n{log}");
    let row = list.lines().find(|l| l.contains("unknown")).unwrap_or_default();
    ensure!(
        row.contains("load_error"),
        "a policy of an unknown function is not in the state load_error:\n{list}"
    );
    let missed = metrics.sum("tetragon_missed_events_total", &[]);
    ensure!(missed == 0, "{missed} events are missing");
    judge(&agent::events()?, &counts)
}

fn unknown(name: &str) -> String {
    format!(
        "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {{name: {name}}}\nspec:\n  kprobes:\n  \
         - call: no_such_function_anywhere\n    syscall: false\n"
    )
}

/// The file of the running set becomes one that is broken, then one that does not load: what ran goes on, until the
/// next set comes.
fn failed_update(letter: char) -> Result<()> {
    let pause = || std::thread::sleep(Duration::from_secs(1));
    pause();
    put("set.yaml", &set(letter, false).replacen("operator: Equal", "operator: Eqaul", 1))?;
    pause();
    let broken = set(letter, false).replacen("call: sys_lseek", "call: sys_no_such_call", 1);
    put("set.yaml", &broken)?;
    pause();
    Ok(())
}

/// A policy comes and goes through `tetra`, beside the others.
fn over_grpc() -> Result<()> {
    let file = "/tmp/beside.yaml";
    std::fs::write(file, set('C', true).split("---").next().unwrap_or_default().replace("100", "777"))?;
    for _ in 0..5 {
        agent::tetra(&["tracingpolicy", "add", file])?;
        agent::tetra(&["tracingpolicy", "set-mode", "c-0", "monitor"])?;
        agent::tetra(&["tracingpolicy", "delete", "c-0"])?;
    }
    Ok(())
}

/// Waits until the agent has written what the kernel has sent.
fn drained() -> Result<()> {
    let mut last = 0;
    wait_for("all events are written", Duration::from_secs(600), || {
        std::thread::sleep(Duration::from_millis(400));
        let Ok(m) = Metrics::scrape() else { return false };
        let now = m.sum("tetragon_events_exported_total", &[]);
        let sent = m.sum("tetragon_bpf_sent_records_total", &[]);
        let done = now == last && sent == m.sum("tetragon_observer_ringbuf_events_received_total", &[]);
        last = now;
        done
    })
}

/// A call, as its event names it: hook, worker, number.
fn call_of(kind: &str, body: &Value) -> Option<(&'static str, usize, u64)> {
    if kind == "process_lsm" {
        let path = agent::field(body, "args.0.file_arg.path").as_str()?;
        let (worker, n) = path.rsplit_once('/')?.1.split_once('-')?;
        return Some(("file_open", worker.parse().ok()?, n.parse().ok()?));
    }
    let arg = agent::field(body, "args.0.size_arg");
    let offset: u64 = arg.as_u64().or_else(|| arg.as_str()?.parse().ok()).unwrap_or(0);
    Some(("sys_lseek", (offset >> 32) as usize, offset & 0xffff_ffff))
}

fn judge(events: &[Value], counts: &[hammer::Count]) -> Result<String> {
    let mut seen: HashMap<(&str, usize, u64), u32> = HashMap::new();
    let (mut turns, mut last) = (0, String::new());
    for e in events {
        let Some((kind, body)) = agent::body(e) else { continue };
        if kind != "process_kprobe" && kind != "process_lsm" {
            continue;
        }
        let letter = body["message"].as_str().unwrap_or_default();
        if letter == "C" {
            continue;
        }
        ensure!(letter == "A" || letter == "B", "an event of neither set: {e}");
        // Only the calls of one worker are in the order in which they were judged.
        let call = call_of(kind, body).with_context(|| format!("an event without its arguments: {e}"))?;
        if call.1 == 0 && letter != last {
            turns += 1;
            last = letter.to_owned();
        }
        *seen.entry(call).or_default() += 1;
    }
    let mut total = 0;
    for (w, text) in WORKERS.iter().enumerate() {
        let hook = if text.starts_with("lseek") { "sys_lseek" } else { "file_open" };
        let made = hammer::calls(counts, w);
        total += made;
        for n in 0..made {
            let times = seen.remove(&(hook, w, n)).unwrap_or(0);
            ensure!(times == 1, "{hook} worker {w} call {n} of {made}: reported {times} times");
        }
    }
    ensure!(seen.is_empty(), "events of calls that nobody made: {:?}", seen.keys().next());
    ensure!(turns >= 50, "{turns} turns between A and B seen in {CHANGES} changes");
    Ok(format!("{CHANGES} files, 15 changes over gRPC: {total} calls each reported once, {turns} turns seen"))
}
