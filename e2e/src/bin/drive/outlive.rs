//! Enforcement outlives the agent: a denied call is made all the time while the agent is killed, is
//! not there, comes back, comes back as another version, and is ended.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::agent::{self, Agent};
use crate::hammer::{Count, Hammer};

/// Nothing is reported: thousands of events a second would take the emulated processors from what is
/// tested here.
const POLICY: &str = r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: deny}
spec:
  lsmhooks:
  - hook: file_open
    args: [{index: 0, type: file}]
    selectors:
    - matchArgs: [{index: 0, operator: Equal, values: ["/hd/denied"]}]
      matchActions: [{action: Override, argError: -13}, {action: NoPost}]
"#;

/// The same and a second hook: another shape of the image.
const MORE: &str = r#"apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: more}
spec:
  lsmhooks:
  - hook: file_open
    args: [{index: 0, type: file}]
    selectors:
    - matchBinaries: [{operator: Postfix, values: ["/nobody"]}]
  - hook: inode_mkdir
    args: [{index: 1, type: dentry}]
    selectors:
    - matchBinaries: [{operator: In, values: ["/bin/nobody"]}]
"#;

const DENIED: usize = 3;
const WORKERS: [&str; 4] = ["open:/hd/denied", "open:/hd/denied", "open:/hd/denied", "open:/hd/allowed"];

/// The scenario.
pub(crate) fn run() -> Result<String> {
    std::fs::create_dir_all("/hd")?;
    std::fs::write("/hd/denied", "x")?;
    std::fs::write("/hd/allowed", "x")?;
    agent::prepare(&[("deny.yaml", POLICY)])?;
    let pause = || std::thread::sleep(Duration::from_millis(700));
    let first = Agent::start(&[])?;
    let mut starts = vec![first.start];
    // Short gaps would take the emulated processors from the agent that starts meanwhile.
    let mut hammer = Hammer::start(&["--gap", "500"], &WORKERS)?;
    hammer.go()?;
    pause();
    first.crash()?;
    ensure!(agent::pinned(), "nothing is pinned at {}", agent::PINS);
    pause();
    let second = Agent::start(&[])?;
    starts.push(second.start);
    pause();
    second.crash()?;
    // Another version: other programs (policies that change the image), other maps.
    std::fs::write(format!("{}/more.yaml", agent::POLICIES), MORE)?;
    let third = Agent::start(&["--rb-size-total", "1M", "--enable-process-cred", "--enable-process-ns"])?;
    starts.push(third.start);
    pause();
    hammer.mark()?;
    let stop = Instant::now();
    third.stop()?;
    let stop = stop.elapsed();
    hammer.mark()?;
    pause();
    let counts = hammer.stop()?;
    ensure!(!agent::pinned(), "the agent was ended and has left pins at {}", agent::PINS);
    Ok(format!("{}; ready after {starts:.1?}, ended in {stop:.1?}", judge(&counts)?))
}

fn judge(counts: &[Count]) -> Result<String> {
    let phase = |p: usize| {
        let of = counts.iter().filter(move |c| c.phase == Some(p) && c.worker < DENIED);
        of.fold((0, 0), |(calls, failed), c| (calls + c.calls, failed + c.failed))
    };
    let (calls, failed) = phase(0);
    ensure!(calls > 1000, "{calls} denied calls only");
    ensure!(failed == calls, "{} of {calls} denied opens got through before the release", calls - failed);
    let other = counts.iter().find(|c| c.failed > 0 && c.errno != libc::EACCES);
    ensure!(other.is_none(), "refused with another error than argError says: {other:?}");
    let (after, still) = phase(2);
    ensure!(after > 0 && still == 0, "{still} of {after} opens were refused after the release");
    let wrong: u64 = counts.iter().filter(|c| c.worker >= DENIED).map(|c| c.failed).sum();
    ensure!(wrong == 0, "{wrong} opens of the allowed file were refused");
    Ok(format!(
        "{calls} denied opens through two crashes and a change of version, no leak; {after} opens after the release"
    ))
}
