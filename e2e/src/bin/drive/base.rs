//! Processes that ran before the agent, and the chain of parents after the parents are gone.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::agent::{self, Agent, field};
use crate::bench::wait_for;

/// Two policies that match by the calling binary: one that ran before the agent, and one that comes after.
const POLICIES: &str = r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: old}
spec:
  kprobes:
  - call: sys_lseek
    syscall: true
    args: [{index: 2, type: int}]
    selectors: [{matchBinaries: [{operator: In, values: ["/tmp/old"]}]}]
---
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: new}
spec:
  kprobes:
  - call: sys_lseek
    syscall: true
    args: [{index: 2, type: int}]
    selectors: [{matchBinaries: [{operator: In, values: ["/tmp/new"]}]}]
"#;

/// Each shell ends before what it started does. The innermost calls when all are gone.
const CHAIN: &str = "/bin/sh -c '/bin/sh -c \"(/bin/trig sleep 700 , exec /tmp/new sleep 1 , lseek 77 0 5000) & exit 0\" & exit 0' & exit 0";

/// The scenario.
pub(crate) fn run() -> Result<String> {
    for copy in ["/tmp/old", "/tmp/new"] {
        std::fs::copy("/bin/trig", copy)?;
    }
    agent::prepare(&[("base.yaml", POLICIES)])?;
    let mut command = Command::new("/tmp/old");
    command.args([
        "read", "0", "b:1", "1", ",", "lseek", "77", "0", "4000", ",", "exec", "/tmp/new", "lseek", "77",
        "0", "4001",
    ]);
    let mut old = command.stdin(Stdio::piped()).spawn()?;
    let agent = Agent::start(&[])?;
    let status = Command::new("/bin/sh").args(["-c", CHAIN]).stdin(Stdio::null()).status()?;
    ensure!(status.success(), "the chain's first shell: {status}");
    // It has nothing to read any more, and calls.
    drop(old.stdin.take());
    old.wait()?;
    wait_for("the innermost call is reported", Duration::from_secs(600), || {
        agent::events().is_ok_and(|events| innermost(&events).is_some())
    })?;
    agent.stop()?;
    let events = agent::events()?;
    before(&events, old.id())?;
    let length = chain(&events)?;
    Ok(format!("{} events, a chain of {length} whose parents were gone", events.len()))
}

fn calls<'a>(events: &'a [Value], policy: &str) -> Vec<&'a Value> {
    let of = |e: &&Value| e["process_kprobe"]["policy_name"] == policy;
    events.iter().filter(of).map(|e| &e["process_kprobe"]).collect()
}

/// The call of the chain's last program.
fn innermost(events: &[Value]) -> Option<&Value> {
    calls(events, "new").into_iter().find(|e| field(e, "args.0.int_arg") == 5000)
}

/// The process that ran before the agent was matched by its binary, and is flagged.
fn before(events: &[Value], pid: u32) -> Result<()> {
    let found = calls(events, "old");
    ensure!(found.len() == 1, "policy `old` has {} events instead of 1: {found:?}", found.len());
    let e = found[0];
    ensure!(
        field(e, "process.binary") == "/tmp/old" && field(e, "process.pid") == pid,
        "not of the old process: {e}"
    );
    let flags = field(e, "process.flags").as_str().unwrap_or_default();
    ensure!(flags.contains("procFS"), "a process that ran before the agent is not flagged procFS: {flags}");
    ensure!(
        field(e, "process.arguments").as_str().is_some_and(|a| a.starts_with("read 0")),
        "its arguments are lost: {e}"
    );
    // What it executed then is seen live.
    let live = calls(events, "new").into_iter().find(|e| field(e, "args.0.int_arg") == 4001);
    let live = live.context("the old process executed /tmp/new, which called, and there is no event")?;
    let flags = field(live, "process.flags").as_str().unwrap_or_default();
    ensure!(
        field(live, "process.pid") == pid && !flags.contains("procFS"),
        "flags of an exec that was seen: {flags}"
    );
    Ok(())
}

/// From the call of the innermost up to a process that ran before the agent: no link is missing.
fn chain(events: &[Value]) -> Result<usize> {
    let mut execs: HashMap<&str, &Value> = HashMap::new();
    for p in events.iter().map(|e| &e["process_exec"]["process"]) {
        if let Some(id) = p["exec_id"].as_str() {
            execs.insert(id, p);
        }
    }
    let call = innermost(events).context("no event of the innermost call")?;
    let mut at = &call["process"];
    ensure!(at["binary"] == "/tmp/new", "the innermost call is of {}", at["binary"]);
    let parent = &call["parent"];
    ensure!(
        parent["exec_id"] == at["parent_exec_id"],
        "its parent is {parent}, not {}",
        at["parent_exec_id"]
    );
    let mut shells = 0;
    for length in 1..20 {
        let id = at["parent_exec_id"].as_str().unwrap_or_default();
        match execs.get(id) {
            Some(p) => {
                shells += usize::from(p["binary"] == "/bin/sh");
                at = p;
            }
            None => {
                ensure!(shells >= 3, "the chain ends after {shells} shells, at {at}");
                return Ok(length);
            }
        }
    }
    anyhow::bail!("the chain of parents has no end")
}
