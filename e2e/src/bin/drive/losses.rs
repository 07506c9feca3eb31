//! A ring buffer that is too small: what was made is what was exported and what was counted as missing.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::agent::{self, Agent, Metrics};
use crate::bench::wait_for;
use crate::hammer::{self, Hammer};

/// Two policies of one hook: one for every call, one for a third of them.
const POLICIES: &str = r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: every}
spec:
  kprobes:
  - call: sys_lseek
    syscall: true
    args: [{index: 1, type: uint64}, {index: 2, type: int}]
    selectors: [{matchArgs: [{index: 2, operator: Equal, values: ["100", "101", "102"]}]}]
---
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: third}
spec:
  kprobes:
  - call: sys_lseek
    syscall: true
    args: [{index: 1, type: uint64}, {index: 2, type: int}]
    selectors: [{matchArgs: [{index: 2, operator: Equal, values: ["101"]}]}]
"#;

const OTHER: &str = r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: other}
spec:
  kprobes:
  - call: sys_lseek
    syscall: true
    args: [{index: 2, type: int}]
    selectors: [{matchArgs: [{index: 2, operator: Equal, values: ["999"]}]}]
"#;

/// Of each worker in a burst: this and a fifth of it are multiples of three.
const CALLS: u64 = 6000;
const EXECS: u64 = 200;

/// The scenario.
pub(crate) fn run() -> Result<String> {
    agent::prepare(&[("policies.yaml", POLICIES)])?;
    let agent = Agent::start(&["--rb-size-total", "64K", "--export-slim"])?;
    // At full speed, with the agent reading.
    let mut made = burst(&["lseek:100", "lseek:100"], CALLS)?;
    // While it does not read at all: most must be lost.
    agent.signal(libc::SIGSTOP)?;
    made += burst(&["lseek:100", "lseek:100"], CALLS)?;
    agent.signal(libc::SIGCONT)?;
    settle()?;
    // Losses are remembered over a change of policies.
    std::fs::write(format!("{}/other.yaml", agent::POLICIES), OTHER)?;
    wait_for("policy `other` runs", Duration::from_secs(600), || {
        agent::tetra(&["tracingpolicy", "list"]).is_ok_and(|l| l.contains("other"))
    })?;
    made += burst(&["lseek:100", "lseek:100"], CALLS / 5)?;
    settle()?;
    let metrics = Metrics::scrape()?;
    let exported = agent::events()?;
    // All bursts are of multiples of three.
    let third = made / 3;
    let mut numbers = Vec::new();
    for (policy, produced) in [("every", made), ("third", third)] {
        let reported = exported.iter().filter(|e| of_policy(e, policy)).count() as u64;
        let missed = metrics.sum("tetragon_missed_events_total", &[&format!("policy=\"{policy}\"")]);
        ensure!(
            produced == reported + missed,
            "policy {policy}: {produced} calls, {reported} exported, {missed} missed: {} are nowhere",
            produced as i64 - (reported + missed) as i64
        );
        numbers.push(format!("{policy} {produced} = {reported} + {missed}"));
        ensure!(missed > 100, "policy {policy}: only {missed} are missing, the ring is not small enough");
        let told = metrics.sum("tetragon_policy_events_total", &[&format!("policy=\"{policy}\"")]);
        ensure!(told == reported, "policy {policy}: the metric says {told} events, the file has {reported}");
    }
    numbers.push(base(&agent)?);
    agent.stop()?;
    Ok(numbers.join("; "))
}

/// Calls of an exactly known number.
fn burst(workers: &[&str], calls: u64) -> Result<u64> {
    let mut hammer = Hammer::start(&["--calls", &calls.to_string()], workers)?;
    hammer.go()?;
    let counts = hammer.finish()?;
    Ok((0..workers.len()).map(|w| hammer::calls(&counts, w)).sum())
}

/// Waits until everything that the kernel sent has been received and written.
fn settle() -> Result<()> {
    let numbers = || -> Result<[u64; 3]> {
        let m = Metrics::scrape()?;
        let names = [
            "tetragon_bpf_sent_records_total",
            "tetragon_observer_ringbuf_events_received_total",
            "tetragon_events_exported_total",
        ];
        Ok(names.map(|n| m.sum(n, &[])))
    };
    let mut last = [0; 3];
    wait_for("all records are received", Duration::from_secs(600), || {
        std::thread::sleep(Duration::from_millis(300));
        let now = numbers().unwrap_or([1, 0, 0]);
        let done = now == last && now[0] == now[1];
        last = now;
        done
    })
}

fn of_policy(event: &Value, policy: &str) -> bool {
    event["process_kprobe"]["policy_name"] == policy
}

/// The base sensor: programs are executed while the agent does not read.
fn base(agent: &Agent) -> Result<String> {
    // Nothing but what is counted is executed or ends between the two scrapes.
    let before = Metrics::scrape()?;
    let mut hammer = Hammer::start(&["--calls", &EXECS.to_string()], &["exec:/bin/trig", "exec:/bin/trig"])?;
    settle()?;
    agent.signal(libc::SIGSTOP)?;
    hammer.go()?;
    let counts = hammer.finish()?;
    let failed = hammer::failed(&counts, 0) + hammer::failed(&counts, 1);
    ensure!(failed == 0, "{failed} programs could not be run");
    agent.signal(libc::SIGCONT)?;
    settle()?;
    let after = Metrics::scrape()?;
    let more = |name: &str, label: &str| after.sum(name, &[label]) - before.sum(name, &[label]);
    let (mut text, mut nowhere) = (Vec::new(), 0);
    // The hammer itself is executed too; it and its two workers end too.
    for (kind, op, produced) in [("PROCESS_EXEC", "5", 2 * EXECS + 1), ("PROCESS_EXIT", "7", 2 * EXECS + 3)] {
        let told = more("tetragon_events_total", &format!("type=\"{kind}\""));
        let missed = more("tetragon_bpf_missed_events_total", &format!("msg_op=\"{op}\""));
        ensure!(produced >= told + missed, "{produced} {kind}, but {told} reported and {missed} missed");
        ensure!(missed > 10, "{kind}: only {missed} are missing, the ring is not small enough");
        nowhere += produced - told - missed;
        text.push(format!("{kind} {produced} = {told} + {missed}"));
    }
    // A preemptible kernel skips a program that another task is in; its count does not say which kind.
    let skipped = more("tetragon_missed_events_total", "stage=\"recursion\"");
    ensure!(nowhere <= skipped, "{}: {nowhere} are nowhere, {skipped} were skipped", text.join("; "));
    Ok(format!("{}, {skipped} skipped", text.join("; ")))
}
