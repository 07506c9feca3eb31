//! Watches over a program until it ends. When somebody stops the work (Ctrl-C, SIGTERM, a closed terminal), nothing
//! of it stays: what the program has started ends with it, its clusters are taken down, and a package manager that
//! is at work is waited for.
//!
//! This process is the reaper of everything below it: a daemon whose parent has ended becomes its child, so nothing
//! that was started can hide.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::tools::{command, root, say};

/// A cluster notes its name in the file that this variable names, when it is started.
pub const CLUSTERS: &str = "TETRAGON_XTASK_CLUSTERS";
/// What a shell says of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;
/// For a program to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// Programs that must not be interrupted; what they have started neither.
const NOT_INTERRUPTED: &[&str] = &["apt-get", "dpkg"];

/// Counts the requests to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicUsize>);

impl Stop {
    /// From now on signals that ask to stop are counted instead of ending this process.
    pub fn listen() -> Result<Stop> {
        // SAFETY: a flag of this process; no memory is involved.
        unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
        let stop = Stop::default();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("listening to signals")?;
        let count = stop.clone();
        std::thread::spawn(move || {
            for _ in &mut signals {
                count.0.fetch_add(1, Ordering::SeqCst);
            }
        });
        Ok(stop)
    }

    /// Somebody wants the work to stop.
    #[must_use]
    pub fn wanted(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

/// Runs a program and gives its exit code, or that of an interrupted one after everything was cleaned up.
pub fn run(program: &Path, arguments: &[std::ffi::OsString], stop: &Stop) -> Result<i32> {
    let notes = root().join(format!("target/clusters-{}", std::process::id()));
    let mut command = command(program, arguments);
    command.env(CLUSTERS, &notes);
    let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
    let pid = child.id().cast_signed();
    let ended = loop {
        if stop.wanted() {
            break None;
        }
        match reap(pid) {
            Some(status) => break Some(status),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let code = match ended {
        // Somebody killed it, or it crashed: it could not end what it had started.
        Some(status) if libc::WIFSIGNALED(status) => {
            clean_up(program, &notes);
            128 + libc::WTERMSIG(status)
        }
        Some(status) => libc::WEXITSTATUS(status),
        None => {
            clean_up(program, &notes);
            INTERRUPTED
        }
    };
    let _ = fs::remove_file(notes);
    Ok(code)
}

/// Ends everything below this process, and takes down the clusters that were started.
pub fn clean_up(program: &Path, notes: &Path) {
    say("stopping: ending everything that was started");
    end_all(GRACE);
    wait_for_packages();
    let clusters = fs::read_to_string(notes).unwrap_or_default();
    let mut clusters: Vec<_> = clusters.lines().collect();
    clusters.sort_unstable();
    clusters.dedup();
    for cluster in clusters {
        let down = command(program, ["cluster", "down", "--name", cluster]);
        if let Err(error) = wait(down) {
            eprintln!("error: cluster {cluster} could not be taken down: {error:#}");
        }
    }
    end_all(Duration::ZERO);
}

fn wait(mut command: Command) -> Result<()> {
    let status = command.spawn()?.wait()?;
    anyhow::ensure!(status.success(), "{status}");
    Ok(())
}

/// Takes the status of every child that has ended; gives that of the one.
fn reap(wanted: i32) -> Option<i32> {
    loop {
        let mut status = 0;
        // SAFETY: the status is ours; nothing else in this process waits for children by now.
        match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
            pid if pid == wanted => return Some(status),
            pid if pid <= 0 => return None,
            _ => {}
        }
    }
}

/// Ends every process below this one but for package managers: first kindly, then not.
fn end_all(kindly: Duration) {
    let begin = Instant::now();
    let mut signal = if kindly.is_zero() { libc::SIGKILL } else { libc::SIGTERM };
    let mut sent = Vec::new();
    // What starts while others end is seen in the next round.
    for _ in 0..600 {
        reap(-1);
        let left: Vec<i32> = below(std::process::id().cast_signed()).into_iter().map(|p| p.pid).collect();
        if left.is_empty() {
            return;
        }
        if begin.elapsed() > kindly {
            signal = libc::SIGKILL;
            sent.clear();
        }
        for pid in left {
            if !sent.contains(&pid) {
                sent.push(pid);
                // SAFETY: a signal to a process below this one.
                unsafe { libc::kill(pid, signal) };
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn wait_for_packages() {
    let mut said = false;
    loop {
        reap(-1);
        let all = processes();
        let own = std::process::id().cast_signed();
        let working =
            all.values().any(|p| NOT_INTERRUPTED.contains(&p.name.as_str()) && is_below(&all, p.pid, own));
        if !working {
            return;
        }
        if !said {
            say("waiting for the package manager, which must not be interrupted");
            said = true;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[derive(Clone, Debug)]
struct Process {
    pid: i32,
    parent: i32,
    name: String,
}

/// The living processes below one, without package managers and what they have started.
fn below(root: i32) -> Vec<Process> {
    let all = processes();
    let wanted = |p: &&Process| is_below(&all, p.pid, root) && !is_let_finish(&all, p.pid);
    all.values().filter(wanted).cloned().collect()
}

fn is_below(all: &BTreeMap<i32, Process>, pid: i32, root: i32) -> bool {
    above(all, pid).any(|p| p.parent == root)
}

fn is_let_finish(all: &BTreeMap<i32, Process>, pid: i32) -> bool {
    above(all, pid).any(|p| NOT_INTERRUPTED.contains(&p.name.as_str()))
}

/// A process, its parent, that one's parent.
fn above(all: &BTreeMap<i32, Process>, pid: i32) -> impl Iterator<Item = &Process> {
    // A chain is never as long; parents change while they are read.
    std::iter::successors(all.get(&pid), |p| all.get(&p.parent)).take(64)
}

/// All living processes, by pid.
fn processes() -> BTreeMap<i32, Process> {
    let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = folders.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, process(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?)))
        .collect()
}

/// `12 (a name) S 11 ...`; nothing of one that has ended.
fn process(pid: i32, stat: &str) -> Option<Process> {
    let (head, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let name = head.split_once('(')?.1.to_owned();
    Some(Process { pid, parent: fields.next()?.parse().ok()?, name })
}

/// Where a program of this repository is built to.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    root().join("target").join(crate::cargo::TARGET).join("debug").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(rows: &[(i32, i32, &str)]) -> BTreeMap<i32, Process> {
        rows.iter()
            .map(|(pid, parent, name)| (*pid, Process { pid: *pid, parent: *parent, name: (*name).into() }))
            .collect()
    }

    #[test]
    fn package_managers_and_what_they_start_are_let_finish() {
        let all = tree(&[
            (1, 0, "init"),
            (5, 1, "setup"),
            (6, 5, "apt-get"),
            (7, 6, "sh"),
            (8, 5, "xtask"),
            (9, 1, "sshd"),
        ]);
        let ended: Vec<_> =
            [6, 7, 8, 9].into_iter().filter(|p| is_below(&all, *p, 5) && !is_let_finish(&all, *p)).collect();
        assert_eq!(ended, [8]);
    }

    #[test]
    fn a_process_has_a_parent_and_a_name_with_anything_in_it() {
        let read = process(12, "12 (a) (b) S 11 12 12 0").expect("it lives");
        assert_eq!((read.parent, read.name.as_str()), (11, "a) (b"));
        assert!(process(12, "12 (a) Z 11 12").is_none());
    }

    #[test]
    fn a_daemon_is_found_below_the_program_that_started_it() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let found = below(std::process::id().cast_signed());
        assert!(found.iter().any(|p| p.pid == child.id().cast_signed() && p.name == "sleep"), "{found:?}");
        child.kill().expect("it ends");
        child.wait().expect("it has ended");
    }
}
