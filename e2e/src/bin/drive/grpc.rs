//! The agent as `tetra` and a scraper of metrics see it.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::agent::{self, Agent, Following, Metrics, tetra};
use crate::hammer::{self, Hammer};

const POLICY: &str = r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: over-grpc}
spec:
  lsmhooks:
  - hook: file_open
    args: [{index: 0, type: file}]
    selectors:
    - matchArgs: [{index: 0, operator: Equal, values: ["/hd/denied"]}]
      matchActions: [{action: Override, argError: -13}]
"#;
const FILE: &str = "/tmp/over-grpc.yaml";

/// The scenario.
pub(crate) fn run() -> Result<String> {
    std::fs::create_dir_all("/hd")?;
    std::fs::write("/hd/denied", "x")?;
    std::fs::write(FILE, POLICY)?;
    agent::prepare(&[])?;
    let agent = Agent::start(&[])?;
    let status = tetra(&["status"])?;
    ensure!(status.contains("running"), "tetra status says: {status}");
    let following = Following::start(&["-o", "compact", "--color", "never"])?;
    let steps: [(&[&str], &str, bool); 6] = [
        (&["add", FILE], "enabled", true),
        (&["set-mode", "over-grpc", "monitor"], "monitor", false),
        (&["set-mode", "over-grpc", "enforce"], "enforce", true),
        (&["disable", "over-grpc"], "disabled", false),
        (&["enable", "over-grpc"], "enabled", true),
        (&["delete", "over-grpc"], "", false),
    ];
    ensure!(!denied()?, "denied before there is a policy");
    for (args, state, denies) in steps {
        if state.is_empty() {
            // A policy's series end with it.
            metrics()?;
        }
        tetra(&[&["tracingpolicy"], args].concat())?;
        let list = tetra(&["tracingpolicy", "list"])?;
        let row = list.lines().find(|l| l.split_whitespace().nth(1) == Some("over-grpc"));
        match (row, state) {
            (None, "") => {}
            (Some(row), state) if !state.is_empty() && row.split_whitespace().any(|w| w == state) => {}
            _ => anyhow::bail!(
                "after `tetra tracingpolicy {}` the list is not in the state `{state}`:\n{list}",
                args.join(" ")
            ),
        }
        ensure!(
            denied()? == denies,
            "after `tetra tracingpolicy {}` the open is not {}",
            args.join(" "),
            if denies { "denied" } else { "allowed" }
        );
    }
    for (args, says) in [(["add", "/etc/passwd"], "apiVersion"), (["delete", "none-such"], "does not exist")]
    {
        let error = tetra(&[&["tracingpolicy"], &args[..]].concat())
            .err()
            .map(|e| format!("{e:#}"))
            .unwrap_or_default();
        ensure!(
            error.contains(says) || error.contains("error"),
            "`tetra tracingpolicy {}` says: {error}",
            args.join(" ")
        );
    }
    let compact = following.stop()?;
    // Two opens are reported in each of the states enforce, monitor, enforce, enforce.
    for (line, count) in [("🔒 LSM", 4), ("🚀 process", 7), ("💥 exit", 7)] {
        let with = |l: &&str| l.starts_with(line) && l.contains("/bin/hammer");
        let n = compact.lines().filter(with).count();
        ensure!(
            n >= count,
            "{n} compact lines `{line} ... /bin/hammer` instead of {count} at least:\n{compact}"
        );
    }
    agent.stop()?;
    Ok(format!("{} steps, {} compact lines", steps.len(), compact.lines().count()))
}

/// The seed's four names are served, and two that count nearly the same thing agree: of processes that
/// ran before the agent there are events too.
fn metrics() -> Result<()> {
    let metrics = Metrics::scrape()?;
    for name in [
        "tetragon_events_total",
        "tetragon_policy_events_total",
        "tetragon_process_exec_total",
        "tetragon_missed_events_total",
    ] {
        ensure!(metrics.has(name), "there is no metric {name}");
    }
    let (execs, events) = (
        metrics.sum("tetragon_process_exec_total", &[]),
        metrics.sum("tetragon_events_total", &["type=\"PROCESS_EXEC\""]),
    );
    ensure!(
        execs > 7 && execs <= events,
        "tetragon_process_exec_total {execs}, PROCESS_EXEC events {events}"
    );
    Ok(())
}

/// Whether an open of the file is refused now, in a process of its own.
fn denied() -> Result<bool> {
    let mut hammer = Hammer::start(&["--calls", "1"], &["open:/hd/denied"])?;
    hammer.go()?;
    let counts = hammer.finish()?;
    std::thread::sleep(Duration::from_millis(50));
    Ok(hammer::failed(&counts, 0) == 1)
}
