//! The agent in a guest: started, watched, stopped, its events collected.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tetragon_guest::Run;

use crate::tools::PATIENCE;

use super::guest::{Guest, Happened, Process, Status};

/// Where policies are put; the agent watches it.
pub(crate) const POLICIES: &str = "/etc/tetragon/tetragon.tp.d";
const EXPORT: &str = "/run/tetragon";
/// The agent says this when it reports events.
const READY: &str = "Listening for events";
/// Once for each policy that is in force.
const LOADED: &str = "policy loaded";
/// In what it says of a policy that is not.
const REFUSED: &str = "failed to load";
/// What a process of the guest has of an environment.
const ENVIRONMENT: &[&str] =
    &["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=linux"];

/// Takes what a process wrote: stream, bytes.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(u8, &[u8]);

/// A process of the guest with the usual environment.
pub(crate) fn process<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Run {
    Run {
        cwd: "/".into(),
        argv: argv.into_iter().map(Into::into).collect(),
        env: ENVIRONMENT.iter().map(|&e| e.to_owned()).collect(),
        ..Run::default()
    }
}

/// A shell command as a process of the guest.
pub(crate) fn shell(text: &str) -> Run {
    process(["/bin/sh", "-c", text])
}

/// A running agent.
pub(crate) struct Running {
    process: Process,
    /// Set when it ended before it was told to.
    ended: Option<Status>,
}

/// An agent that did not get ready.
#[derive(Debug)]
pub(crate) struct NotReady {
    /// How it ended.
    pub(crate) status: Status,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the agent ended before it was ready ({}); its log says why", self.status)?;
        if self.status.code() == 2 {
            f.write_str("; exit code 2 means that a policy or an option is wrong")?;
        }
        Ok(())
    }
}

impl std::error::Error for NotReady {}

impl Running {
    /// Starts the agent and waits until it reports events. A [`NotReady`] is among the errors.
    pub(crate) fn start(guest: &Guest, arguments: &[String], log: Sink<'_>) -> Result<Running> {
        let fixed = [
            "/usr/bin/tetragon",
            "--tracing-policy-dir",
            POLICIES,
            "--export-filename",
            "/run/tetragon/events.log",
            "--server-address",
            "unix:///var/run/tetragon/tetragon.sock",
            "--metrics-server",
            ":2112",
            "--procfs",
            "/proc",
        ];
        let mut run = process(fixed);
        run.argv.extend(arguments.iter().cloned());
        let agent = guest.spawn(&run)?;
        let mut text = Vec::new();
        loop {
            match guest.wait(&agent, None)? {
                Happened::Output(stream, bytes) => {
                    log(stream, &bytes);
                    text.extend_from_slice(&bytes);
                    if contains(&text, READY.as_bytes()) {
                        return Ok(Running { process: agent, ended: None });
                    }
                }
                Happened::Exit(status) => return Err(NotReady { status }.into()),
                Happened::Nothing => {}
            }
        }
    }

    /// The agent of a guest that was saved while it ran, with [`Running::id`].
    pub(crate) fn adopt(guest: &Guest, id: u32) -> Running {
        Running { process: guest.adopt(id), ended: None }
    }

    /// What the agent is found by when its guest is resumed.
    pub(crate) fn id(&self) -> u32 {
        self.process.id
    }

    /// Puts a file with so many policies into the agent's folder and waits until they are loaded. False: one was
    /// refused, the log says why. A [`NotReady`] is among the errors.
    pub(crate) fn load(
        &mut self,
        guest: &Guest,
        file: &Path,
        policies: usize,
        log: Sink<'_>,
    ) -> Result<bool> {
        guest.put_path(file, &format!("{POLICIES}/policy.yaml"), Some(0o644))?;
        self.wait_until_loaded(guest, policies, log)
    }

    /// Waits until the agent has said of so many policies that they are loaded. False: one was refused.
    pub(crate) fn wait_until_loaded(
        &mut self,
        guest: &Guest,
        policies: usize,
        log: Sink<'_>,
    ) -> Result<bool> {
        let mut text = String::new();
        while text.matches(LOADED).count() < policies {
            match guest.wait(&self.process, None)? {
                Happened::Output(stream, bytes) => {
                    log(stream, &bytes);
                    text += &String::from_utf8_lossy(&bytes);
                    if text.contains(REFUSED) {
                        return Ok(false);
                    }
                }
                Happened::Exit(status) => return Err(NotReady { status }.into()),
                Happened::Nothing => {}
            }
        }
        Ok(true)
    }

    /// Passes on what the agent has said meanwhile.
    pub(crate) fn pump(&mut self, guest: &Guest, limit: Duration, log: Sink<'_>) -> Result<()> {
        let mut limit = limit;
        while self.ended.is_none() {
            match guest.wait(&self.process, Some(limit))? {
                Happened::Output(stream, bytes) => log(stream, &bytes),
                Happened::Exit(status) => self.ended = Some(status),
                Happened::Nothing => break,
            }
            limit = Duration::ZERO;
        }
        Ok(())
    }

    /// Tells it to end and waits for that. It tells what processes that have ended did: that is in the ring
    /// by now, which it reads to its end.
    pub(crate) fn stop(mut self, guest: &Guest, log: Sink<'_>) -> Result<Stopped> {
        self.pump(guest, Duration::ZERO, log)?;
        if let Some(status) = self.ended {
            return Ok(Stopped::Before(status));
        }
        guest.signal(&self.process, libc::SIGTERM)?;
        let end = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < end {
            match guest.wait(&self.process, Some(Duration::from_millis(500)))? {
                Happened::Output(stream, bytes) => log(stream, &bytes),
                Happened::Exit(status) => return Ok(Stopped::Asked(status)),
                Happened::Nothing => {}
            }
        }
        guest.signal(&self.process, libc::SIGKILL)?;
        Ok(Stopped::Not)
    }
}

/// How an agent's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// When it was told to.
    Asked(Status),
    /// Before it was told to.
    Before(Status),
    /// It did not end when it was told to, and was killed.
    Not,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stopped::Asked(status) => write!(f, "the agent ended with {status} when it was told to end"),
            Stopped::Before(status) => write!(f, "the agent ended before it was told to: {status}"),
            Stopped::Not => {
                write!(f, "the agent did not end within {} s of SIGTERM and was killed", PATIENCE.as_secs())
            }
        }
    }
}

/// All events that the agent wrote: rotated files first, in the order of their names.
pub(crate) fn events(guest: &Guest) -> Result<Vec<u8>> {
    let list = format!("ls -1 {EXPORT}/events*.log 2>/dev/null");
    let (_, names) = guest.run(&shell(&list))?;
    let mut names: Vec<_> = names.lines().map(str::to_owned).collect();
    names.sort_by_key(|n| (n.ends_with("/events.log"), n.clone()));
    let mut all = Vec::new();
    for name in names {
        all.extend(guest.get(&name)?);
    }
    Ok(all)
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w == word)
}
