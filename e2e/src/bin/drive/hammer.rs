//! A running `hammer`.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

/// Where the test puts it.
const PROGRAM: &str = "/bin/hammer";

/// Calls of one worker in one phase.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    /// The worker.
    pub(crate) worker: usize,
    /// `None`: the phase changed during the call.
    pub(crate) phase: Option<usize>,
    /// Calls that were made.
    pub(crate) calls: u64,
    /// Those that failed.
    pub(crate) failed: u64,
    /// The last error.
    pub(crate) errno: i32,
}

/// Workers that wait, or work.
pub(crate) struct Hammer {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    /// Pid of each worker.
    pub(crate) pids: Vec<u32>,
}

impl Hammer {
    /// Starts workers, which wait.
    pub(crate) fn start(options: &[&str], workers: &[&str]) -> Result<Hammer> {
        let mut child = Command::new(PROGRAM)
            .args(options)
            .args(workers)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {PROGRAM}"))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("no output")?).lines();
        let mut h = Hammer { child, input, output, pids: Vec::new() };
        for i in 0..workers.len() {
            let line = h.line()?;
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["worker", n, pid, ..] if n == i.to_string() => h.pids.push(pid.parse()?),
                _ => bail!("hammer said `{line}` instead of worker {i}"),
            }
        }
        Ok(h)
    }

    fn line(&mut self) -> Result<String> {
        Ok(self.output.next().context("hammer ended")??)
    }

    fn tell(&mut self, word: &str) -> Result<()> {
        let input = self.input.as_mut().context("hammer has been told to stop")?;
        writeln!(input, "{word}").with_context(|| format!("hammer cannot be told to {word}"))
    }

    /// Lets the workers begin.
    pub(crate) fn go(&mut self) -> Result<()> {
        self.tell("go")
    }

    /// Begins the next phase; calls that begin from now on are of it.
    pub(crate) fn mark(&mut self) -> Result<usize> {
        self.tell("mark")?;
        let line = self.line()?;
        let phase = line.strip_prefix("phase ").and_then(|p| p.parse().ok());
        phase.with_context(|| format!("hammer said `{line}` instead of a phase"))
    }

    /// Ends the workers; what they counted.
    pub(crate) fn stop(mut self) -> Result<Vec<Count>> {
        self.tell("stop")?;
        self.finish()
    }

    /// Waits for workers that end by themselves; what they counted.
    pub(crate) fn finish(mut self) -> Result<Vec<Count>> {
        self.input = None;
        let mut counts = Vec::new();
        for line in self.output.by_ref() {
            counts.push(parse(&line?)?);
        }
        let status = self.child.wait()?;
        if !status.success() {
            bail!("hammer: {status}");
        }
        Ok(counts)
    }
}

impl Drop for Hammer {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            // The workers end with it.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn parse(line: &str) -> Result<Count> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["count", worker, phase, calls, failed, errno] = words[..] else { bail!("hammer said `{line}`") };
    let phase = if phase == "-" { None } else { Some(phase.parse()?) };
    Ok(Count {
        worker: worker.parse()?,
        phase,
        calls: calls.parse()?,
        failed: failed.parse()?,
        errno: errno.parse()?,
    })
}

/// Calls of a worker, in all phases.
pub(crate) fn calls(counts: &[Count], worker: usize) -> u64 {
    counts.iter().filter(|c| c.worker == worker).map(|c| c.calls).sum()
}

/// Failed calls of a worker, in all phases.
pub(crate) fn failed(counts: &[Count], worker: usize) -> u64 {
    counts.iter().filter(|c| c.worker == worker).map(|c| c.failed).sum()
}
