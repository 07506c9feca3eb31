//! Six busy processes on two CPUs of a preemptible kernel: three open what is denied, three create
//! files of which each has a name of its own.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use tetragon_engine::{ArgValue, CallRecord};

use crate::bench::{self, Bench, policy};
use crate::hammer::{self, Count, Hammer};

const CALLS: u64 = 12_000;
const WORKERS: [&str; 6] =
    ["open:/hd/denied", "create:/h", "open:/hd/denied", "create:/h", "open:/hd/denied", "create:/h"];

/// Both on one hook, one of them by a path that has to be read in full.
const POLICY: &str = r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: both}
spec:
  lsmhooks:
  - hook: file_open
    args: [{index: 0, type: file}]
    selectors:
    - matchArgs: [{index: 0, operator: Equal, values: ["/hd/denied"]}]
      matchActions: [{action: Override, argError: -13}]
    - matchArgs: [{index: 0, operator: Prefix, values: ["/h/"]}]
"#;

#[derive(Default)]
struct Tally {
    /// (pid, path) and how often.
    seen: HashMap<(u32, String), u64>,
    strange: u64,
}

fn note(t: &mut Tally, c: &CallRecord) {
    for m in &c.matches {
        match bench::arg(c, m, 0) {
            Some(ArgValue::Text { text, .. }) => {
                *t.seen.entry((c.header.tgid, text.clone())).or_default() += 1;
            }
            _ => t.strange += 1,
        }
    }
}

/// The scenario.
pub(crate) fn run() -> Result<String> {
    for k in 0..3 {
        std::fs::create_dir_all(format!("/h/{k}"))?;
    }
    std::fs::create_dir_all("/hd")?;
    std::fs::write("/hd/denied", "x")?;
    let mut bench = Bench::start(8 << 20, Tally::default(), note)?;
    bench.apply(&[policy(1, POLICY)?])?;
    let mut hammer = Hammer::start(&["--calls", &CALLS.to_string()], &WORKERS)?;
    let pids = hammer.pids.clone();
    hammer.go()?;
    let counts = hammer.finish()?;
    let outcome = bench.finish()?;
    let l = &outcome.losses;
    ensure!(l.scratch == 0, "{} calls were not judged: no scratch memory", l.scratch);
    ensure!(l.skipped == 0, "{} runs were skipped", l.skipped);
    ensure!(l.path == 0, "{} paths could not be read", l.path);
    let reported = enforced(&counts).and_then(|()| whole(&outcome.seen, &pids))?;
    let made = CALLS * WORKERS.len() as u64;
    let by_policy: u64 = l.by_policy.values().sum();
    ensure!(
        reported + l.call == made && by_policy + l.uncounted == l.call,
        "{made} calls, {reported} reported, {} lost ({by_policy} by policy, {} without)",
        l.call,
        l.uncounted
    );
    Ok(format!(
        "{made} calls, {reported} reported, {} lost and counted, {} denied and no leak",
        l.call,
        made / 2
    ))
}

/// What is denied was always refused, what is not never.
fn enforced(counts: &[Count]) -> Result<()> {
    for (w, text) in WORKERS.iter().enumerate() {
        let (calls, failed) = (hammer::calls(counts, w), hammer::failed(counts, w));
        ensure!(calls == CALLS, "worker {w} made {calls} calls instead of {CALLS}");
        if text.starts_with("open:") {
            ensure!(failed == calls, "{} of {calls} denied opens got through", calls - failed);
            let other = counts.iter().find(|c| c.worker == w && c.errno != libc::EACCES);
            ensure!(other.is_none(), "refused with another error: {other:?}");
        } else {
            ensure!(failed == 0, "{failed} of {calls} allowed calls were refused");
        }
    }
    Ok(())
}

/// Every record is of a call that was made, by the process that made it; how many there are.
fn whole(t: &Tally, pids: &[u32]) -> Result<u64> {
    ensure!(t.strange == 0, "{} records have no path", t.strange);
    let mut sum = 0;
    for ((pid, path), n) in &t.seen {
        sum += n;
        let worker = pids.iter().position(|p| p == pid);
        let denied = path == "/hd/denied";
        let mine = worker.is_some_and(|w| match WORKERS[w].split_once(':') {
            Some(("open", _)) => denied,
            _ => created_by(path, w) && *n == 1,
        });
        ensure!(
            mine,
            "a record that nobody's call can have made: process {pid} (worker {worker:?}), {path}, {n} times"
        );
    }
    Ok(sum)
}

/// The path is one that worker `w` creates.
fn created_by(path: &str, w: usize) -> bool {
    let Some((k, name)) = path.strip_prefix("/h/").and_then(|p| p.split_once('/')) else { return false };
    let Some((worker, n)) = name.split_once('-') else { return false };
    let n = n.parse::<u64>().ok().filter(|n| *n < CALLS);
    worker == w.to_string() && n.is_some_and(|n| k == (n % 3).to_string())
}
