//! `hammer [--calls N] [--gap US] WORKER...`: processes that make one system call over and over, and
//! know exactly how often.
//!
//! WORKER is what one process does, call number n = 0, 1, 2, ...:
//!   lseek:BASE    lseek(-1, I << 32 | n, BASE + n % 3), I the worker's index: the arguments name the call
//!   create:DIR    creates, closes and removes DIR/{n % 3}/I-n: the path names the call
//!   open:PATH     opens and closes that file
//!   exec:PATH     runs PATH without arguments and waits for it
//!
//! It writes `worker I PID WORKER` for each, then obeys standard input: `go` starts the workers, `mark`
//! begins the next phase (answer: `phase P`), `stop` or the end of input ends them. With --calls they
//! end by themselves. At the end: `count I PHASE CALLS FAILED ERRNO` for each worker and phase with
//! calls (FAILED of them failed, the last with ERRNO). A call that was under way when a phase began is
//! counted under phase `-`.

mod work;

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;

use work::{MIXED, PHASES, Shared, Worker};

struct Options {
    calls: u64,
    gap: u64,
    workers: Vec<Worker>,
}

fn options() -> Result<Options, String> {
    let mut o = Options { calls: u64::MAX, gap: 0, workers: Vec::new() };
    let mut args = std::env::args().skip(1);
    while let Some(a) = args.next() {
        let mut number = || {
            let text = args.next().ok_or(format!("{a}: a number is missing"))?;
            text.parse::<u64>().map_err(|_| format!("{a} {text}: not a number"))
        };
        match a.as_str() {
            "--calls" => o.calls = number()?,
            "--gap" => o.gap = number()?,
            worker => o.workers.push(Worker::parse(worker)?),
        }
    }
    if o.workers.is_empty() || o.workers.len() > work::WORKERS {
        return Err(format!("between 1 and {} workers, please", work::WORKERS));
    }
    Ok(o)
}

fn main() -> ExitCode {
    match options().and_then(|o| run(&o).map_err(|e| e.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("hammer: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(o: &Options) -> std::io::Result<()> {
    let shared = Shared::map()?;
    let mut pids = Vec::new();
    for (i, worker) in o.workers.iter().enumerate() {
        let pid = work::fork(|| worker.run(i, shared, o.calls, o.gap))?;
        say(&format!("worker {i} {pid} {}", worker.text))?;
        pids.push(pid);
    }
    let ended = obey(shared, o.calls != u64::MAX)?;
    if ended {
        shared.stop.store(1, SeqCst);
    }
    shared.go();
    for pid in pids {
        if !work::wait(pid)? {
            return Err(std::io::Error::other(format!("worker {pid} did not end well")));
        }
    }
    report(shared, o.workers.len())
}

/// Does what standard input says; true: the workers are to be ended.
fn obey(shared: &Shared, end_by_themselves: bool) -> std::io::Result<bool> {
    for line in std::io::stdin().lock().lines() {
        match line?.trim() {
            "go" => {
                shared.go();
                if end_by_themselves {
                    return Ok(false);
                }
            }
            "mark" => {
                let phase = shared.phase.fetch_add(1, SeqCst) + 1;
                if phase as usize >= PHASES {
                    return Err(std::io::Error::other(format!("more than {PHASES} phases")));
                }
                say(&format!("phase {phase}"))?;
            }
            "stop" => return Ok(true),
            other => return Err(std::io::Error::other(format!("`{other}` is none of go, mark, stop"))),
        }
    }
    Ok(true)
}

fn report(shared: &Shared, workers: usize) -> std::io::Result<()> {
    for (i, counts) in shared.counts.iter().take(workers).enumerate() {
        for (p, c) in counts.iter().enumerate() {
            let calls = c.calls.load(SeqCst);
            if calls == 0 {
                continue;
            }
            let phase = if p == MIXED { "-".to_owned() } else { p.to_string() };
            say(&format!("count {i} {phase} {calls} {} {}", c.failed.load(SeqCst), c.errno.load(SeqCst)))?;
        }
    }
    Ok(())
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
