//! Processes that outlive the command that started them, and are found again by the next one.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::tools::describe;

/// A running process, or one that ran: the start time tells it from a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Daemon {
    pub(crate) pid: i32,
    /// In clock ticks since the machine's start, as /proc tells it.
    started: u64,
}

impl Daemon {
    /// Starts a program in a session of its own: what ends the terminal does not end it.
    pub(crate) fn start(command: &Command, log: &Path) -> Result<Daemon> {
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| format!("writing {}", log.display()))?;
        // It becomes the program: the pid stays.
        let mut detached = Command::new("setsid");
        detached.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => detached.env(key, value),
                None => detached.env_remove(key),
            };
        }
        detached.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = detached.spawn().with_context(|| format!("cannot start {}", describe(command)))?;
        Daemon::of(i32::try_from(child.id())?).with_context(|| format!("it ended at once; {}", end_of(log)))
    }

    /// The process with that pid, unless it has ended.
    fn of(pid: i32) -> Option<Daemon> {
        start_time(pid).map(|started| Daemon { pid, started })
    }

    /// Whether it runs.
    pub(crate) fn alive(self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Ends it: first kindly, then not; a time of zero means at once.
    pub(crate) fn stop(self, kindly: Duration) -> Result<()> {
        let pid = Pid::from_raw(self.pid).context("a pid of zero")?;
        if !kindly.is_zero() && self.alive() {
            let _ = kill_process(pid, Signal::TERM);
            self.wait(kindly);
        }
        if self.alive() {
            let _ = kill_process(pid, Signal::KILL);
            self.wait(Duration::from_secs(10));
        }
        if self.alive() {
            bail!("process {} does not end, not even by SIGKILL", self.pid);
        }
        Ok(())
    }

    fn wait(self, limit: Duration) {
        let end = Instant::now() + limit;
        while self.alive() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until something is so, as long as it runs.
    pub(crate) fn wait_for(self, log: &Path, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            if ready() {
                return Ok(());
            }
            if !self.alive() {
                bail!("it ended by itself; {}", end_of(log));
            }
            if Instant::now() > end {
                bail!("it is not ready after {} s; {}", limit.as_secs(), end_of(log));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn end_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    format!("the end of {}:\n{}", log.display(), lines[lines.len().saturating_sub(15)..].join("\n"))
}

/// When a process was started; nothing when there is none, or only what its parent has not read yet.
fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may contain anything; what follows its last parenthesis does not.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    // The first thread ends first: as long as there are others, files and sockets are still open.
    let others = || fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count) > 1;
    if matches!(fields.next()?, "Z" | "X") && !others() {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_its_successor() {
        let own = Daemon::of(std::process::id().cast_signed()).expect("this one runs");
        assert!(own.alive());
        assert!(!Daemon { started: own.started + 1, ..own }.alive(), "another one with this pid");
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let daemon = Daemon::of(child.id().cast_signed()).expect("it runs");
        daemon.stop(Duration::from_secs(5)).expect("it ends");
        assert!(!daemon.alive(), "although nobody has waited for it");
        child.wait().expect("now somebody has");
    }

    #[test]
    fn what_ends_too_early_is_told_with_its_last_words() {
        let log = std::env::temp_dir().join(format!("tetragon-daemon-test-{}", std::process::id()));
        let mut words = Command::new("sh");
        words.args(["-c", "echo nothing works >&2; exit 1"]);
        let result = Daemon::start(&words, &log)
            .and_then(|daemon| daemon.wait_for(&log, Duration::from_secs(60), || false));
        let error = result.expect_err("it ended").to_string();
        let _ = fs::remove_file(&log);
        assert!(error.contains("ended") && error.contains("nothing works"), "{error}");
    }
}
